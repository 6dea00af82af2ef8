//! Which service of the rules file a control connection belongs to.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::addr::{CONTROL_PORT, Legs};
use crate::config::{Config, Role, Service};
use crate::policy::Policy;
use crate::reason::Reason;

/// The rules file, or its defaults.
#[derive(Debug)]
pub(super) enum Rules {
    /// Every control connection, by the defaults of the rules file.
    Defaults(Arc<Policy>),
    /// The control connections of these services.
    Services(Vec<Service>),
}

/// What a control connection goes by.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) service: Arc<str>,
    pub(super) policy: Arc<Policy>,
    /// The client would have been turned away.
    pub(super) refused: Option<Reason>,
}

impl Rules {
    pub(super) fn new(config: Option<Config>) -> Self {
        match config {
            None => Self::Defaults(Arc::default()),
            Some(config) => Self::Services(config.services.into_iter().map(as_captured).collect()),
        }
    }

    /// Whether the addresses alone say that this is a control connection.
    pub(super) fn name_control(&self, client: SocketAddr, server: SocketAddr) -> bool {
        match self {
            Self::Defaults(_) => server.port() == CONTROL_PORT,
            Self::Services(_) => self.case(client, server).is_some(),
        }
    }

    /// The case of a control connection from `client` to `server`; `None`: no service covers it.
    pub(super) fn case(&self, client: SocketAddr, server: SocketAddr) -> Option<Case> {
        let services = match self {
            Self::Defaults(policy) => {
                let (service, policy) = (Arc::from("default"), Arc::clone(policy));
                return Some(Case { service, policy, refused: None });
            }
            Self::Services(services) => services,
        };
        let service = services.iter().find(|service| covers(service, server))?;
        let allowed = service.clients.iter().any(|network| network.contains(&client.ip()));
        let refused = match service.role {
            _ if !allowed => Some(Reason::ClientNotAllowed),
            Role::Forward if !service.servers.iter().any(|network| network.contains(&server.ip())) => {
                Some(Reason::ServerNotAllowed)
            }
            _ => None,
        };
        Some(Case { service: Arc::clone(&service.name), policy: Arc::clone(&service.policy), refused })
    }
}

/// A capture shows a server as its client spoke to it: nobody asked it for TLS on a leg of the gateway's own.
fn as_captured(service: Service) -> Service {
    let tls = service.policy.tls.without_upstream();
    Service { policy: Arc::new(Policy { tls, ..Policy::clone(&service.policy) }), ..service }
}

/// Whether a connection to `server` is one of the service's control connections. A capture may show it in front of
/// the gateway or behind it.
fn covers(service: &Service, server: SocketAddr) -> bool {
    let listens =
        |addr: &SocketAddr| *addr == server || (addr.ip().is_unspecified() && addr.port() == server.port());
    match service.role {
        Role::Reverse => service.listens().any(|addr| listens(&addr)) || service.upstream.contains(&server),
        Role::Forward => server.port() == CONTROL_PORT,
    }
}

/// The legs of a connection that has no gateway in it: each end sees the other.
pub(super) fn legs(client: SocketAddr, server: SocketAddr) -> Legs {
    Legs { client, reached: server, source: client, server }
}
