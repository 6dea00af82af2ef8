//! Bounds: who is turned away with which words, and peers that do not read what they are sent.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::lab::{Lab, Pair};
use super::peer::Peer;
use super::program::Program;
use super::{CLIENT, PATIENCE};

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// The memory that any number of unread bytes may cost, in KiB.
const MOST_GROWTH: u64 = 4096;

/// What a client from `from` hears that is turned away.
fn turned_away(lab: &Lab, from: IpAddr, reason: Reason) -> String {
    let heard = Peer::connect(from, lab.addr).rest_of_text();
    lab.gate.recorded(EventKind::SessionClosed, reason);
    heard
}

/// Connects again until the place of a session that has ended is free.
fn eventually_greets(lab: &Lab) {
    let server = lab.server.try_clone().unwrap();
    thread::spawn(move || Peer::accept(&server).say("220 again"));
    let start = Instant::now();
    while Peer::connect(CLIENT, lab.addr).line() != "220 again" {
        assert!(start.elapsed() < PATIENCE, "the place does not become free");
    }
}

#[test]
fn session_over_the_limit_is_turned_away_until_a_place_is_free() {
    let lab = Lab::new("limits: {sessions: 1}");
    let mut first = lab.greet();
    assert_eq!(turned_away(&lab, OTHER, Reason::SessionLimit), "421 Too many connections.\r\n");
    first.pass("QUIT", "221 bye");
    drop(first);
    eventually_greets(&lab);
}

#[test]
fn one_client_cannot_take_the_places_of_others() {
    let lab = Lab::new("limits: {sessions_per_client: 1}");
    let _first = lab.greet();
    let heard = turned_away(&lab, CLIENT, Reason::ClientSessionLimit);
    assert_eq!(heard, "421 Too many connections from your address.\r\n");
    lab.greet_from(OTHER);
}

#[test]
fn address_that_is_not_in_clients_is_turned_away() {
    let lab = Lab::new("clients: [127.0.0.1, 127.0.1.0/24]");
    let heard = turned_away(&lab, OTHER, Reason::ClientNotAllowed);
    assert_eq!(heard, "421 This service is not for your address.\r\n");
    lab.greet_from(Ipv4Addr::new(127, 0, 1, 9).into());
    lab.greet();
}

#[test]
fn line_over_the_limit_is_refused_and_the_next_one_counts() {
    let lab = Lab::new("limits: {line_bytes: 1000}");
    let mut pair = lab.log_in();
    pair.pass(&format!("CWD {}", "x".repeat(994)), "250 ok");
    pair.client.ask(&format!("CWD {}", "x".repeat(995)), "500 The line is too long.");
    pair.pass("NOOP", "200 ok");
    lab.gate.recorded(EventKind::Violation, Reason::LineTooLong);
}

#[test]
fn commands_over_the_limit_wait_until_the_server_has_replied() {
    let lab = Lab::new("limits: {pending_commands: 3}");
    let mut pair = lab.log_in();
    pair.client.send("NOOP\r\n".repeat(10));
    for _ in 0..3 {
        pair.server.expect("NOOP");
    }
    pair.server.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let early = pair.server.stream.peek(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock, "a fourth command came");
    pair.server.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    pair.server.say("200 1");
    for number in 2..=8 {
        pair.server.expect("NOOP");
        pair.server.say(&format!("200 {number}"));
    }
}

/// How far the program's memory grows over its start while `work` goes on.
fn growth(program: &Program, mut work: impl FnMut()) -> u64 {
    let start = program.resident();
    let mut most = start;
    for _ in 0..50 {
        work();
        most = most.max(program.resident());
    }
    most - start
}

fn narrow_session(program: &Program) -> Pair {
    let mut pair = Pair::connect(Peer::connect_narrow(CLIENT, program.addr), &program.server);
    pair.greet();
    pair.log_in();
    pair
}

/// Writes until the other side has taken nothing for a while; says how much it took.
fn write_until_stuck(peer: &mut Peer, piece: &[u8], most: usize) -> usize {
    peer.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while sent < most {
        match peer.stream.write(&piece[sent % piece.len()..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    sent
}

#[test]
fn p6_a_client_that_pipelines_without_reading_costs_little_and_stalls_nobody() {
    const COMMANDS: usize = 100_000;
    let program = Program::start("stdout: true", "");
    let Pair { mut client, mut server } = narrow_session(&program);
    let mut other = program.log_in();
    let mut writing = Peer::new(client.stream.try_clone().unwrap());
    let writer = thread::spawn(move || writing.send("NOOP\r\n".repeat(COMMANDS)));
    let replier = thread::spawn(move || {
        for number in 0..COMMANDS {
            server.expect("NOOP");
            server.say(&format!("200 {number}"));
        }
    });
    let grown = growth(&program, || other.pass("NOOP", "200 ok"));
    assert!(grown < MOST_GROWTH, "{grown} KiB");
    for number in 0..COMMANDS {
        client.expect(&format!("200 {number}"));
    }
    writer.join().unwrap();
    replier.join().unwrap();
    let grown = growth(&program, || other.pass("NOOP", "200 ok"));
    assert!(grown < MOST_GROWTH, "{grown} KiB");
}

#[test]
fn p6_a_client_that_does_not_read_costs_little_and_stalls_nobody() {
    const MOST: usize = 64 << 20;
    const ASKED: usize = 20;
    let program = Program::start("stdout: true", "");
    let Pair { mut client, mut server } = narrow_session(&program);
    let mut other = program.log_in();
    client.send("STAT\r\n".repeat(ASKED));
    server.expect("STAT");
    let line = format!(" {}\r\n", "x".repeat(2000));
    let reply = format!("211-status\r\n{}211 end\r\n", line.repeat(90));
    let before = program.resident();
    let sent = write_until_stuck(&mut server, reply.as_bytes(), MOST);
    assert!(sent < MOST, "the gateway takes everything");
    let grown = program.resident().saturating_sub(before);
    assert!(grown < MOST_GROWTH, "{grown} KiB after {sent} bytes");
    other.pass("NOOP", "200 ok");
    // The server's bytes were there long before the client made room.
    for _ in 0..(sent / reply.len()).min(ASKED) {
        while client.line() != "211 end" {}
    }
}

#[test]
fn p6_a_server_that_never_reads_costs_little_and_stalls_nobody() {
    const MOST: usize = 256 << 20;
    let program = Program::start("stdout: true", "limits: {pending_commands: 1000}");
    let Pair { mut client, server: _server } = narrow_session(&program);
    let mut other = program.log_in();
    let line = format!("CWD {}\r\n", "x".repeat(4000));
    let before = program.resident();
    let sent = write_until_stuck(&mut client, line.as_bytes(), MOST);
    assert!(sent < MOST, "the gateway takes everything");
    let grown = program.resident().saturating_sub(before);
    assert!(grown < MOST_GROWTH, "{grown} KiB after {sent} bytes");
    other.pass("NOOP", "200 ok");
}

/// Telnet negotiation is answered at once, by nobody's command.
#[test]
fn p6_a_server_that_negotiates_without_reading_costs_little() {
    const MOST: usize = 64 << 20;
    let program = Program::start("stdout: true", "");
    let Pair { client: _client, mut server } = program.log_in();
    let mut other = program.log_in();
    let before = program.resident();
    let sent = write_until_stuck(&mut server, &b"\xff\xfd\x18".repeat(10_000), MOST);
    let grown = program.resident().saturating_sub(before);
    assert!(grown < MOST_GROWTH, "{grown} KiB after {sent} bytes");
    assert!(sent < MOST, "the gateway takes everything");
    other.pass("NOOP", "200 ok");
}

#[test]
fn session_with_a_server_that_does_not_answer_ends_at_the_idle_timeout() {
    let lab = Lab::new("timeouts: {idle: 300ms}");
    let mut pair = lab.log_in();
    pair.client.say("NOOP");
    assert_eq!(pair.client.rest_of_text(), "421 No command for too long.\r\n");
    lab.gate.recorded(EventKind::SessionClosed, Reason::IdleTimeout);
}
