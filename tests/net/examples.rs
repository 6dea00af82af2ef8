//! The files in `rules/`, each run as it is between hosts that have the addresses it names; only the audit
//! file is another. Quickstart and strict need no networks: tests/it reads them.
//!
//! Scenario of each test: one client and the servers of the example, the gateway's host between them. With
//! each set-up command that the example allows, the client downloads and uploads; the records are right and
//! say that data took the path that the file names; after SIGTERM the host is as it was.

mod case;
mod ground;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use case::Case;
use ground::{Ground, Hosts, Pair, address};

use crate::gateway::Gateway;
use crate::host::Host;
use crate::lab::{FTP, on_gateway};
use crate::namespace::{skip, test_name};
use crate::process::find;
use crate::route::{Family, Setup};
use crate::server::Kind;

/// One test for each line: a name, and what runs in the gateway's namespace.
macro_rules! examples {
    ($($name:ident: $body:expr;)+) => {
        $(
            #[test]
            fn $name() {
                on_gateway(concat!(module_path!(), "::", stringify!($name)), $body);
            }
        )+
    };
}

examples! {
    published: || PUBLISHED.run(&[]);
    published_with_pure_ftpd: || Example { kind: Kind::PureFtpd, ..PUBLISHED }.run(&[]);
    published_beside_iptables: || PUBLISHED.run(&[("iptables-nft", IPTABLES), ("ip6tables-nft", IPTABLES)]);
    published_beside_nftables: || PUBLISHED.run(&[("nft", NFTABLES)]);
    dmz: || DMZ.run(&[]);
    dmz_beside_nftables: || DMZ.run(&[("nft", NFTABLES)]);
    office: || OFFICE.run(&[]);
    office_beside_nftables: || OFFICE.run(&[("nft", NFTABLES)]);
    between_networks: || BETWEEN_NETWORKS.run(&[("nft", ROUTER)]);
    relay_forward: || RELAY_FORWARD.run(&[]);
    relay_forward_beside_nftables: || RELAY_FORWARD.run(&[("nft", EDGE)]);
}

#[test]
fn the_documentation_shows_these_rulesets() {
    let shown = [
        (NFTABLES, "nftables.md"),
        (IPTABLES, "nftables.md"),
        (ROUTER, "deploy/between-networks.md"),
        (EDGE, "deploy/relay-forward.md"),
    ];
    for (ruleset, page) in shown {
        let file = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(ruleset), "{page} shows another ruleset than\n{ruleset}");
    }
}

/// An example, and the hosts that it is for.
#[derive(Clone, Copy)]
struct Example {
    file: &'static str,
    kind: Kind,
    ground: Ground,
    /// Whom clients dial in place of the server.
    dialled: Option<Pair>,
    /// Whom the server sees.
    seen: Pair,
    passive_ports: [u16; 2],
    /// Without them active mode is denied.
    active_ports: Option<[u16; 2]>,
    families: &'static [Family],
    /// Whether the servers stay shut when the gateway has stopped.
    keeps: bool,
}

const BOTH: &[Family] = &[Family::V4, Family::V6];

const PUBLISHED: Example = Example {
    file: "published",
    kind: Kind::Proftpd,
    ground: Ground {
        client: ["198.51.100.7/24", "2001:db8:0:7::7/64"],
        gateway_to_client: ["203.0.113.10/24", "2001:db8:0:1::10/64"],
        gateway_to_servers: ["192.0.2.1/24", "2001:db8:0:2::1/64"],
        servers: &[["192.0.2.5/24", "2001:db8:0:2::5/64"]],
        server_ports: Some([30000, 30099]),
    },
    dialled: Some(["203.0.113.10/24", "2001:db8:0:1::10/64"]),
    seen: ["192.0.2.1/24", "2001:db8:0:2::1/64"],
    passive_ports: [50000, 50063],
    active_ports: Some([40000, 40999]),
    families: BOTH,
    keeps: false,
};

const DMZ: Example = Example {
    file: "dmz",
    kind: Kind::Proftpd,
    ground: Ground {
        client: ["198.51.100.7/24", "2001:db8:0:7::7/64"],
        gateway_to_client: ["203.0.113.2/24", "2001:db8:0:1::2/64"],
        gateway_to_servers: ["192.0.2.17/28", "2001:db8:0:2::1/64"],
        servers: &[["192.0.2.21/28", "2001:db8:0:2::21/64"], ["192.0.2.22/28", "2001:db8:0:2::22/64"]],
        server_ports: Some([30000, 30099]),
    },
    dialled: None,
    seen: ["198.51.100.7/24", "2001:db8:0:7::7/64"],
    passive_ports: [50000, 50063],
    active_ports: Some([40000, 40999]),
    families: BOTH,
    keeps: true,
};

const OFFICE: Example = Example {
    file: "office",
    kind: Kind::Vsftpd,
    ground: Ground {
        client: ["192.0.2.40/24", "2001:db8:0:2::40/64"],
        gateway_to_client: ["192.0.2.1/24", "2001:db8:0:2::1/64"],
        gateway_to_servers: ["203.0.113.2/24", "2001:db8:0:1::2/64"],
        servers: &[["198.51.100.21/24", "2001:db8:0:7::21/64"]],
        server_ports: None,
    },
    dialled: None,
    seen: ["203.0.113.2/24", "2001:db8:0:1::2/64"],
    passive_ports: [50000, 50999],
    active_ports: Some([40000, 40999]),
    families: BOTH,
    keeps: false,
};

const BETWEEN_NETWORKS: Example = Example {
    file: "between-networks",
    kind: Kind::Vsftpd,
    ground: Ground {
        client: ["192.0.2.40/24", "2001:db8:0:2::40/64"],
        gateway_to_client: ["192.0.2.1/24", "2001:db8:0:2::1/64"],
        gateway_to_servers: ["198.51.100.1/24", "2001:db8:0:3::1/64"],
        servers: &[["198.51.100.21/24", "2001:db8:0:3::21/64"]],
        server_ports: None,
    },
    dialled: None,
    seen: ["192.0.2.40/24", "2001:db8:0:2::40/64"],
    passive_ports: [50000, 50999],
    active_ports: Some([40000, 40999]),
    families: BOTH,
    keeps: false,
};

const RELAY_FORWARD: Example = Example {
    file: "relay-forward",
    kind: Kind::Proftpd,
    ground: Ground {
        client: ["192.0.2.40/24", "2001:db8:0:2::40/64"],
        gateway_to_client: ["192.0.2.1/24", "2001:db8:0:2::1/64"],
        gateway_to_servers: ["203.0.113.2/24", "2001:db8:0:1::2/64"],
        servers: &[["198.51.100.21/24", "2001:db8:0:7::21/64"], ["198.51.100.22/24", "2001:db8:0:7::22/64"]],
        server_ports: Some([30000, 30999]),
    },
    dialled: None,
    seen: ["203.0.113.2/24", "2001:db8:0:1::2/64"],
    passive_ports: [50000, 50999],
    active_ports: None,
    families: &[Family::V4],
    keeps: false,
};

/// How long nobody answers.
const QUIET: Duration = Duration::from_millis(500);

/// The rulesets of docs/nftables.md: nothing new is forwarded but what bears the mark.
const NFTABLES: &str = include_str!("examples/beside.nft");
const IPTABLES: &str = include_str!("examples/beside.iptables");
/// Those of a router and of a host that forwards nothing, in docs/deploy/.
const ROUTER: &str = include_str!("examples/router.nft");
const EDGE: &str = include_str!("examples/edge.nft");

impl Example {
    /// Runs it on a host whose administrator has loaded these rulesets: a program, and what it reads.
    fn run(self, own: &[(&str, &str)]) {
        let programs = own.iter().find(|(program, _)| find(program).is_none());
        let missing = programs.map(|(program, _)| format!("{program} is not installed"));
        if let Some(why) = missing.or_else(|| self.kind.missing()) {
            return skip(&test_name(), &why);
        }
        let hosts = self.ground.prepare(Host::here());
        own.iter().for_each(|(program, rules)| load(&hosts.gateway, program, rules));
        let before = hosts.gateway.snapshot();
        let gateway = match Gateway::start(|audit| self.rules(audit)) {
            Ok(gateway) => gateway,
            Err(refused) => panic!("the gateway does not start: {}", refused.0),
        };
        for pair in self.ground.servers {
            let server = hosts.serve(self.kind, self.families, *pair, self.ground.server_ports);
            for (family, setup) in self.setups() {
                let audit = gateway.audit();
                Case { example: &self, hosts: &hosts, audit, server: &server, pair: *pair, family, setup }
                    .run();
            }
        }
        gateway.stop();
        if self.keeps {
            self.stays_shut(&hosts);
            hosts.gateway.nft("delete table inet ftp_pinhole\n");
        }
        before.assert_same(&hosts.gateway.snapshot());
    }

    /// The servers are up, and nobody reaches them.
    fn stays_shut(&self, hosts: &Hosts) {
        for (pair, &family) in
            self.ground.servers.iter().flat_map(|pair| self.families.iter().map(move |f| (pair, f)))
        {
            let server = SocketAddr::new(address(family, *pair), FTP);
            let _up = hosts.servers.run(|| TcpListener::bind(server)).expect("the server's port is free");
            let dialled = hosts.client.run(|| TcpStream::connect_timeout(&server, QUIET));
            assert!(dialled.is_err(), "{server} can be reached");
        }
    }

    /// The file, with another audit file.
    fn rules(&self, audit: &Path) -> String {
        const AUDIT: &str = "/var/log/ftp-pinhole/audit.jsonl";
        let file = format!("{}/rules/{}.yaml", env!("CARGO_MANIFEST_DIR"), self.file);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(AUDIT), "{file} names another audit file");
        text.replace(AUDIT, &audit.display().to_string())
    }

    /// The set-up commands that the example allows.
    fn setups(&self) -> impl Iterator<Item = (Family, Setup)> {
        const ALL: [(Family, Setup); 6] = [
            (Family::V4, Setup::Pasv),
            (Family::V4, Setup::Epsv),
            (Family::V4, Setup::Port),
            (Family::V4, Setup::Eprt),
            (Family::V6, Setup::Epsv),
            (Family::V6, Setup::Eprt),
        ];
        let allowed = |setup: Setup| setup.passive() || self.active_ports.is_some();
        ALL.into_iter().filter(move |(family, setup)| self.families.contains(family) && allowed(*setup))
    }
}

/// Loads a ruleset; iptables takes one rule at a time.
fn load(host: &Host, program: &str, rules: &str) {
    match program {
        "nft" => host.nft(rules),
        _ => rules.lines().for_each(|rule| {
            host.output(program, &rule.split_whitespace().collect::<Vec<_>>());
        }),
    }
}
