//! Where the gateway stands and how it moves data: the words of the matrix, as rules and as addresses.

use std::fmt;
use std::path::Path;

pub use ftp_pinhole::config::{Integration, Intercept, Role, Source};
pub use ftp_pinhole::policy::DataPath;

use crate::host::Host;
use crate::lab::{FTP, Lab, Who};
use crate::route::Family;

/// One way to deploy the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    pub role: Role,
    pub intercept: Intercept,
    pub source: Source,
    pub data_path: DataPath,
    pub integration: Integration,
}

/// The gateway's ports that clients and servers are told to dial.
pub const PASSIVE_PORTS: std::ops::RangeInclusive<u16> = 50000..=50099;
pub const ACTIVE_PORTS: std::ops::RangeInclusive<u16> = 40000..=40099;

impl Placement {
    /// Whether hosts outside need a route to the inside.
    pub fn routed(self) -> bool {
        match self.role {
            Role::Reverse => self.intercept != Intercept::Listen,
            Role::Forward => self.source == Source::Client,
        }
    }

    /// The host of the client.
    pub fn client(self) -> Who {
        match self.role {
            Role::Reverse => Who::Far,
            Role::Forward => Who::Near,
        }
    }

    /// The host of the server.
    pub fn server(self) -> Who {
        match self.role {
            Role::Reverse => Who::Near,
            Role::Forward => Who::Far,
        }
    }

    /// Whom the client dials.
    pub fn dialled(self) -> Who {
        match (self.role, self.intercept) {
            (Role::Reverse, Intercept::Listen) => Who::GatewayOutside,
            _ => self.server(),
        }
    }

    /// Whom the server sees as its client.
    pub fn seen(self) -> Who {
        match (self.source, self.role) {
            (Source::Client, _) => self.client(),
            (Source::Gateway, Role::Reverse) => Who::GatewayInside,
            (Source::Gateway, Role::Forward) => Who::GatewayOutside,
        }
    }

    /// The rules file; `more` are further keys of the service, each with a comma behind it.
    pub fn rules(self, audit: &Path, more: &str) -> String {
        let listen = match self.intercept {
            Intercept::Listen => addresses(|family| Who::GatewayOutside.at(family, FTP).to_string()),
            Intercept::Redirect | Intercept::Tproxy => r#""0.0.0.0:2121", "[::]:2121""#.to_owned(),
        };
        let peers = match self.role {
            Role::Reverse => {
                format!("upstream: [{}]", addresses(|family| Who::Near.at(family, FTP).to_string()))
            }
            Role::Forward => r#"clients: ["10.77.0.0/24", "fd00:77::/64"]"#.to_owned(),
        };
        let nftables = match (self.needs_table(), word(self.integration)) {
            (true, integration) => format!("\n  nftables: {{integration: {integration}}}"),
            (false, _) => String::new(),
        };
        format!(
            "version: 1\ngateway:\n  admin_socket: none\n  audit: {{file: \"{}\"}}{nftables}\nservices:\n  \
             net: {{role: {}, intercept: {}, source: {}, data_path: {}, listen: [{listen}], {peers}, \
             passive_ports: {}, active_ports: {}, {more}}}\n",
            audit.display(),
            word(self.role),
            word(self.intercept),
            word(self.source),
            word(self.data_path),
            range(&PASSIVE_PORTS),
            range(&ACTIVE_PORTS),
        )
    }

    /// Whether the gateway has a table of its own.
    fn needs_table(self) -> bool {
        (self.data_path, self.intercept, self.source) != (DataPath::Relay, Intercept::Listen, Source::Gateway)
    }

    /// The administrator's part: routes, and for the cooperative integration a ruleset.
    pub fn prepare(self, lab: &Lab) {
        if self.routed() {
            lab.route_outside();
        }
        if self.integration == Integration::Cooperative {
            lab.gateway.nft(ADMIN);
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, intercept, source, data_path, integration } = self;
        write!(f, "{role:?} {intercept:?} {source:?} {data_path:?} {integration:?}")
    }
}

impl Lab {
    /// The host that has these addresses.
    pub fn host(&self, who: Who) -> &Host {
        match who {
            Who::Far => &self.far,
            Who::Stranger => &self.stranger,
            Who::GatewayOutside | Who::GatewayInside => &self.gateway,
            Who::Near => &self.near,
            Who::Neighbour => &self.neighbour,
        }
    }
}

/// The word of a rules file.
fn word(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn range(ports: &std::ops::RangeInclusive<u16>) -> String {
    format!("{}-{}", ports.start(), ports.end())
}

/// Two quoted addresses.
fn addresses(of: impl Fn(Family) -> String) -> String {
    [Family::V4, Family::V6].map(|family| format!("{:?}", of(family))).join(", ")
}

/// A firewall that forwards nothing new but what bears the gateway's mark.
const ADMIN: &str = "table inet admin {
    chain forwarding {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        ct mark and 0x80000000 == 0x80000000 accept
    }
}
";
