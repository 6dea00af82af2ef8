//! Permits: the proof that policy allowed one data connection.

use std::net::{IpAddr, SocketAddr};

use super::{Policy, ServerAddress, Tls};
use crate::addr::{AdvertisedAddr, Legs, PortSet};
use crate::ftp::Verb;
use crate::reason::Reason;

/// Who dials the data connection, seen from the client's leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferMode {
    /// The server dials, the client listens (PORT, EPRT).
    Active,
    /// The client dials, the server listens (PASV, EPSV).
    Passive,
}

impl TransferMode {
    /// The mode that a set-up command asks for; `None`: `verb` is none.
    pub const fn asked_for(verb: Verb) -> Option<Self> {
        match verb {
            Verb::Pasv | Verb::Epsv | Verb::Lpsv => Some(TransferMode::Passive),
            Verb::Port | Verb::Eprt | Verb::Lprt => Some(TransferMode::Active),
            _ => None,
        }
    }

    /// As it stands in audit records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            TransferMode::Active => "active",
            TransferMode::Passive => "passive",
        }
    }
}

/// The proof that policy allowed one data connection. Only this module makes one, it cannot be
/// copied, and a pinhole cannot be asked for without one.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    mode: TransferMode,
    dialler: IpAddr,
    listen: IpAddr,
    to: SocketAddr,
    bind: Option<IpAddr>,
}

impl Permit {
    /// Who dials.
    pub fn mode(&self) -> TransferMode {
        self.mode
    }

    /// The address of who dials, from the socket of the control connection.
    pub fn dialler(&self) -> IpAddr {
        self.dialler
    }

    /// The gateway's address that is dialled.
    pub fn listen(&self) -> IpAddr {
        self.listen
    }

    /// Where the data connection goes on to.
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// The gateway's address to dial [`to`](Self::to) from: the one that this peer knows from the
    /// control connection. `None`: by route.
    pub fn bind(&self) -> Option<IpAddr> {
        self.bind
    }
}

/// The proof that policy allowed data connections at a range of ports, for a session that nobody can read.
#[derive(Debug, PartialEq, Eq)]
pub struct RangePermit {
    dialler: IpAddr,
    listen: IpAddr,
    server: IpAddr,
    bind: IpAddr,
    ports: PortSet,
}

impl RangePermit {
    /// The client's address.
    pub fn dialler(&self) -> IpAddr {
        self.dialler
    }

    /// The gateway's address that the client dials.
    pub fn listen(&self) -> IpAddr {
        self.listen
    }

    /// The server, which listens at the port that the client dials.
    pub fn server(&self) -> IpAddr {
        self.server
    }

    /// The ports.
    pub fn ports(&self) -> &PortSet {
        &self.ports
    }

    /// The permit for one connection at `port`; `None`: the range does not hold it.
    pub fn at(&self, port: u16) -> Option<Permit> {
        self.ports.contains(port).then(|| Permit {
            mode: TransferMode::Passive,
            dialler: self.dialler,
            listen: self.listen,
            to: SocketAddr::new(self.server, port),
            bind: Some(self.bind),
        })
    }
}

/// What policy says of a server's passive port.
#[derive(Debug, PartialEq, Eq)]
pub struct PassivePermit {
    /// The permit.
    pub permit: Permit,
    /// The reply named an address that is not the server's; it was not used.
    pub address_differs: bool,
}

impl Policy {
    /// A permit for the address that the client named in PORT or EPRT.
    ///
    /// The address must be the client's own (D1, D2) and the port 1024 or above (D4).
    pub fn permit_active(&self, legs: &Legs, named: AdvertisedAddr) -> Result<Permit, Reason> {
        if !self.active {
            return Err(Reason::ActiveDenied);
        }
        if named.0.ip() != legs.client.ip() {
            return Err(Reason::ForeignAddress);
        }
        if named.0.port() < 1024 {
            return Err(Reason::PortNotAllowed);
        }
        Ok(Permit {
            mode: TransferMode::Active,
            dialler: legs.server.ip(),
            listen: legs.source.ip(),
            to: SocketAddr::new(legs.client.ip(), named.0.port()),
            bind: Some(legs.reached.ip()),
        })
    }

    /// A permit for the static range of a session that is encrypted from end to end; `None`: there is none.
    pub fn permit_range(&self, legs: &Legs) -> Option<RangePermit> {
        let Tls::Blind(ports) = &self.tls else {
            return None;
        };
        Some(RangePermit {
            dialler: legs.client.ip(),
            listen: legs.reached.ip(),
            server: legs.server.ip(),
            bind: legs.source.ip(),
            ports: ports.clone(),
        })
    }

    /// A permit for the port that the server named in its 227 or 229; `named` is the address beside
    /// it, if any. The permit leads to the server's own address whatever `named` is (D3).
    pub fn permit_passive(
        &self,
        legs: &Legs,
        port: u16,
        named: Option<IpAddr>,
    ) -> Result<PassivePermit, Reason> {
        let address_differs =
            named.is_some_and(|named| named != legs.server.ip() && !self.is_masked(legs, named));
        if address_differs && self.server_address == ServerAddress::Deny {
            return Err(Reason::ServerAddress);
        }
        if port < 1024 || !self.server_ports.contains(port) {
            return Err(Reason::ServerPort);
        }
        let permit = Permit {
            mode: TransferMode::Passive,
            dialler: legs.client.ip(),
            listen: legs.reached.ip(),
            to: SocketAddr::new(legs.server.ip(), port),
            bind: Some(legs.source.ip()),
        };
        Ok(PassivePermit { permit, address_differs })
    }

    /// Whether `named` is the gateway's own address, which servers have to name where nobody can rewrite their 227
    /// (blind); after CCC they go on to.
    fn is_masked(&self, legs: &Legs, named: IpAddr) -> bool {
        matches!(self.tls, Tls::Blind(_)) && named == legs.reached.ip()
    }
}
