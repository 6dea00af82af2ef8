//! Where an accepted connection was meant to go.
//!
//! Does: ask the socket for the destination that the client dialled, and say which servers that leads
//! to. Does not: dial. An intercepted client dialled a server; one that dialled the gateway's own
//! socket is turned away, as dialling its destination would lead back here without end.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;
use tracing::debug;

use crate::addr::{CONTROL_PORT, canonical};
use crate::config::model::{Intercept, Role, Service};
use crate::reason::Reason;

/// What an accepted connection leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    /// The address that the client dialled.
    pub(super) reached: SocketAddr,
    /// The servers to try, at least one.
    pub(super) servers: Cow<'a, [SocketAddr]>,
}

/// Where a connection arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The socket's own address.
    local: SocketAddr,
    /// The address that the client dialled.
    pub(super) dialled: SocketAddr,
}

/// Where `stream` arrived.
pub(super) fn arrival(service: &Service, stream: &TcpStream) -> Result<Arrival, Reason> {
    find(service.intercept, stream).map_err(|error| {
        debug!(%error, "no original destination");
        Reason::NotIntercepted
    })
}

fn find(intercept: Intercept, stream: &TcpStream) -> io::Result<Arrival> {
    let local = stream.local_addr().map(canonical)?;
    let dialled = match intercept {
        // A socket that TPROXY found has the destination for its own address.
        Intercept::Listen | Intercept::Tproxy => local,
        Intercept::Redirect => original_destination(stream, local).map(canonical)?,
    };
    Ok(Arrival { local, dialled })
}

/// What the connection's destination was before it was translated (SO_ORIGINAL_DST).
fn original_destination(stream: &TcpStream, local: SocketAddr) -> io::Result<SocketAddr> {
    let socket = SockRef::from(stream);
    let found = if local.is_ipv4() { socket.original_dst_v4() } else { socket.original_dst_v6() }?;
    found.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Where a connection that was accepted at `listen` leads to.
pub(super) fn route(
    service: &Service,
    listen: SocketAddr,
    Arrival { local, dialled }: Arrival,
) -> Result<Route<'_>, Reason> {
    let intercepted = match service.intercept {
        Intercept::Listen => {
            return Ok(Route { reached: local, servers: Cow::Borrowed(&service.upstream) });
        }
        Intercept::Redirect => dialled != local,
        Intercept::Tproxy => !is_at(listen, dialled),
    };
    let allowed = match service.role {
        Role::Reverse => service.upstream.contains(&dialled),
        // Another port is a data connection of a range that has just closed.
        Role::Forward => {
            dialled.port() == CONTROL_PORT
                && service.servers.iter().any(|network| network.contains(&dialled.ip()))
        }
    };
    // No upstream is the gateway itself, though one may have the port of a listener at every address.
    let intercepted = intercepted || (service.role == Role::Reverse && allowed);
    match (intercepted, allowed) {
        (false, _) => Err(Reason::NotIntercepted),
        (true, false) => Err(Reason::ServerNotAllowed),
        (true, true) => Ok(Route { reached: dialled, servers: Cow::Owned(vec![dialled]) }),
    }
}

/// Whether dialling `addr` can be what reaches a socket that listens at `listen`.
fn is_at(listen: SocketAddr, addr: SocketAddr) -> bool {
    addr.port() == listen.port() && (listen.ip().is_unspecified() || addr.ip() == listen.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn service(keys: &str) -> Service {
        let text = format!("version: 1\nservices: {{a: {{listen: 0.0.0.0:2121, {keys}}}}}\n");
        Config::parse("rules.yaml", &text).unwrap().services.remove(0)
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The server that is dialled, or why none is.
    fn decided(service: &Service, local: &str, dialled: &str) -> Result<SocketAddr, Reason> {
        let route =
            route(service, addr("0.0.0.0:2121"), Arrival { local: addr(local), dialled: addr(dialled) })?;
        assert_eq!(*route.servers, [route.reached]);
        Ok(route.reached)
    }

    #[test]
    fn a_client_of_a_plain_listener_reaches_the_upstream() {
        let service = service("upstream: 10.0.0.5:21");
        let (listen, local) = (addr("0.0.0.0:2121"), addr("192.0.2.1:2121"));
        let route = super::route(&service, listen, Arrival { local, dialled: local }).unwrap();
        assert_eq!((route.reached, &*route.servers), (local, &[addr("10.0.0.5:21")][..]));
    }

    #[test]
    fn a_connection_that_was_not_intercepted_would_loop_and_is_refused() {
        for intercept in ["redirect", "tproxy"] {
            let forward = service(&format!("role: forward, intercept: {intercept}"));
            let direct = decided(&forward, "192.0.2.1:2121", "192.0.2.1:2121");
            assert_eq!(direct, Err(Reason::NotIntercepted));
            let reverse = service(&format!("upstream: 10.0.0.5:21, intercept: {intercept}"));
            let direct = decided(&reverse, "192.0.2.1:2121", "192.0.2.1:2121");
            assert_eq!(direct, Err(Reason::NotIntercepted));
        }
    }

    #[test]
    fn in_role_forward_the_client_names_a_server_of_the_list() {
        let tproxy = service("role: forward, intercept: tproxy, servers: 198.51.100.0/24");
        let (inside, outside) = ("198.51.100.9:21", "203.0.113.9:21");
        assert_eq!(decided(&tproxy, inside, inside), Ok(addr(inside)));
        assert_eq!(decided(&tproxy, outside, outside), Err(Reason::ServerNotAllowed));
        let redirect = service("role: forward, intercept: redirect, servers: 198.51.100.0/24");
        assert_eq!(decided(&redirect, "192.0.2.1:2121", inside), Ok(addr(inside)));
        assert_eq!(decided(&redirect, "192.0.2.1:2121", outside), Err(Reason::ServerNotAllowed));
    }

    #[test]
    fn in_role_reverse_the_client_dials_one_of_the_upstreams() {
        let service = service("upstream: [10.0.0.5:21, 10.0.0.6:2121], intercept: tproxy");
        assert_eq!(decided(&service, "10.0.0.5:21", "10.0.0.5:21"), Ok(addr("10.0.0.5:21")));
        assert_eq!(decided(&service, "10.0.0.6:2121", "10.0.0.6:2121"), Ok(addr("10.0.0.6:2121")));
        assert_eq!(decided(&service, "10.0.0.7:21", "10.0.0.7:21"), Err(Reason::ServerNotAllowed));
    }
}
