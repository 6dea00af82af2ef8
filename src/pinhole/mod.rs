//! Pinholes: what the engine promised, what a backend opened, and which gateway port it stands on.
//!
//! Pure: no IO, no clock, no randomness. An [`Expectation`] is built from a policy
//! [`Permit`] and nothing else. The [`Ledger`] keeps the triple (dialling
//! address, address dialled, port dialled) unique among the pending pinholes, so that one port
//! serves many peers. Used by the session engine and by every firewall backend.

mod ledger;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::ids::PinholeId;
use crate::policy::{Permit, TransferMode};
use crate::reason::Reason;

pub use ledger::{Ledger, Triple};

/// The engine's promise that one data connection may come: to be opened by a backend.
#[derive(Debug, PartialEq, Eq)]
pub struct Expectation {
    permit: Permit,
    /// The gateway port to use; `None`: the backend picks one at random from the service's range.
    pub port: Option<u16>,
    /// Whether the gateway has to see the bytes, since it encrypts or decrypts them.
    pub terminated: bool,
}

impl Expectation {
    /// The expectation that `permit` allows.
    pub fn new(permit: Permit, port: Option<u16>) -> Self {
        Self { permit, port, terminated: false }
    }

    /// What policy permitted.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// Who dials.
    pub fn mode(&self) -> TransferMode {
        self.permit.mode()
    }
}

/// A pinhole that a backend opened (passive) or reserved (active, until [`Order::Activate`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its name.
    pub id: PinholeId,
    /// The gateway's port that is dialled.
    pub port: u16,
    /// Why the relay carries it though the service asks for the kernel; `None`: as the service asks.
    pub relayed: Option<Reason>,
}

/// Which way the bytes of a data connection may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server (STOR, STOU, APPE).
    ToServer,
    /// From the server to the client (RETR, LIST, NLST, MLSD).
    ToClient,
    /// Either way (`data_direction: any`).
    Both,
}

/// Which legs of a data connection are under the gateway's TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protected {
    /// The client's, where the gateway is the TLS server (RFC 4217 section 7).
    pub client: bool,
    /// The server's, where the gateway is the TLS client.
    pub server: bool,
}

impl Protected {
    /// Whether any is.
    pub fn any(self) -> bool {
        self.client || self.server
    }
}

/// What the engine tells the backend about a pinhole that it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The server accepted PORT or EPRT: the reserved pinhole may carry a connection now.
    Activate,
    /// On these legs the bytes are under TLS, which the gateway begins or ends. Comes before `Flow`.
    Protect(Protected),
    /// The transfer command is about to be forwarded: bytes may flow this way.
    Flow(Direction),
    /// Take it back if it is pending; cut its connection if there is one.
    Close,
}

/// What the backend tells the engine about a pinhole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEvent {
    /// The expected peer connected, from this address.
    Connected {
        /// The dialling peer, with its source port.
        from: SocketAddr,
    },
    /// Active mode: the gateway's connection to the client stands, too.
    Joined,
    /// A protected transfer has gone out to its receiver up to the sender's end.
    Delivered {
        /// The sender's close_notify came; without it this is a tolerated end.
        notified: bool,
    },
    /// The client connected at this port of a range; the connection has a name of its own.
    Entered {
        /// The connection.
        pinhole: PinholeId,
        /// The gateway's port, and the server's.
        port: u16,
    },
    /// The expected peer connected once more; that connection was cut.
    SecondConnection {
        /// The dialling peer, with its source port.
        from: SocketAddr,
    },
    /// The data connection is over. The last event of a pinhole that connected.
    Closed(Closed),
}

/// How a data connection ended and what it carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Payload bytes from the client to the server, exact; `None`: not known, `reason` says why.
    pub bytes_to_server: Option<u64>,
    /// Payload bytes from the server to the client, exact; `None`: not known, `reason` says why.
    pub bytes_to_client: Option<u64>,
    /// From the connection to the end.
    pub duration: Duration,
    /// `None`: both ends closed in order.
    pub reason: Option<Reason>,
}

/// Why a backend opened nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No port of the range is free for this pair of addresses.
    #[error("no gateway port is free for {dialler} to {listen}")]
    NoFreePort {
        /// Who would have dialled.
        dialler: IpAddr,
        /// The gateway's address.
        listen: IpAddr,
    },
    /// The backend failed; the log has the cause.
    #[error("the firewall backend failed")]
    Backend,
    /// The audit sink cannot take the record.
    #[error("the audit sink cannot take records")]
    Audit,
}

impl OpenError {
    /// The audit code.
    pub fn reason(self) -> Reason {
        match self {
            OpenError::NoFreePort { .. } => Reason::NoFreePort,
            OpenError::Backend => Reason::FirewallFailed,
            OpenError::Audit => Reason::AuditUnavailable,
        }
    }
}
