//! The real program: started with a rules file, told by signals, watched through /proc.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::{env, fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::lab::{Pair, free_at, own_address, rules, server};
use super::peer::Peer;
use super::{CLIENT, PATIENCE};

pub(super) const BINARY: &str = env!("CARGO_BIN_EXE_ftp-pinhole");

/// A gateway that runs as a program, and the server behind it.
pub(super) struct Program {
    child: Child,
    log: Receiver<String>,
    pub(super) server: TcpListener,
    pub(super) addr: SocketAddr,
}

impl Program {
    /// `audit` says where records go, `more` adds keys to the service, one a line.
    pub(super) fn start(audit: &str, more: &str) -> Self {
        let (server, addr) = (server(), free_at(own_address()));
        let rules = rules(audit, &[addr], &[server.local_addr().unwrap()], more);
        let mut child = Command::new(BINARY)
            .args(["run", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        let (to_log, log) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| to_log.send(line)));
        let program = Self { child, log, server, addr };
        program.logs("listening");
        program
    }

    /// Waits for a line of the log that holds `text`.
    pub(super) fn logs(&self, text: &str) {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no {text:?} but {error} after {seen:#?}"),
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the program's end and gives its exit code; `None`: a signal killed it.
    pub(super) fn exit_code(&mut self) -> Option<i32> {
        // The log ends when the program does.
        let end = loop {
            if let Err(end) = self.log.recv_timeout(PATIENCE) {
                break end;
            }
        };
        assert_eq!(end, RecvTimeoutError::Disconnected, "the program does not end");
        self.child.wait().unwrap().code()
    }

    /// Memory in use, in KiB.
    pub(super) fn resident(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    }

    /// The effective capabilities of each thread.
    pub(super) fn capabilities(&self) -> Vec<u64> {
        let threads = fs::read_dir(self.proc("task")).unwrap();
        let status = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
        let effective = status.map(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        });
        effective.collect()
    }

    /// What the open descriptors lead to.
    pub(super) fn descriptors(&self) -> Vec<String> {
        let entries = fs::read_dir(self.proc("fd")).unwrap();
        let links = entries.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.map(|link| link.to_string_lossy().into_owned()).collect()
    }

    /// How many descriptors are sockets.
    pub(super) fn sockets(&self) -> usize {
        self.descriptors().iter().filter(|link| link.starts_with("socket:")).count()
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }

    pub(super) fn connect(&self) -> Pair {
        let mut pair = Pair::connect(Peer::connect(CLIENT, self.addr), &self.server);
        pair.greet();
        pair
    }

    pub(super) fn log_in(&self) -> Pair {
        let mut pair = self.connect();
        pair.log_in();
        pair
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of the test's own; gone with it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let name = format!("ftp-pinhole-{:016x}", getrandom::u64().unwrap());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes `name` lead to `target`, whatever it led to before.
    pub(super) fn link(&self, name: &str, target: &Path) {
        let new = self.path("new");
        symlink(target, &new).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
