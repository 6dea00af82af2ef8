//! A gateway in this process between a scripted client and a scripted server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use ftp_pinhole::audit::{Audit, MemoryLog, Record};
use ftp_pinhole::config::Config;
use ftp_pinhole::proxy::Gateway;
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;
use tokio::runtime::Runtime;

use super::peer::Peer;
use super::{CLIENT, PATIENCE};

/// A loopback address that nobody else uses.
pub(super) fn own_address() -> IpAddr {
    let random = getrandom::u32().unwrap().to_be_bytes();
    Ipv4Addr::new(127, random[0] | 1, random[1], random[2] | 1).into()
}

/// Where nobody listens, on an address of its own.
pub(super) fn free_at(ip: IpAddr) -> SocketAddr {
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// A scripted server's socket, on an address of its own.
pub(super) fn server() -> TcpListener {
    TcpListener::bind((own_address(), 0)).unwrap()
}

/// A rules file with one service, to which `more` adds keys, one a line.
pub(super) fn rules(audit: &str, listen: &[SocketAddr], upstream: &[SocketAddr], more: &str) -> String {
    let more: String = more.lines().map(|line| format!("    {}\n", line.trim())).collect();
    let list = |addrs: &[SocketAddr]| {
        let quoted: Vec<_> = addrs.iter().map(|addr| format!("\"{addr}\"")).collect();
        quoted.join(", ")
    };
    format!(
        "version: 1\ngateway: {{audit: {{{audit}}}}}\nservices:\n  lab:\n    listen: [{}]\n    \
         upstream: [{}]\n    active_ports: 10000-29999\n{more}",
        list(listen),
        list(upstream),
    )
}

/// A gateway that runs in this process.
pub(super) struct Gate {
    runtime: Runtime,
    gateway: Option<Gateway>,
    log: MemoryLog,
}

impl Gate {
    pub(super) fn start(listen: &[SocketAddr], upstream: &[SocketAddr], more: &str) -> Self {
        let rules = rules("stdout: true", listen, upstream, more);
        let config = Config::parse("rules.yaml", &rules).unwrap_or_else(|errors| panic!("{errors}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let (audit, log) = Audit::memory();
        let gateway = runtime.block_on(async { Gateway::start(config, audit) }).unwrap();
        Self { runtime, gateway: Some(gateway), log }
    }

    pub(super) fn reload_certificates(&self) {
        self.gateway.as_ref().unwrap().reload_certificates();
    }

    /// The first record of this kind, which may still have to come.
    pub(super) fn record(&self, kind: EventKind) -> Record {
        let found = self.log.wait_for(PATIENCE, |record| record.event.kind == kind);
        found.unwrap_or_else(|| panic!("no {} among {:#?}", kind.name(), self.log.records()))
    }

    /// Waits for a record with this reason.
    pub(super) fn recorded(&self, kind: EventKind, reason: Reason) -> Record {
        let wanted = |record: &Record| record.event.kind == kind && record.event.reason == Some(reason);
        let found = self.log.wait_for(PATIENCE, wanted);
        found.unwrap_or_else(|| panic!("no {} {reason} among {:#?}", kind.name(), self.log.records()))
    }

    /// Every record up to now.
    pub(super) fn records(&self) -> Vec<Record> {
        self.log.records()
    }

    /// Whether any pinhole was opened up to now.
    pub(super) fn opened_any(&self) -> bool {
        self.records().iter().any(|record| record.event.kind == EventKind::PinholeOpened)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            self.runtime.block_on(gateway.drain(async {}));
        }
    }
}

/// A gateway and the server behind it.
pub(super) struct Lab {
    pub(super) gate: Gate,
    pub(super) server: TcpListener,
    pub(super) addr: SocketAddr,
}

impl Lab {
    /// `more` adds keys to the service, one a line.
    pub(super) fn new(more: &str) -> Self {
        let (server, addr) = (server(), free_at(own_address()));
        let gate = Gate::start(&[addr], &[server.local_addr().unwrap()], more);
        Self { gate, server, addr }
    }

    /// A client of its own on this lab's gateway, up to the server's greeting.
    pub(super) fn greet(&self) -> Pair {
        self.greet_from(CLIENT)
    }

    pub(super) fn greet_from(&self, from: IpAddr) -> Pair {
        let mut pair = Pair::connect(Peer::connect(from, self.addr), &self.server);
        pair.greet();
        pair
    }

    /// A client that is logged in as alice.
    pub(super) fn log_in(&self) -> Pair {
        self.log_in_from(CLIENT)
    }

    pub(super) fn log_in_from(&self, from: IpAddr) -> Pair {
        let mut pair = self.greet_from(from);
        pair.log_in();
        pair
    }
}

/// Both ends of one session.
pub(super) struct Pair {
    pub(super) client: Peer,
    pub(super) server: Peer,
}

impl Pair {
    /// The session of a client that has just connected.
    pub(super) fn connect(client: Peer, server: &TcpListener) -> Self {
        Self { client, server: Peer::accept(server) }
    }

    pub(super) fn greet(&mut self) {
        self.server.say("220 ready");
        self.client.expect("220 ready");
    }

    pub(super) fn log_in(&mut self) {
        self.pass("USER alice", "331 password");
        self.pass("PASS secret", "230 in");
    }

    /// A command that goes to the server as it is, and the reply that comes back as it is.
    pub(super) fn pass(&mut self, command: &str, reply: &str) {
        self.client.say(command);
        self.server.expect(command);
        self.server.say(reply);
        self.client.expect(reply);
    }

    /// EPSV: where the client is to dial, and where the server waits for the gateway.
    pub(super) fn passive(&mut self) -> (SocketAddr, TcpListener) {
        let (listener, reply) = self.ask_passive();
        let port = reply.strip_prefix("229 Entering Extended Passive Mode (|||");
        let port = port.unwrap_or_else(|| panic!("{reply}")).strip_suffix("|)").unwrap().parse().unwrap();
        (SocketAddr::new(self.client.there().ip(), port), listener)
    }

    /// EPSV, to which the server agrees, and what the client hears.
    pub(super) fn ask_passive(&mut self) -> (TcpListener, String) {
        let listener = TcpListener::bind((self.server.here().ip(), 0)).unwrap();
        self.client.say("EPSV");
        self.server.expect("PASV");
        self.server.say(&format!("227 passive ({})", host_port(listener.local_addr().unwrap())));
        (listener, self.client.line())
    }

    /// PORT: where the client waits for the gateway, and where the server is to dial.
    pub(super) fn active(&mut self) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((self.client.here().ip(), 0)).unwrap();
        self.client.say(&format!("PORT {}", host_port(listener.local_addr().unwrap())));
        let told = self.server.line();
        self.server.say("200 PORT is fine");
        self.client.expect("200 PORT is fine");
        (listener, parse_host_port(told.strip_prefix("PORT ").unwrap()))
    }

    /// Begins to retrieve over a new passive pinhole; gives the client's and the server's end.
    pub(super) fn begin_retrieve(&mut self) -> (Peer, Peer) {
        let (to, listener) = self.passive();
        let client = Peer::connect(self.client.here().ip(), to);
        let server = Peer::accept(&listener);
        self.pass("RETR x", "150 here it comes");
        (client, server)
    }

    /// Ends what [`Self::begin_retrieve`] began, with these bytes.
    pub(super) fn finish_retrieve(&mut self, (client, mut server): (Peer, Peer), bytes: &[u8]) {
        server.send(bytes);
        drop(server);
        assert_eq!(client.rest(), bytes);
        self.server.say("226 done");
        self.client.expect("226 done");
    }
}

/// h1,h2,h3,h4,p1,p2.
pub(super) fn host_port(addr: SocketAddr) -> String {
    let port = addr.port();
    format!("{},{},{}", addr.ip().to_string().replace('.', ","), port >> 8, port & 0xff)
}

pub(super) fn parse_host_port(text: &str) -> SocketAddr {
    let bytes: Vec<u8> = text.split(',').map(|byte| byte.parse().unwrap()).collect();
    let ip = Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
    SocketAddr::new(ip.into(), u16::from_be_bytes([bytes[4], bytes[5]]))
}
