//! The gateway program, started over a running server, and what a client dials.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::audit::Audit;
use crate::namespace::{skip, test_name};
use crate::process::{Group, find, free_port, start_daemon};
use crate::route::Route;
use crate::server::{Kind, Login, Server};

/// What stands between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Nothing: the client dials the server.
    Direct,
    /// The gateway.
    Gateway,
}

impl Via {
    /// As the environment says; the gateway when it says nothing.
    pub fn chosen() -> Self {
        if env::var_os("FTP_PINHOLE_VIA").is_some_and(|via| via == "direct") {
            Self::Direct
        } else {
            Self::Gateway
        }
    }
}

/// A running gateway with one service for each route.
struct Gateway {
    _process: Group,
    services: Vec<(Route, SocketAddr)>,
    audit: Audit,
}

impl Gateway {
    fn start(server: &Server, routes: &[Route], dir: &Path) -> Self {
        let listen = |route: &Route| {
            let ip = route.client.gateway_ip();
            SocketAddr::new(ip, free_port(ip))
        };
        let services: Vec<_> = routes.iter().map(|route| (*route, listen(route))).collect();
        let audit = dir.join("audit.jsonl");
        let listening: Vec<_> = services.iter().map(|service| service.1).collect();
        let process = start(&rules(&services, server, &audit), &listening, dir);
        Self { _process: process, services, audit: Audit::of(audit) }
    }
}

/// Starts the gateway with these rules and waits until it passes servers' greetings on.
pub fn start(rules: &str, listening: &[SocketAddr], dir: &Path) -> Group {
    let file = dir.join("rules.yaml");
    fs::write(&file, rules).expect("the test's directory takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftp-pinhole"));
    command.arg("run").arg(&file);
    start_daemon(&mut command, listening, &dir.join("gateway.log"))
}

fn rules(services: &[(Route, SocketAddr)], server: &Server, audit: &Path) -> String {
    let mut text = format!(
        "version: 1\ngateway:\n  admin_socket: none\n  audit: {{file: \"{}\"}}\nservices:\n",
        audit.display()
    );
    for (route, listen) in services {
        let upstream = server.address(route.server);
        let name = route.to_string().to_lowercase();
        writeln!(text, "  {name}: {{listen: [\"{listen}\"], upstream: \"{upstream}\"}}")
            .expect("a string grows");
    }
    text
}

/// A server, and the gateway if there is one.
pub struct Rig {
    routes: Vec<Route>,
    // Before the server, so that it ends first.
    gateway: Option<Gateway>,
    server: Server,
    dir: TempDir,
}

impl Rig {
    /// Starts both. `None`, after saying so, when the server or one of the client's programs is missing.
    pub fn start(kind: Kind, programs: &[&str], via: Via) -> Option<Self> {
        if let Some(program) = programs.iter().find(|program| find(program).is_none()) {
            skip(&test_name(), &format!("{program} is not installed"));
            return None;
        }
        if let Some(why) = kind.missing() {
            skip(&test_name(), &why);
            return None;
        }
        let routes = routes(via);
        let (server, dir) =
            (Server::start(kind), tempfile::tempdir().expect("temporary directories can be made"));
        let gateway = (via == Via::Gateway).then(|| Gateway::start(&server, &routes, dir.path()));
        Some(Self { routes, gateway, server, dir })
    }

    /// The routes that can be had: between families only through the gateway.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Where a client dials for a route.
    pub fn address(&self, route: Route) -> SocketAddr {
        let Some(gateway) = &self.gateway else { return self.server.address(route.server) };
        let service = gateway.services.iter().find(|service| service.0 == route);
        service.expect("each route has a service").1
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
    pub fn audit(&self) -> Option<&Audit> {
        self.gateway.as_ref().map(|gateway| &gateway.audit)
    }
}

fn routes(via: Via) -> Vec<Route> {
    let wanted = Route::ALL.into_iter().filter(|route| via == Via::Gateway || route.straight());
    let (have, lack): (Vec<_>, Vec<_>) = wanted.partition(|route| route.available());
    if !lack.is_empty() {
        skip(&test_name(), "without IPv6 on loopback only the IPv4 route can be had");
    }
    have
}
