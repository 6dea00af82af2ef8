//! Checks across services: whose addresses collide.

use std::net::SocketAddr;

use super::reader::Located;

/// The addresses of one service, and where they stand.
pub(super) struct Addresses<'a> {
    pub(super) listen: Vec<Located<'a, SocketAddr>>,
    pub(super) upstream: Vec<Located<'a, SocketAddr>>,
}

/// Notes listen addresses that cannot be bound together, and upstreams that are the gateway itself.
pub(super) fn refuse(services: &[Addresses]) {
    let listens: Vec<_> = services.iter().flat_map(|service| &service.listen).collect();
    for (index, later) in listens.iter().enumerate() {
        if let Some(earlier) = listens.iter().take(index).find(|earlier| collide(earlier.value, later.value))
        {
            refuse_beside(later, "is taken by", earlier);
        }
    }
    for upstream in services.iter().flat_map(|service| &service.upstream) {
        if let Some(listen) = listens.iter().find(|listen| reaches(upstream.value, listen.value)) {
            refuse_beside(upstream, "leads back to", listen);
        }
    }
}

fn refuse_beside(here: &Located<SocketAddr>, problem: &str, there: &Located<SocketAddr>) {
    let (path, at) = (there.here.path(), there.here.position());
    let problem = format!("{} {problem} {} of {path} at {at}", here.value, there.value);
    here.here.refuse(&problem);
}

/// Whether binding `a` and `b` fails: the same address, or one of them is every address of the family.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_family = a.is_ipv4() == b.is_ipv4();
    let every = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && same_family && (a.ip() == b.ip() || every)
}

/// Whether dialling `upstream` certainly ends at our own `listen`.
fn reaches(upstream: SocketAddr, listen: SocketAddr) -> bool {
    upstream == listen
        || (upstream.ip().is_loopback() && listen.ip().is_unspecified() && collide(upstream, listen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_address_collides_with_each_of_its_family() {
        assert!(collide(addr("0.0.0.0:21"), addr("10.0.0.1:21")));
        assert!(!collide(addr("0.0.0.0:21"), addr("10.0.0.1:2121")));
        assert!(!collide(addr("0.0.0.0:21"), addr("[::1]:21")));
        assert!(!collide(addr("10.0.0.2:21"), addr("10.0.0.1:21")));
    }

    #[test]
    fn an_upstream_on_loopback_is_reached_through_every_address() {
        assert!(reaches(addr("127.0.0.1:21"), addr("0.0.0.0:21")));
        assert!(!reaches(addr("127.0.0.1:2121"), addr("0.0.0.0:21")));
        assert!(!reaches(addr("10.0.0.1:21"), addr("0.0.0.0:21")));
    }
}
