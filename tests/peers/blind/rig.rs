//! A server with TLS, a gateway that passes it on blind, and clients.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::of;
use super::server::{Kind, LOGIN, Place};
use crate::audit::Audit;
use crate::gateway;
use crate::namespace::{skip, test_name};
use crate::process::{Group, find, free_port, poll, run};
use crate::route::Family;
use crate::server::{Ports, open_to_all};

/// How long the last records may take.
const SETTLE: Duration = Duration::from_secs(5);
/// How many ports the range has.
const WIDTH: u16 = 10;

/// A client and whether it asks for CCC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Curl,
    /// It ends TLS first, or waits for the server to do so.
    CurlCcc {
        active: bool,
    },
    Lftp,
}

impl Program {
    fn name(self) -> &'static str {
        match self {
            Self::Curl | Self::CurlCcc { .. } => "curl",
            Self::Lftp => "lftp",
        }
    }
}

/// A running server, and a gateway before it.
pub struct Rig {
    // Before the server, so that it ends first.
    _gateway: Group,
    _server: Group,
    listen: SocketAddr,
    ports: Ports,
    dir: TempDir,
}

impl Rig {
    /// Starts both. `None`, after saying so, when a program is missing.
    pub fn start(program: Program, kind: Kind) -> Option<Self> {
        let client = program.name();
        let absent = find(client).is_none().then(|| format!("{client} is not installed"));
        if let Some(why) = absent.or_else(|| kind.missing()) {
            skip(&test_name(), &why);
            return None;
        }
        let dir = tempfile::tempdir().expect("temporary directories can be made");
        open_to_all(dir.path(), 0o755);
        for (name, mode) in [("home", 0o777), ("work", 0o755)] {
            fs::create_dir(dir.path().join(name)).expect("the directory is new");
            open_to_all(&dir.path().join(name), mode);
        }
        let (here, there) = (Family::V4.gateway_ip(), Family::V4.server_ip());
        let ports = free_range([here, there]);
        let address = SocketAddr::new(there, free_port(there));
        let server = kind.start(Place { address, ports, named: here }, dir.path());
        let listen = SocketAddr::new(here, free_port(here));
        let rules = format!(
            "version: 1\ngateway:\n  admin_socket: none\n  audit: {{file: \"{}\"}}\nservices:\n  \
             blind: {{listen: \"{listen}\", upstream: \"{address}\", tls: {{mode: blind, data_ports: {}-{}}}}}\n",
            dir.path().join("audit.jsonl").display(),
            ports[0],
            ports[1],
        );
        let gateway = gateway::start(&rules, &[listen], dir.path());
        Some(Self { _gateway: gateway, _server: server, listen, ports, dir })
    }

    /// The directory in which a session starts.
    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The client's directory.
    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Has the client list, fetch data.bin and store new.bin; in how many sessions.
    pub fn run(&self, program: Program) -> usize {
        match program {
            Program::Curl => self.curl(&[]),
            Program::CurlCcc { active: false } => {
                self.curl(&["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "passive"])
            }
            Program::CurlCcc { active: true } => {
                self.curl(&["--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", "active"])
            }
            Program::Lftp => self.lftp(),
        }
    }

    fn curl(&self, more: &[&str]) -> usize {
        let steps = [(&[][..], ""), (&["-o", "data.bin"], "data.bin"), (&["-T", "new.bin"], "new.bin")];
        for (what, name) in steps {
            let mut command = program("curl");
            // Under TLS 1.3 it closes before the server's tickets have come, and the reset that answers them may
            // overtake the file.
            command
                .args(["-q", "-sv", "-m", "30", "-k", "--ssl-reqd", "--tls-max", "1.2"])
                .args(more)
                .args(what);
            command.args(["-u", &format!("{}:{}", LOGIN.user, LOGIN.password)]);
            self.succeeds(command.arg(format!("ftp://{}/{name}", self.listen)), name.is_empty());
        }
        steps.len()
    }

    fn lftp(&self) -> usize {
        let script = [
            "set net:timeout 10".to_owned(),
            "set net:max-retries 20".to_owned(),
            "set net:reconnect-interval-base 0".to_owned(),
            "set cmd:fail-exit yes".to_owned(),
            "set ssl:verify-certificate no".to_owned(),
            "set ftp:ssl-force yes".to_owned(),
            "set ftp:ssl-protect-data yes".to_owned(),
            "debug 5".to_owned(),
            format!("open -u {},{} ftp://{}", LOGIN.user, LOGIN.password, self.listen),
            "ls; get data.bin; put new.bin; bye".to_owned(),
        ];
        self.succeeds(program("lftp").args(["--norc", "-c", &script.join("; ")]), true);
        1
    }

    fn succeeds(&self, command: &mut Command, lists: bool) {
        let done = run(command.current_dir(self.work()), "", &self.dir.path().join("client.log"));
        let tail = || Audit::of(self.audit()).tail(0);
        assert!(done.success, "{command:?} fails: {}; records:\n{}", done.output, tail());
        assert!(!lists || done.output.contains("data.bin"), "the listing is {}", done.output);
    }

    fn audit(&self) -> PathBuf {
        self.dir.path().join("audit.jsonl")
    }

    /// All records, once so many clients' sessions have ended; who asked whether the gateway greets is none.
    pub fn records_of(&self, sessions: usize) -> Vec<Value> {
        let audit = Audit::of(self.audit());
        let ended = poll(SETTLE, || {
            let records = audit.records(0).expect("the records are JSON");
            (of(&records, "session.closed").len() > sessions).then_some(records)
        });
        ended.unwrap_or_else(|| panic!("not every session ends:\n{}", audit.tail(0)))
    }

    /// Whether a record names a port of the range.
    pub fn is_in_range(&self, record: &Value) -> bool {
        let listen: Option<SocketAddr> = record["listen"].as_str().and_then(|text| text.parse().ok());
        let [low, high] = self.ports;
        (low..=high).contains(&listen.expect("the record names an address").port())
    }
}

fn program(name: &str) -> Command {
    Command::new(find(name).expect("missing programs have been looked for"))
}

/// Ports in a row that nobody uses at any of these addresses.
fn free_range(ips: [IpAddr; 2]) -> Ports {
    let is_free = |port: &u16| ips.iter().all(|ip| TcpListener::bind((*ip, *port)).is_ok());
    let starts = (20_000..30_000).step_by(WIDTH.into());
    let mut free = starts.filter(|start| (*start..*start + WIDTH).all(|port| is_free(&port)));
    let low = free.next().expect("some ports are free");
    [low, low + WIDTH - 1]
}
