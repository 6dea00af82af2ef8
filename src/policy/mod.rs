//! What a service allows: its settings, the decision on each command, and the permits for pinholes.
//!
//! Pure: no IO, no clock. The session engine asks, `config` fills it from the rules file. A
//! [`Permit`] can only come from here, so a pinhole that policy did not allow cannot be written.

mod permit;
mod preset;
pub mod rules;
mod tls;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use crate::addr::{PortRange, PortSet};
use rules::Rules;

pub use permit::{PassivePermit, Permit, RangePermit, TransferMode};
pub use preset::{Denial, Preset};
pub use tls::{DataTls, MinProtection, Terminate, Tls, UpstreamTls};

/// Everything that the engine needs to know of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Which commands may pass where no rule decides.
    pub preset: Preset,
    /// What decides before the preset.
    pub rules: Arc<Rules>,
    /// How a pinhole is opened.
    pub data_path: DataPath,
    /// Whether sockets may have addresses that are not the host's: the client's towards the server, the
    /// server's towards the client.
    pub transparent: bool,
    /// Whether clients dial the server's address, and their connections are intercepted.
    pub intercepted: bool,
    /// Whether PORT and EPRT are allowed.
    pub active: bool,
    /// Whether a pinhole needs a login before it.
    pub require_login: bool,
    /// The IPv4 address written into a 227; `None`: the address that the client reached.
    pub advertise: Option<Ipv4Addr>,
    /// Gateway ports told to clients.
    pub passive_ports: PortSet,
    /// Gateway ports told to servers in active mode.
    pub active_ports: PortSet,
    /// Data ports that the server may announce.
    pub server_ports: PortSet,
    /// What happens when a 227 names another address than the server's.
    pub server_address: ServerAddress,
    /// The port that active data connections to the client come from; `None`: any.
    pub active_source_port: Option<u16>,
    /// What happens to FTPS.
    pub tls: Tls,
    /// Whether clear data only flows the way that the transfer command says.
    pub enforce_direction: bool,
    /// The leniencies that are on.
    pub tolerate: Tolerances,
    /// Bounds.
    pub limits: Limits,
    /// Time-outs.
    pub timeouts: Timeouts,
}

/// How a pinhole is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPath {
    /// The gateway accepts, dials and moves the bytes.
    Relay,
    /// The kernel translates and forwards, where that can be; otherwise as [`DataPath::Relay`].
    Nftables,
}

/// What happens when a 227 names another address than the server's. The address is never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerAddress {
    /// Record it and go on.
    Ignore,
    /// Answer 425.
    Deny,
}

/// Named leniencies; all off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tolerances {
    /// `bare-lf`: a line may end with LF alone.
    pub bare_lf: bool,
    /// `reused-port`: one PORT or EPRT serves many transfers (RFC 959 allows it).
    pub reused_port: bool,
    /// `auth-ssl`: AUTH SSL means AUTH TLS (Microsoft's clients of old).
    pub auth_ssl: bool,
    /// `missing-close-notify`: the end of a TLS data connection needs no close_notify.
    pub missing_close_notify: bool,
    /// `unpadded-multiline`: a line `ddd text` with another code ends a multi-line reply that never closes.
    pub unpadded_multiline: bool,
}

/// Bounds of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at a time, 1..=1_000_000.
    pub sessions: u32,
    /// Sessions at a time from one client address, 1..=1_000_000.
    pub sessions_per_client: u32,
    /// Longest line in bytes with its line end, 512..=65_536. Before login commands are held to 512.
    pub line_bytes: usize,
    /// Commands without a reply, 1..=1_000; more are left unread.
    pub pending_commands: usize,
    /// Lines of one reply, 1..=10_000.
    pub reply_lines: usize,
    /// Violations by the client that are answered, 0..=1_000; one more ends the session.
    pub violations: u32,
    /// Refused logins, 1..=1_000; the last one ends the session.
    pub login_failures: u32,
}

/// Time-outs of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the connection to the login.
    pub login: Duration,
    /// From the last command, while no data connection is up; eight times that while a transfer command is
    /// unanswered.
    pub idle: Duration,
    /// How long a pinhole waits for its connection and for its transfer command.
    pub pinhole: Duration,
    /// How long a data connection may move no byte.
    pub data_idle: Duration,
    /// For connecting to the server, on control and data connections alike.
    pub connect: Duration,
    /// How long running transfers may go on after SIGTERM.
    pub drain: Duration,
}

impl Policy {
    /// The gateway's port on connections that it dials in `mode`; `None`: any.
    pub fn source_port(&self, mode: TransferMode) -> Option<u16> {
        match mode {
            TransferMode::Active => self.active_source_port,
            TransferMode::Passive => None,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            preset: Preset::Rw,
            rules: Arc::default(),
            data_path: DataPath::Relay,
            transparent: false,
            intercepted: false,
            active: true,
            require_login: true,
            advertise: None,
            passive_ports: default_ports(50_000, 50_999),
            active_ports: default_ports(40_000, 49_999),
            server_ports: default_ports(1024, 65_535),
            server_address: ServerAddress::Ignore,
            active_source_port: None,
            tls: Tls::Deny,
            enforce_direction: true,
            tolerate: Tolerances::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

fn default_ports(low: u16, high: u16) -> PortSet {
    PortRange::new(low, high)
        .and_then(|range| PortSet::new(vec![range]))
        .expect("the default ranges are not empty")
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            sessions_per_client: 100,
            line_bytes: 4096,
            pending_commands: 20,
            reply_lines: 100,
            violations: 10,
            login_failures: 5,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            login: Duration::from_secs(60),
            idle: Duration::from_secs(15 * 60),
            pinhole: Duration::from_secs(30),
            data_idle: Duration::from_secs(5 * 60),
            connect: Duration::from_secs(10),
            drain: Duration::from_secs(60),
        }
    }
}
