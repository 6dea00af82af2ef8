//! The words of the matrix: who speaks which family, and which command sets up a data connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

/// Addresses that a test's own network namespace has on loopback.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Where the gateway listens.
    pub fn gateway_ip(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::LOCALHOST.into(),
            Self::V6 => or_loopback(GATEWAY_V6),
        }
    }

    /// Where servers listen: not the gateway's address, so that one cannot pass for the other.
    pub fn server_ip(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(127, 0, 0, 2).into(),
            Self::V6 => or_loopback(SERVER_V6),
        }
    }

    /// Whether this machine has the family.
    pub fn available(self) -> bool {
        TcpListener::bind((self.gateway_ip(), 0)).is_ok()
    }
}

/// There is only one IPv6 address on loopback outside a namespace of our own.
fn or_loopback(ip: Ipv6Addr) -> IpAddr {
    if TcpListener::bind((ip, 0)).is_ok() { ip.into() } else { Ipv6Addr::LOCALHOST.into() }
}

/// The families on the two sides of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The client's side.
    pub client: Family,
    /// The server's side.
    pub server: Family,
}

impl Route {
    /// All of them; the last two exist only through the gateway.
    pub const ALL: [Self; 4] = [
        Self { client: Family::V4, server: Family::V4 },
        Self { client: Family::V6, server: Family::V6 },
        Self { client: Family::V6, server: Family::V4 },
        Self { client: Family::V4, server: Family::V6 },
    ];

    /// Whether both sides are of one family.
    pub fn straight(self) -> bool {
        self.client == self.server
    }

    /// Whether this machine has both families.
    pub fn available(self) -> bool {
        self.client.available() && self.server.available()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.straight() {
            write!(f, "{:?}", self.client)
        } else {
            write!(f, "{:?}-{:?}", self.client, self.server)
        }
    }
}

/// The command that sets up a data connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    Pasv,
    Epsv,
    Port,
    Eprt,
}

impl Setup {
    /// The command's verb, as it stands in an audit record.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Pasv => "PASV",
            Self::Epsv => "EPSV",
            Self::Port => "PORT",
            Self::Eprt => "EPRT",
        }
    }

    /// Whether the client dials.
    pub fn passive(self) -> bool {
        matches!(self, Self::Pasv | Self::Epsv)
    }
}
