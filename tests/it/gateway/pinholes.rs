//! Pinholes over real sockets: for whom, once, one way, for how long, and what the record says.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use ftp_pinhole::audit::Record;
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::CLIENT;
use super::lab::Lab;
use super::peer::Peer;

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const SECOND_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

const ONE_PORT: &str = "passive_ports: 50000";

fn is_closed(addr: SocketAddr) -> bool {
    TcpStream::connect(addr).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// The bytes that a record of an end tells: to the server, to the client.
fn bytes(record: &Record) -> (Option<u64>, Option<u64>) {
    (record.event.bytes_to_server, record.event.bytes_to_client)
}

#[test]
fn stranger_at_a_passive_port_is_cut_and_recorded_and_hinders_nobody() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (to, listener) = pair.passive();
    Peer::connect_to_be_cut(STRANGER, to);
    let violation = lab.gate.recorded(EventKind::Violation, Reason::Stranger);
    assert_eq!((violation.event.from, violation.event.listen), (Some(STRANGER), Some(to)));

    let client = Peer::connect(CLIENT, to);
    let server = Peer::accept(&listener);
    pair.pass("RETR x", "150 here");
    pair.finish_retrieve((client, server), b"for the client only");
}

#[test]
fn one_passive_port_serves_two_clients_at_once_and_cuts_a_second_connection() {
    let lab = Lab::new(ONE_PORT);
    let (mut one, mut two) = (lab.log_in(), lab.log_in_from(SECOND_CLIENT));
    let ((to, listener_one), (to_two, listener_two)) = (one.passive(), two.passive());
    assert_eq!((to, to_two), (SocketAddr::new(lab.addr.ip(), 50_000), to));

    let ends_one = (Peer::connect(CLIENT, to), Peer::accept(&listener_one));
    Peer::connect_to_be_cut(CLIENT, to);
    let violation = lab.gate.recorded(EventKind::Violation, Reason::SecondConnection);
    assert_eq!(violation.event.from, Some(CLIENT));
    assert!(violation.event.pinhole.is_some());

    let ends_two = (Peer::connect(SECOND_CLIENT, to), Peer::accept(&listener_two));
    one.pass("RETR x", "150 one");
    two.pass("RETR x", "150 two");
    two.finish_retrieve(ends_two, b"for two");
    one.finish_retrieve(ends_one, b"for one");
    assert!(is_closed(to));
}

#[test]
fn next_setup_takes_the_pending_pinhole_back() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (first, _) = pair.passive();
    let (second, listener) = pair.passive();
    let revoked = lab.gate.recorded(EventKind::PinholeRevoked, Reason::NewSetup);
    assert_eq!(revoked.event.listen, Some(first));
    assert!(first == second || is_closed(first));
    let ends = (Peer::connect(CLIENT, second), Peer::accept(&listener));
    pair.pass("RETR x", "150 here");
    pair.finish_retrieve(ends, b"second");
}

#[test]
fn client_without_a_free_port_hears_425_at_once() {
    let lab = Lab::new(ONE_PORT);
    let (mut one, mut two) = (lab.log_in(), lab.log_in());
    let (to, listener) = one.passive();
    let (_, reply) = two.ask_passive();
    assert_eq!(reply, "425 The gateway cannot open a data connection now.");
    lab.gate.recorded(EventKind::PinholeDenied, Reason::NoFreePort);

    let ends = (Peer::connect(CLIENT, to), Peer::accept(&listener));
    let (again, listener) = two.passive();
    assert_eq!(again, to, "the port is free for the next set-up once somebody has connected");
    let ends_two = (Peer::connect(CLIENT, again), Peer::accept(&listener));
    one.pass("RETR x", "150 here");
    one.finish_retrieve(ends, b"one");
    two.pass("RETR x", "150 here");
    two.finish_retrieve(ends_two, b"two");
}

#[test]
fn upload_during_a_download_is_cut() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (mut client, mut server) = pair.begin_retrieve();
    server.send("down");
    assert_eq!(client.take(4), b"down");
    client.send("tunnel");
    assert!(client.rest_until_reset().is_empty());
    assert!(server.rest_until_reset().is_empty());
    let closed = lab.gate.recorded(EventKind::PinholeClosed, Reason::WrongDirection);
    assert_eq!(bytes(&closed), (Some(0), Some(4)));
}

#[test]
fn bytes_before_the_transfer_command_are_not_passed_on() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (to, listener) = pair.passive();
    let mut client = Peer::connect(CLIENT, to);
    let server = Peer::accept(&listener);
    client.send("early");
    pair.pass("RETR x", "150 here");
    assert!(server.rest_until_reset().is_empty());
    lab.gate.recorded(EventKind::PinholeClosed, Reason::WrongDirection);
}

#[test]
fn download_during_an_upload_is_cut() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (listener, to) = pair.active();
    let mut server = Peer::connect(pair.server.here().ip(), to);
    let mut client = Peer::accept(&listener);
    pair.pass("STOR x", "150 give it to me");
    client.send("up");
    assert_eq!(server.take(2), b"up");
    server.send("tunnel");
    assert!(client.rest_until_reset().is_empty());
    let closed = lab.gate.recorded(EventKind::PinholeClosed, Reason::WrongDirection);
    assert_eq!(bytes(&closed), (Some(2), Some(0)));
}

#[test]
fn direction_is_free_where_the_rules_say_so() {
    let lab = Lab::new("data_direction: any");
    let mut pair = lab.log_in();
    let (mut client, mut server) = pair.begin_retrieve();
    client.send("up");
    assert_eq!(server.take(2), b"up");
    pair.finish_retrieve((client, server), b"down");
}

#[test]
fn data_connection_on_which_nothing_moves_is_cut() {
    let lab = Lab::new("timeouts: {data_idle: 300ms}");
    let mut pair = lab.log_in();
    let (client, server) = pair.begin_retrieve();
    assert!(client.rest_until_reset().is_empty());
    assert!(server.rest_until_reset().is_empty());
    lab.gate.recorded(EventKind::PinholeClosed, Reason::DataIdle);
    pair.server.say("426 idle");
    pair.client.expect("426 idle");
    pair.pass("NOOP", "200 ok");
}

#[test]
fn pinhole_to_which_nobody_comes_expires() {
    let lab = Lab::new("timeouts: {pinhole: 300ms}");
    let mut pair = lab.log_in();
    let (to, _listener) = pair.passive();
    let expired = lab.gate.recorded(EventKind::PinholeExpired, Reason::PinholeTimeout);
    assert_eq!(expired.event.listen, Some(to));
    assert!(is_closed(to));
    pair.client.ask("RETR x", "425 Use PASV, EPSV, PORT or EPRT first.");
}

#[test]
fn client_is_cut_off_when_the_servers_port_is_closed() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (to, listener) = pair.passive();
    drop(listener);
    Peer::connect_to_be_cut(CLIENT, to);
    let closed = lab.gate.recorded(EventKind::PinholeClosed, Reason::DialFailed);
    assert_eq!(bytes(&closed), (Some(0), Some(0)));
    pair.pass("NOOP", "200 ok");
}

#[test]
fn server_is_cut_off_when_the_clients_port_is_closed() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (listener, to) = pair.active();
    drop(listener);
    Peer::connect_to_be_cut(pair.server.here().ip(), to);
    lab.gate.recorded(EventKind::PinholeClosed, Reason::DialFailed);
    pair.pass("NOOP", "200 ok");
}

#[test]
fn stranger_at_an_active_port_is_cut_and_the_server_is_served() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (listener, to) = pair.active();
    Peer::connect_to_be_cut(STRANGER, to);
    lab.gate.recorded(EventKind::Violation, Reason::Stranger);
    let mut server = Peer::connect(pair.server.here().ip(), to);
    let client = Peer::accept(&listener);
    pair.pass("RETR x", "150 here");
    server.send("data");
    drop(server);
    assert_eq!(client.rest(), b"data");
    pair.server.say("226 done");
    pair.client.expect("226 done");
}
