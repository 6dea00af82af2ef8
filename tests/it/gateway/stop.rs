//! The end: SIGTERM drains, a second one does not wait, kill -9 leaves nothing open.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use rustix::process::Signal;

use super::PATIENCE;
use super::lab::Pair;
use super::peer::Peer;
use super::program::Program;

const CLOSING_DOWN: &str = "421 The gateway is closing down.\r\n";

/// A program with an idle session and one in a transfer of which a part has arrived.
struct Scene {
    program: Program,
    idle: Pair,
    busy: Pair,
    client: Peer,
    server: Peer,
}

impl Scene {
    fn new(more: &str) -> Self {
        let program = Program::start("stdout: true", more);
        let (idle, mut busy) = (program.log_in(), program.log_in());
        let (mut client, mut server) = busy.begin_retrieve();
        server.send("half ");
        assert_eq!(client.take(5), b"half ");
        Self { program, idle, busy, client, server }
    }
}

/// Waits until nobody listens at `addr` any more.
fn wait_until_refused(addr: SocketAddr) {
    let start = Instant::now();
    loop {
        match TcpStream::connect(addr) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
            // One that the dying listener had already taken on.
            Ok(_) | Err(_) => assert!(start.elapsed() < PATIENCE, "{addr} still takes clients"),
        }
    }
}

#[test]
fn sigterm_sends_idle_sessions_away_and_lets_a_transfer_finish() {
    for signal in [Signal::TERM, Signal::INT] {
        let Scene { mut program, idle, mut busy, client, mut server } = Scene::new("");
        program.signal(signal);
        assert_eq!(idle.client.rest_of_text(), CLOSING_DOWN);
        assert!(idle.server.rest().is_empty());
        wait_until_refused(program.addr);
        server.send("and whole");
        drop(server);
        assert_eq!(client.rest(), b"and whole");
        busy.server.say("226 done");
        assert_eq!(busy.client.rest_of_text(), format!("226 done\r\n{CLOSING_DOWN}"));
        assert_eq!(program.exit_code(), Some(0));
    }
}

#[test]
fn second_sigterm_stops_at_once() {
    let Scene { mut program, idle, busy, client, server } = Scene::new("");
    program.signal(Signal::TERM);
    assert_eq!(idle.client.rest_of_text(), CLOSING_DOWN);
    program.signal(Signal::TERM);
    assert_eq!(busy.client.rest_of_text(), CLOSING_DOWN);
    assert!(client.rest_until_reset().is_empty());
    assert!(server.rest_until_reset().is_empty());
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn drain_ends_at_its_deadline() {
    let Scene { mut program, idle, busy, client, server: _server } = Scene::new("timeouts: {drain: 500ms}");
    program.signal(Signal::TERM);
    assert_eq!(idle.client.rest_of_text(), CLOSING_DOWN);
    assert_eq!(busy.client.rest_of_text(), CLOSING_DOWN);
    assert!(client.rest_until_reset().is_empty());
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn client_that_does_not_close_does_not_hold_the_end_up() {
    let mut program = Program::start("stdout: true", "");
    let pair = program.log_in();
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), Some(0));
    drop(pair);
}

#[test]
fn kill_in_mid_transfer_leaves_no_port_open() {
    let Scene { mut program, mut idle, busy, client, server: _server } = Scene::new("");
    let (passive, _listener) = idle.passive();
    program.signal(Signal::KILL);
    assert_eq!(program.exit_code(), None);
    for addr in [program.addr, passive, client.there()] {
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{addr}");
        TcpListener::bind(addr).unwrap();
    }
    assert!(busy.client.rest_of_text().is_empty());
}

#[test]
fn kill_with_an_active_pinhole_pending_leaves_no_port_open() {
    let mut program = Program::start("stdout: true", "");
    let mut pair = program.log_in();
    let (_listener, active) = pair.active();
    program.signal(Signal::KILL);
    assert_eq!(program.exit_code(), None);
    assert_eq!(TcpStream::connect(active).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    TcpListener::bind(active).unwrap();
}
