//! What the standalone table keeps from the servers, and what it leaves alone.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};

use super::stage::{FAMILY, Stage, accept, dial, dial_within, is_shut, stays_alone};
use super::{KERNEL, OFFICE, OFFICE_RELAY, QUIET, ROUTED, scenarios};
use crate::lab::{FTP, Who};
use crate::placement::{ACTIVE_PORTS, PASSIVE_PORTS};

scenarios! {
    nothing_new_reaches_the_server_nftables: nothing_new_reaches_the_server, KERNEL, "";
    nothing_new_reaches_the_server_routed: nothing_new_reaches_the_server, ROUTED, "";
    other_traffic_passes_nftables: other_traffic_passes, KERNEL, "";
    other_traffic_passes_routed: other_traffic_passes, ROUTED, "";
    server_that_is_not_listed_is_not_reached: unlisted_server_is_not_reached, OFFICE, UNLISTED;
    server_that_is_not_listed_is_not_reached_relay: unlisted_server_is_not_reached, OFFICE_RELAY, UNLISTED;
    ports_without_pinhole_are_shut_nftables: ports_without_pinhole_are_shut, KERNEL, "";
}

/// The server's data port and any other of its ports, dialled directly, with a pinhole pending and without.
fn nothing_new_reaches_the_server(stage: &mut Stage) {
    stage.lab.route_outside();
    let other = open_port(stage, Who::Near);
    let mut session = stage.session();
    let announced = stage.passive(&mut session);
    let port = announced.listener.local_addr().expect("a bound socket has an address").port();
    for (to, listener) in [(Who::Near.at(FAMILY, port), &announced.listener), (other.1, &other.0)] {
        for from in [&stage.lab.far, &stage.lab.stranger] {
            is_shut(from, to);
        }
        stays_alone(listener);
    }
    drop(stage.join_passive(&announced));
}

/// Connections that do not go to the server, in both directions.
fn other_traffic_passes(stage: &mut Stage) {
    stage.lab.route_outside();
    for (from, to) in
        [(Who::Stranger, Who::Neighbour), (Who::Neighbour, Who::Stranger), (Who::Near, Who::Stranger)]
    {
        let (listener, address) = open_port(stage, to);
        dial(stage.lab.host(from), address).unwrap_or_else(|error| panic!("{from:?} to {to:?}: {error}"));
        accept(&listener).unwrap_or_else(|| panic!("{from:?} does not reach {to:?}"));
    }
}

/// Which server clients inside may reach: not the one that they dial.
const UNLISTED: &str = r#"servers: ["198.51.100.66"],"#;

/// The client may be answered, but the server never hears of it.
fn unlisted_server_is_not_reached(stage: &mut Stage) {
    // A connection that comes to nothing or is refused by a reply; the server would greet with 220.
    if let Ok(mut client) = dial_within(stage.client(), Who::Far.at(FAMILY, FTP), QUIET) {
        let mut said = String::new();
        let _ = client.read_to_string(&mut said);
        assert!(said.is_empty() || said.starts_with(['4', '5']), "the client is told {said}");
    }
    stays_alone(&stage.control);
}

/// The gateway's own ports while nothing is negotiated.
fn ports_without_pinhole_are_shut(stage: &mut Stage) {
    let _session = stage.session();
    for port in [*PASSIVE_PORTS.start(), *ACTIVE_PORTS.start()] {
        is_shut(stage.client(), stage.placement.dialled().at(FAMILY, port));
        is_shut(stage.server(), stage.placement.seen().at(FAMILY, port));
    }
}

fn open_port(stage: &Stage, who: Who) -> (TcpListener, SocketAddr) {
    let listener = stage.lab.host(who).run(|| TcpListener::bind(who.at(FAMILY, 0)));
    let listener = listener.expect("a host has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}
