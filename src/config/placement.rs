//! Where a service stands: the keys that say how packets reach the gateway and whose address they bear, and
//! which of them go together.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::model::{Intercept, Role, Source};
use super::reader::{Located, Section, values};
use super::value;
use super::words::{INTERCEPT, ROLE, SOURCE};
use crate::addr::{CONTROL_PORT, Family};

/// The keys that are one word.
pub(super) struct Placement {
    pub(super) role: Role,
    pub(super) intercept: Intercept,
    pub(super) source: Source,
}

/// Reads them.
pub(super) fn read(section: &mut Section) -> Placement {
    let mut placement =
        Placement { role: Role::Reverse, intercept: Intercept::Listen, source: Source::Gateway };
    section.set("role", &mut placement.role, value::word(ROLE));
    section.set("intercept", &mut placement.intercept, value::word(INTERCEPT));
    section.set("source", &mut placement.source, value::word(SOURCE));
    if placement.role == Role::Forward {
        section
            .refuse_present("advertise", "is for role: reverse (clients are told the server's own address)");
        if placement.intercept == Intercept::Listen {
            section.refuse(
                "intercept",
                "listen has no server to go to (allowed with role: forward: redirect, tproxy)",
            );
        }
    }
    placement
}

/// `upstream`: required, but in role forward the client names the server.
pub(super) fn upstream<'a>(section: &mut Section<'a>, role: Role) -> Vec<Located<'a, SocketAddr>> {
    match role {
        Role::Reverse => section.require_list("upstream", &value::upstream_address()),
        Role::Forward => {
            section.refuse_present("upstream", "is for role: reverse (the client names the server)");
            Vec::new()
        }
    }
}

/// Refuses listen addresses whose clients could not be served: an intercepted client dials the server, and a
/// server that sees the client's address is reached by the client's family.
pub(super) fn refuse_families(
    placement: &Placement,
    listen: &[Located<SocketAddr>],
    upstream: &[Located<SocketAddr>],
) {
    let translated = placement.intercept == Intercept::Listen && placement.source == Source::Gateway;
    // In role forward there is none; a missing one is an error already.
    if translated || upstream.is_empty() {
        return;
    }
    for listen in listen {
        if !upstream.iter().any(|upstream| upstream.value.is_ipv4() == listen.value.is_ipv4()) {
            let problem = format!("{} has no upstream of its family {FAMILY_NEEDED}", listen.value);
            listen.here.refuse(&problem);
        }
    }
}

/// Refuses servers on the gateway's own loopback where clients would have to dial them, or where they would
/// answer the client and not the gateway.
pub(super) fn refuse_loopback(placement: &Placement, upstream: &[Located<SocketAddr>]) {
    if (placement.intercept, placement.source) == (Intercept::Listen, Source::Gateway) {
        return;
    }
    for upstream in upstream.iter().filter(|upstream| upstream.value.ip().is_loopback()) {
        let problem = format!("{} is for clients of this host only {ELSEWHERE}", upstream.value);
        upstream.here.refuse(&problem);
    }
}

/// Refuses listen addresses that every server of role forward shares: the gateway could not tell a connection
/// to a server from one to itself.
pub(super) fn refuse_own_port(placement: &Placement, listen: &[Located<SocketAddr>]) {
    if (placement.role, placement.intercept) != (Role::Forward, Intercept::Tproxy) {
        return;
    }
    for listen in listen.iter().filter(|listen| listen.value.ip().is_unspecified()) {
        if listen.value.port() == CONTROL_PORT {
            let problem = format!("{} is every server's address, too {OTHER_PORT}", listen.value);
            listen.here.refuse(&problem);
        }
    }
}

/// `servers` and `outside_address`, which only role forward has.
pub(super) fn outside<'a>(
    section: &mut Section<'a>,
    placement: &Placement,
) -> (Option<Vec<Located<'a, IpNet>>>, Vec<IpAddr>) {
    if placement.role == Role::Reverse {
        section.refuse_present("servers", "is for role: forward (upstream names the server)");
        section.refuse_present("outside_address", "is for role: forward");
        return (None, Vec::new());
    }
    if placement.source == Source::Client {
        section.refuse_present(
            "outside_address",
            "is for source: gateway (the server sees the client's address)",
        );
    }
    let addresses = section.list("outside_address", &value::own_address()).unwrap_or_default();
    for (index, later) in addresses.iter().enumerate() {
        let family = Family::of(later.value);
        if addresses.iter().take(index).any(|earlier| Family::of(earlier.value) == family) {
            later.here.refuse(&format!("{} is the second of its family (allowed: one of each)", later.value));
        }
    }
    (section.list("servers", &value::network()), values(&addresses))
}

const OTHER_PORT: &str =
    "(allowed with role: forward and intercept: tproxy: one address, or another port than 21)";
const ELSEWHERE: &str = "(allowed with source: client and with intercept: another host)";
const FAMILY_NEEDED: &str = "(needed with source: client and with intercept)";
