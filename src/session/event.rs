//! What the engine reports for the audit record.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::ids::PinholeId;
use crate::policy::TransferMode;
use crate::reason::Reason;

/// One decision or change of state. Which session it belongs to is the shell's to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The user that the last accepted USER named; control bytes are escaped.
    pub user: Option<String>,
    /// The pinhole concerned.
    pub pinhole: Option<PinholeId>,
    /// Who dials its data connection.
    pub mode: Option<TransferMode>,
    /// The verb of the client's command; never an argument.
    pub command: Option<String>,
    /// Who dials, or who dialled.
    pub from: Option<IpAddr>,
    /// The gateway's address that is dialled.
    pub listen: Option<SocketAddr>,
    /// Where the data connection goes on to; in `pinhole.denied`: what was asked for.
    pub to: Option<SocketAddr>,
    /// The rule that decided.
    pub rule: Option<Arc<str>>,
    /// Why.
    pub reason: Option<Reason>,
    /// The transfer command with its path; control bytes are escaped.
    pub transfer: Option<String>,
    /// Payload bytes from the client to the server.
    pub bytes_to_server: Option<u64>,
    /// Payload bytes from the server to the client.
    pub bytes_to_client: Option<u64>,
    /// How long it lasted.
    pub duration: Option<Duration>,
}

impl Event {
    /// An event of which nothing is known yet but its kind.
    pub fn new(kind: EventKind) -> Self {
        Self {
            kind,
            user: None,
            pinhole: None,
            mode: None,
            command: None,
            from: None,
            listen: None,
            to: None,
            rule: None,
            reason: None,
            transfer: None,
            bytes_to_server: None,
            bytes_to_client: None,
            duration: None,
        }
    }
}

/// Makes the enum, its list and its names from one table.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)+) => {
        /// The kinds of audit records. Each has one heading in `docs/audit.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl EventKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$kind,)+];

            /// The name, as it stands in `event`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// A client connected.
    SessionOpened = "session.opened",
    /// The server accepted the login.
    SessionLogin = "session.login",
    /// The session is over, with the last of its data connections.
    SessionClosed = "session.closed",
    /// A pinhole waits for its connection.
    PinholeOpened = "pinhole.opened",
    /// The expected peer connected.
    PinholeConnected = "pinhole.connected",
    /// The data connection is over.
    PinholeClosed = "pinhole.closed",
    /// Nobody came in time.
    PinholeExpired = "pinhole.expired",
    /// A pending pinhole was taken back.
    PinholeRevoked = "pinhole.revoked",
    /// A pinhole was asked for and not opened.
    PinholeDenied = "pinhole.denied",
    /// A command was answered by the gateway instead of being forwarded.
    CommandDenied = "command.denied",
    /// A peer broke the protocol.
    Violation = "violation",
    /// The gateway is ready.
    GatewayStarted = "gateway.started",
    /// The rules file was read again.
    GatewayReloaded = "gateway.reloaded",
    /// The gateway stops.
    GatewayStopped = "gateway.stopped",
}
