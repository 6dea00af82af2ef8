//! The gateway program in the test's outer namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::audit::Audit;
use crate::process::{Group, plain, poll};

/// How long the gateway may take to start, or to end when nothing is left to drain.
const PROMPT: Duration = Duration::from_secs(10);

/// A running gateway.
pub struct Gateway {
    process: Group,
    files: Files,
}

/// Its rules, its records and what it says. A test that fails prints them.
struct Files(TempDir);

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("gateway.log")).unwrap_or_default()
    }

    fn audit(&self) -> Audit {
        Audit::of(self.path("audit.jsonl"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the gateway's records, without what does not apply:");
            self.audit().tail(0).lines().for_each(|line| println!("{}", without_nulls(line)));
            println!("its log:\n{}", self.log());
        }
    }
}

fn without_nulls(line: &str) -> String {
    let record: Result<serde_json::Map<_, _>, _> = serde_json::from_str(line);
    record.map_or(line.to_owned(), |mut record| {
        record.retain(|_, value: &mut Value| !value.is_null());
        Value::Object(record).to_string()
    })
}

/// Why the gateway does not run: what it said before it ended.
#[derive(Debug)]
pub struct Refused(pub String);

impl Refused {
    /// The last line, without the place of a temporary rules file.
    pub fn reason(&self) -> &str {
        let line = self.0.trim().lines().last().unwrap_or_default();
        line.split_once("rules.yaml:").map_or(line, |(_, rest)| rest)
    }
}

impl Gateway {
    /// Starts the gateway with the rules that `rules` makes for an audit file, and waits until it is ready.
    pub fn start(rules: impl FnOnce(&Path) -> String) -> Result<Self, Refused> {
        let files = Files(tempfile::tempdir().expect("temporary directories can be made"));
        let text = rules(&files.path("audit.jsonl"));
        fs::write(files.path("rules.yaml"), text).expect("the test's directory takes files");
        Self::start_on(files)
    }

    fn start_on(files: Files) -> Result<Self, Refused> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ftp-pinhole"));
        command.arg("run").arg(files.path("rules.yaml"));
        let mark = files.audit().mark();
        let process = Group::start(plain(&mut command, &files.path("gateway.log")));
        let mut gateway = Self { process, files };
        let ready = poll(PROMPT, || gateway.ready(mark));
        if ready == Some(true) { Ok(gateway) } else { Err(Refused(gateway.log())) }
    }

    fn ready(&mut self, mark: usize) -> Option<bool> {
        if self.process.leader().try_wait().expect("the child is ours").is_some() {
            return Some(false);
        }
        let records = self.audit().records(mark).unwrap_or_default();
        records.iter().any(|record| record["event"] == "gateway.started").then_some(true)
    }

    /// Its records, from all its runs.
    pub fn audit(&self) -> Audit {
        self.files.audit()
    }

    /// What it said on standard error in this run.
    pub fn log(&self) -> String {
        self.files.log()
    }

    /// Tells it to stop; [`Self::ended`] waits.
    pub fn terminate(&mut self) {
        let pid = Pid::from_child(self.process.leader());
        kill_process(pid, Signal::TERM).expect("the gateway has not been waited for");
    }

    /// Waits for its end, which has to be in order.
    pub fn ended(mut self) {
        let status = self.process.wait(PROMPT);
        assert!(status.is_some_and(|status| status.success()), "the gateway ends with {status:?}");
    }

    /// Stops it in order.
    pub fn stop(mut self) {
        self.terminate();
        self.ended();
    }

    /// Stops it in order, though a transfer runs; its files stay for [`Killed::restart`].
    pub fn leave(mut self) -> Killed {
        self.terminate();
        let status = self.process.wait(PROMPT);
        assert!(status.is_some_and(|status| status.success()), "the gateway ends with {status:?}");
        self.kill()
    }

    /// Kills it; its files stay for [`Killed::restart`].
    pub fn kill(self) -> Killed {
        let Self { process, files } = self;
        drop(process);
        Killed(files)
    }
}

/// What a gateway that is gone left behind.
pub struct Killed(Files);

impl Killed {
    /// Starts it again with the same rules.
    pub fn restart(self) -> Result<Gateway, Refused> {
        Gateway::start_on(self.0)
    }
}
