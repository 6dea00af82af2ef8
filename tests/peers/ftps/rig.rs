//! A server with or without TLS, and the gateway with services that end the clients' TLS.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::pki::Pki;
use super::secure::Secure;
use crate::audit::Audit;
use crate::client::{Job, Protection, Security, Version};
use crate::gateway;
use crate::namespace::{skip, test_name};
use crate::operation::Operation;
use crate::process::{Group, find, free_port};
use crate::raw::Raw;
use crate::route::{Family, Setup};
use crate::server::{Encryption, Entry, Kind, Login, Server, Wishes, open_to_all};

/// A server, and how much TLS it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// None.
    Plain(Kind),
    /// For clients that ask for it.
    Optional(Kind),
    /// It turns plain clients away.
    Explicit(Kind),
    /// From the first byte on.
    Implicit(Kind),
}

impl Upstream {
    pub fn kind(self) -> Kind {
        match self {
            Self::Plain(kind) | Self::Optional(kind) | Self::Explicit(kind) | Self::Implicit(kind) => kind,
        }
    }

    /// The keys of a service that speaks to it; `$DIR` stands for the directory of certificates.
    pub fn keys(self) -> &'static str {
        match self {
            Self::Plain(_) => "upstream_tls: none",
            Self::Optional(_) => "upstream_tls: as-client, upstream_ca: $DIR/authority.pem",
            Self::Explicit(_) => "upstream_tls: explicit, upstream_ca: $DIR/authority.pem",
            Self::Implicit(_) => "upstream_tls: implicit, upstream_ca: $DIR/authority.pem",
        }
    }

    fn encryption(self, pki: &Pki) -> Option<Encryption> {
        let entry = match self {
            Self::Plain(_) => return None,
            Self::Optional(_) | Self::Explicit(_) => Entry::Explicit,
            Self::Implicit(_) => Entry::Implicit,
        };
        Some(Encryption {
            chain: pki.path("server.pem"),
            key: pki.path("server.key"),
            both: pki.path("server.both"),
            entry,
            required: !matches!(self, Self::Optional(_)),
        })
    }

    /// Why it cannot run here, if it cannot.
    fn missing(self) -> Option<String> {
        let tls = || if matches!(self, Self::Plain(_)) { None } else { self.kind().lacks_tls() };
        self.kind().missing().or_else(tls)
    }
}

/// Where a service listens.
#[derive(Debug, Clone, Copy)]
struct Doors {
    explicit: SocketAddr,
    implicit: SocketAddr,
}

/// A running server, and a gateway before it.
pub struct Rig {
    // Before the server, so that it ends first.
    gateway: Group,
    services: Vec<Doors>,
    audit: Audit,
    server: Server,
    pki: Pki,
    dir: TempDir,
}

impl Rig {
    /// Starts both, the gateway with a service for each of these texts, which are keys of `tls:`. `None`, after
    /// saying so, when the server or one of the client's programs is missing.
    pub fn start(upstream: Upstream, programs: &[&str], services: &[&str]) -> Option<Self> {
        let absent = programs.iter().find(|program| find(program).is_none());
        let why = absent.map(|program| format!("{program} is not installed")).or_else(|| upstream.missing());
        if let Some(why) = why {
            skip(&test_name(), &why);
            return None;
        }
        let dir = tempfile::tempdir().expect("temporary directories can be made");
        open_to_all(dir.path(), 0o755);
        let pki = Pki::new(dir.path());
        let wishes = Wishes { passive: None, tls: upstream.encryption(&pki) };
        let ip = Family::V4.server_ip();
        let server = Server::start_with(upstream.kind(), [SocketAddr::new(ip, free_port(ip))], &wishes);
        let door = || SocketAddr::new(Family::V4.gateway_ip(), free_port(Family::V4.gateway_ip()));
        let doors: Vec<_> = services.iter().map(|_| Doors { explicit: door(), implicit: door() }).collect();
        let audit = dir.path().join("audit.jsonl");
        let rules = rules(&doors, services, server.address(Family::V4), dir.path());
        // All services listen before any is served, and not every one need reach its server.
        let last = doors.last().expect("there is a service").explicit;
        let gateway = gateway::start(&rules, &[last], dir.path());
        Some(Self { gateway, services: doors, audit: Audit::of(audit), server, pki, dir })
    }

    /// Where a service listens for clients that begin so.
    pub fn address(&self, service: usize, entry: Entry) -> SocketAddr {
        let doors = self.services[service];
        match entry {
            Entry::Explicit => doors.explicit,
            Entry::Implicit => doors.implicit,
        }
    }

    /// The server itself.
    pub fn server(&self) -> SocketAddr {
        self.server.address(Family::V4)
    }

    /// Ends the server in the middle of what it does.
    pub fn kill_server(&mut self) {
        self.server.kill();
    }

    /// Who may log in.
    pub fn login(&self) -> Login {
        self.server.login()
    }

    /// The directory in which a session starts.
    pub fn home(&self) -> &Path {
        self.server.home()
    }

    /// A directory for the client.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The gateway's records.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The certificates.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// A session under TLS with the first service, logged in, its data private.
    pub fn session(&self, version: Version) -> Raw<Secure> {
        let mut raw = Secure::with(&self.pki, version).explicit(self.address(0, Entry::Explicit));
        raw.protect();
        raw.log_in(self.login());
        raw
    }

    /// A client's job with the first service, data private.
    pub fn job(&self, operation: Operation, version: Version) -> Job {
        let authority = self.pki.path("authority.pem");
        let (entry, protection) = (Entry::Explicit, Protection::Private);
        let tls = Some(Security { entry, version, protection, authority });
        Job { operation, setup: Setup::Epsv, address: self.address(0, entry), login: self.login(), tls }
    }

    /// Has the gateway load its certificates anew.
    pub fn hang_up(&mut self) {
        let gateway = Pid::from_child(self.gateway.leader());
        kill_process(gateway, Signal::HUP).expect("the gateway runs");
    }
}

fn rules(doors: &[Doors], services: &[&str], upstream: SocketAddr, dir: &Path) -> String {
    let dir = dir.display().to_string();
    let mut text = format!(
        "version: 1\ngateway:\n  admin_socket: none\n  audit: {{file: \"{dir}/audit.jsonl\"}}\nservices:\n"
    );
    for (number, (doors, keys)) in doors.iter().zip(services).enumerate() {
        let keys = keys.replace("$DIR", &dir);
        writeln!(
            text,
            "  service-{number}:\n    listen: \"{}\"\n    upstream: \"{upstream}\"\n    \
             tls: {{mode: terminate, certificates: {{chain: {dir}/gateway.pem, key: {dir}/gateway.key}}, \
             implicit_listen: \"{}\", {keys}}}",
            doors.explicit, doors.implicit,
        )
        .expect("a string grows");
    }
    text
}
