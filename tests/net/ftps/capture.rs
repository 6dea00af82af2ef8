//! What reaches the server while a session that nobody can read goes on, by a capture of every connection that is
//! begun on the gateway's interface there.

use std::net::{SocketAddr, TcpStream};

use ftp_pinhole::live::{Live, Wanted};
use ftp_pinhole::packet::{Decoded, Decoder, Link};
use ftp_pinhole::time::Timestamp;

use super::blind::{BLIND, PORTS, serve};
use super::client::{Client, Program};
use crate::gateway::Gateway;
use crate::lab::{FTP, Lab, Who, lab_tests};
use crate::placement::{DataPath, Integration, Intercept, Placement, Role, Source};
use crate::route::Family;

const PUBLISHED: Placement = Placement {
    role: Role::Reverse,
    intercept: Intercept::Listen,
    source: Source::Gateway,
    data_path: DataPath::Relay,
    integration: Integration::Standalone,
};

lab_tests! {
    only_ports_of_the_range_are_dialled_and_none_before_the_server_agrees: |lab| is_contained(&lab, PUBLISHED);
    only_ports_of_the_range_are_dialled_and_none_before_the_server_agrees_routed: |lab| is_contained(&lab, Placement {
        intercept: Intercept::Tproxy,
        data_path: DataPath::Nftables,
        ..PUBLISHED
    });
    only_ports_of_the_range_are_dialled_and_none_before_the_server_agrees_office: |lab| is_contained(&lab, Placement {
        role: Role::Forward,
        intercept: Intercept::Tproxy,
        integration: Integration::Cooperative,
        ..PUBLISHED
    });
}

/// What was seen of the server, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A connection to it was begun.
    Begun { from: SocketAddr, port: u16 },
    /// It agreed to TLS.
    Agreed,
}

/// Client and stranger try what they must not, before the session and behind it.
fn is_contained(lab: &Lab, placement: Placement) {
    placement.prepare(lab);
    let Some(server) = serve(lab, placement) else { return };
    let gateway = Gateway::start(|audit| placement.rules(audit, BLIND));
    let gateway =
        gateway.unwrap_or_else(|refused| panic!("the gateway does not start: {}", refused.reason()));
    let mut live = lab.gateway.run(|| {
        let interface = if placement.server() == Who::Near { "inside" } else { "outside" };
        Live::open(interface, false, &Wanted { ports: [FTP].into(), any_port: false })
            .expect("the test is root")
    });
    let client = Client::on(lab.host(placement.client()));
    try_in_vain(lab, placement);
    client.do_all(Program::Ftplib, placement.dialled().ip(Family::V4), server.home());
    try_in_vain(lab, placement);
    gateway.stop();
    let seen = seen(&mut live, placement.server());
    println!("{seen:?}");
    let agreed = seen.iter().position(|event| *event == Seen::Agreed).expect("the server agrees to TLS");
    let mut data = 0;
    for (index, event) in seen.iter().enumerate() {
        let Seen::Begun { from, port } = *event else { continue };
        assert_eq!(from.ip(), placement.seen().ip(Family::V4), "to port {port}");
        if port != FTP {
            assert!((PORTS[0]..=PORTS[1]).contains(&port), "port {port} is not of the range");
            assert!(index > agreed, "port {port} is dialled before the server agrees");
            data += 1;
        }
    }
    assert_eq!(data, 3, "a listing, a download and an upload");
}

/// Ports of the range and one beside it, without a session.
fn try_in_vain(lab: &Lab, placement: Placement) {
    let stranger = if placement.client() == Who::Near { Who::Neighbour } else { Who::Stranger };
    for (who, port) in [placement.client(), stranger]
        .into_iter()
        .flat_map(|who| [PORTS[0], PORTS[1] + 1].map(|port| (who, port)))
    {
        let to = placement.dialled().at(Family::V4, port);
        let dialled = lab.host(who).run(|| TcpStream::connect_timeout(&to, super::QUIET));
        assert!(dialled.is_err(), "{who:?} reaches {to}");
    }
}

/// Everything that was captured.
fn seen(live: &mut Live, server: Who) -> Vec<Seen> {
    let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
    let control = server.at(Family::V4, FTP);
    while let Some(frame) = live.next().expect("the interface is up") {
        let link = Link::from_dlt(frame.link_type).expect("a veth pair is Ethernet");
        let decoded = decoder.decode(link, Timestamp::from_origin(frame.at), frame.data, frame.length);
        let Decoded::Segment(segment) = decoded else { continue };
        if segment.to.ip() == control.ip() && segment.syn {
            seen.push(Seen::Begun { from: segment.from, port: segment.to.port() });
        }
        if segment.from == control && segment.payload.starts_with(b"234") {
            seen.push(Seen::Agreed);
        }
    }
    assert_eq!(live.dropped(), 0, "the capture is whole");
    seen
}
