//! Child processes: programs found, daemons started and ended, commands run with a time limit.

use std::collections::BTreeSet;
use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a daemon may take to greet.
const READY: Duration = Duration::from_secs(20);
/// How long one run of a client may take.
const RUN: Duration = Duration::from_secs(60);
/// Between two looks at something that has no way to tell us.
const POLL: Duration = Duration::from_millis(5);

/// A program in the directory of unpacked packages, in `PATH`, or where daemons are installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let unpacked = env::var_os("FTP_PINHOLE_PEERS").map(PathBuf::from);
    let unpacked = unpacked.iter().flat_map(|root| [root.join("usr/sbin"), root.join("usr/bin")]);
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut places = unpacked.chain(env::split_paths(&path)).chain(installed);
    places.find_map(|place| Some(place.join(program)).filter(|file| file.is_file()))
}

/// A port that nobody listens on now, and that this has not given away before.
pub fn free_port(ip: IpAddr) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((ip, 0)).expect("a loopback address has a free port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        if GIVEN.lock().expect("nobody panics with the lock held").insert(port) {
            return port;
        }
    }
}

/// Looks again and again until `look` finds something or the time is over.
pub fn poll<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        match look() {
            None if Instant::now() < end => thread::sleep(POLL),
            found => return found,
        }
    }
}

/// A process group that ends when this is dropped.
pub struct Group(Child);

impl Group {
    /// Starts `command` as the leader of a group of its own.
    pub fn start(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// The leader.
    pub fn leader(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Waits for the leader to end; `None` when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        poll(limit, || self.0.try_wait().expect("the child is ours"))
    }

    /// Ends all of the group.
    pub fn kill(&mut self) {
        let pid = Pid::from_child(&self.0);
        // Fails only when the whole group has ended already.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.wait();
    }
}

/// Starts a daemon, its output in `log`, and waits until it greets with 220 at all these addresses.
pub fn start_daemon(command: &mut Command, listening: &[SocketAddr], log: &Path) -> Group {
    start_until(greets, command, listening, log)
}

/// The same for a daemon that says nothing before the client does.
pub fn start_silent_daemon(command: &mut Command, listening: &[SocketAddr], log: &Path) -> Group {
    start_until(listens, command, listening, log)
}

fn start_until(
    ready_at: fn(SocketAddr) -> bool,
    command: &mut Command,
    listening: &[SocketAddr],
    log: &Path,
) -> Group {
    let mut daemon = Group::start(plain(command, log));
    let ready = poll(READY, || {
        let ended = daemon.leader().try_wait().expect("the child is ours").is_some();
        if ended { Some(false) } else { listening.iter().copied().all(ready_at).then_some(true) }
    });
    if ready != Some(true) {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        panic!("{command:?} is not ready at {listening:?}; it said: {said}");
    }
    daemon
}

fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let mut code = [0; 3];
    let limited = stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok();
    limited && stream.read_exact(&mut code).is_ok() && code == *b"220"
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// What a command left behind.
pub struct Finished {
    /// Whether it ended in time and with status 0.
    pub success: bool,
    /// Standard output and standard error.
    pub output: String,
}

/// Runs a command with this standard input in `dir`, its output kept in `log`.
pub fn run(command: &mut Command, input: &str, log: &Path) -> Finished {
    let mut group = Group::start(plain(command, log).stdin(Stdio::piped()));
    let mut stdin = group.leader().stdin.take().expect("standard input is a pipe");
    // A client that has ended early does not read the rest; its output tells.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let status = group.wait(RUN);
    let bytes = std::fs::read(log).expect("the log has just been created");
    let late = if status.is_none() { "\ntime limit\n" } else { "" };
    let output = format!("{}{late}", String::from_utf8_lossy(&bytes));
    Finished { success: status.is_some_and(|status| status.success()), output }
}

/// No proxy, no personal settings, an UTF-8 locale; output to `log`.
pub fn plain<'a>(command: &'a mut Command, log: &Path) -> &'a mut Command {
    let out = File::create(log).expect("the test's directory takes files");
    let err = out.try_clone().expect("an open file can be cloned");
    ["ftp_proxy", "FTP_PROXY", "all_proxy", "ALL_PROXY"].iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("HOME", log.parent().expect("the log is in a directory")).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(out).stderr(err)
}
