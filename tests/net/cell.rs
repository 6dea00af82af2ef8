//! One cell of the matrix: a session that downloads, uploads and lists, and the records that it leaves.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::audit::Audit;
use crate::lab::{FTP, Lab};
use crate::operation::{content, need, put_file};
use crate::placement::{ACTIVE_PORTS, DataPath, PASSIVE_PORTS, Placement, Role};
use crate::process::poll;
use crate::raw::Raw;
use crate::route::{Family, Setup};
use crate::server::{Kind, Server};

/// How long the records of a transfer may take after its end.
const PROMPT: Duration = Duration::from_secs(1);
/// Records that no well-behaved peer may cause.
const UNWANTED: [&str; 4] = ["pinhole.denied", "pinhole.expired", "pinhole.revoked", "violation"];

/// What all cells of one test share.
pub struct Bench<'a> {
    pub lab: &'a Lab,
    pub placement: Placement,
    pub server: &'a Server,
    pub audit: Audit,
}

/// One set-up in one family.
#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub family: Family,
    pub setup: Setup,
}

impl Cell {
    /// Every cell: IPv6 has no PASV and no PORT.
    pub const ALL: [Self; 6] = [
        Self { family: Family::V4, setup: Setup::Pasv },
        Self { family: Family::V4, setup: Setup::Epsv },
        Self { family: Family::V4, setup: Setup::Port },
        Self { family: Family::V4, setup: Setup::Eprt },
        Self { family: Family::V6, setup: Setup::Epsv },
        Self { family: Family::V6, setup: Setup::Eprt },
    ];
}

/// A data connection as the client sees it.
struct Ends {
    /// The client's.
    local: SocketAddr,
    /// Whom the client dialled, or who dialled the client.
    remote: SocketAddr,
}

impl Bench<'_> {
    /// Runs one cell; panics with what is wrong.
    pub fn run(&self, cell: Cell) {
        put_file(&self.server.home().join("data.bin"), &content("data.bin"));
        let mark = self.audit.mark();
        let dialled = self.placement.dialled().at(cell.family, FTP);
        self.lab.host(self.placement.client()).run(|| {
            let mut raw = Raw::login(dialled, self.server.login(), false);
            self.server_sees(cell);
            let sizes = content("data.bin").len();
            self.transfer(cell, &mut raw, "RETR data.bin", (0, sizes), |data| {
                assert!(read(data) == content("data.bin"), "the file arrives changed");
            });
            self.transfer(cell, &mut raw, "STOR new.bin", (sizes, 0), |data| {
                data.write_all(&content("new.bin")).expect("the server takes the file");
            });
            let stored = fs::read(self.server.home().join("new.bin")).expect("the file has been stored");
            assert!(stored == content("new.bin"), "the file is stored changed");
            self.list(cell, &mut raw);
            raw.quit();
        });
        self.no_complaint(mark);
    }

    fn list(&self, cell: Cell, raw: &mut Raw) {
        let mut length = 0;
        let mark = self.audit.mark();
        let ends = exchange(cell, raw, "LIST", |data| {
            let listing = read(data);
            length = listing.len();
            let text = String::from_utf8_lossy(&listing);
            assert!(text.contains("data.bin") && text.contains("new.bin"), "the listing is {text}");
        });
        self.recorded(cell, mark, "LIST", (0, length), &ends);
    }

    /// One transfer, its payload in bytes to the server and to the client, and its records.
    fn transfer(
        &self,
        cell: Cell,
        raw: &mut Raw,
        command: &str,
        bytes: (usize, usize),
        act: impl FnOnce(&mut TcpStream),
    ) {
        let mark = self.audit.mark();
        let ends = exchange(cell, raw, command, act);
        self.recorded(cell, mark, command, bytes, &ends);
    }

    fn server_sees(&self, cell: Cell) {
        let peers = self.lab.host(self.placement.server()).peers_of(FTP);
        let wanted = self.placement.seen().ip(cell.family);
        assert!(peers.iter().any(|peer| peer.ip() == wanted), "the server sees {peers:?}, not {wanted}");
    }

    fn recorded(&self, cell: Cell, mark: usize, transfer: &str, bytes: (usize, usize), ends: &Ends) {
        let end = Instant::now();
        let mut last = String::new();
        let right = poll(PROMPT, || {
            let records = self.audit.records(mark);
            let checked = records.and_then(|records| self.check(cell, &records, transfer, bytes, ends));
            checked.map_err(|why| last = why).ok()
        });
        let waited = end.elapsed();
        assert!(
            right.is_some(),
            "{transfer}, {waited:?} after it: {last}; records:\n{}",
            self.audit.tail(mark)
        );
    }

    fn check(
        &self,
        cell: Cell,
        records: &[Value],
        transfer: &str,
        bytes: (usize, usize),
        ends: &Ends,
    ) -> Result<(), String> {
        let opened = one(records, "pinhole.opened")?;
        let connected = one(records, "pinhole.connected")?;
        let closed = one(records, "pinhole.closed")?;
        for record in [opened, connected, closed] {
            self.right(cell, record, ends)?;
            need(record["pinhole"] == opened["pinhole"], "the records are of different pinholes")?;
        }
        same(opened, "reason", &self.why_relayed(cell))?;
        same(connected, "reason", &Value::Null)?;
        same(closed, "reason", &Value::Null)?;
        same(closed, "transfer", &json!(transfer))?;
        same(closed, "bytes_to_server", &json!(bytes.0))?;
        same(closed, "bytes_to_client", &json!(bytes.1))?;
        need(closed["duration_ms"].is_u64(), "no duration")
    }

    /// Why the relay stands in for the kernel: only for a server that dials before it replies.
    fn why_relayed(&self, cell: Cell) -> Value {
        let kernel = self.placement.data_path == DataPath::Nftables;
        let early = self.server.kind() == Kind::Pyftpdlib && !cell.setup.passive();
        if kernel && early { json!("relayed-early") } else { Value::Null }
    }

    /// Whether a record names the right addresses.
    fn right(&self, cell: Cell, record: &Value, ends: &Ends) -> Result<(), String> {
        let Cell { family, setup } = cell;
        let (client, server) = (self.placement.client(), self.placement.server());
        same(record, "command", &json!(setup.verb()))?;
        same(record, "mode", &json!(if setup.passive() { "passive" } else { "active" }))?;
        same(record, "user", &json!(self.server.login().user))?;
        same(record, "server", &json!(server.at(family, FTP).to_string()))?;
        let (listen, to) = (address(record, "listen")?, address(record, "to")?);
        if setup.passive() {
            same(record, "from", &json!(client.ip(family).to_string()))?;
            need(listen == ends.remote, &format!("the client dialled {}, not listen {listen}", ends.remote))?;
            need(to.ip() == server.ip(family), &format!("to {to} is not the server"))?;
            let any = self.placement.role == Role::Forward;
            need(
                any || PASSIVE_PORTS.contains(&listen.port()),
                &format!("listen {listen} is not of passive_ports"),
            )
        } else {
            same(record, "from", &json!(server.ip(family).to_string()))?;
            need(to == ends.local, &format!("the client waits at {}, not {to}", ends.local))?;
            need(
                listen.ip() == self.placement.seen().ip(family),
                &format!("the server cannot dial {listen}"),
            )?;
            need(ACTIVE_PORTS.contains(&listen.port()), &format!("listen {listen} is not of active_ports"))
        }
    }

    /// The session ends on record, and nothing that happened in it was out of order.
    fn no_complaint(&self, mark: usize) {
        let ended = poll(PROMPT, || {
            let records = self.audit.records(mark).expect("the records are JSON");
            records.iter().any(|record| record["event"] == "session.closed").then_some(records)
        });
        let records = ended.unwrap_or_else(|| panic!("no session ends:\n{}", self.audit.tail(mark)));
        let complaint = records.iter().find(|record| UNWANTED.iter().any(|event| record["event"] == *event));
        assert!(complaint.is_none(), "a record complains: {complaint:?}");
    }
}

/// Runs one transfer to its 226.
fn exchange(cell: Cell, raw: &mut Raw, command: &str, act: impl FnOnce(&mut TcpStream)) -> Ends {
    let mut data = raw.transfer(cell.setup, command);
    let ends = Ends {
        local: data.local_addr().expect("a connected socket has an address"),
        remote: data.peer_addr().expect("a connected socket has a peer"),
    };
    act(&mut data);
    drop(data);
    raw.expect(&[226]);
    ends
}

fn read(data: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).expect("the data arrives");
    bytes
}

/// The one record of an event.
fn one<'a>(records: &'a [Value], event: &str) -> Result<&'a Value, String> {
    let found: Vec<_> = records.iter().filter(|record| record["event"] == event).collect();
    match found[..] {
        [record] => Ok(record),
        _ => Err(format!("{} records of {event}", found.len())),
    }
}

fn same(record: &Value, key: &str, wanted: &Value) -> Result<(), String> {
    need(record[key] == *wanted, &format!("{key} of {} is {}, not {wanted}", record["event"], record[key]))
}

fn address(record: &Value, key: &str) -> Result<SocketAddr, String> {
    let text = record[key].as_str().unwrap_or_default();
    text.parse().map_err(|_| format!("{key} of {} is {}", record["event"], record[key]))
}
