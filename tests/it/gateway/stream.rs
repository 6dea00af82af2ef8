//! The control connection is a stream: cut anywhere, half-closed, and larger than one read.

use std::net::TcpListener;

use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::CLIENT;
use super::lab::{Lab, Pair, host_port, parse_host_port};
use super::peer::Peer;

/// Sends a line one byte at a time, each in a segment of its own.
fn dribble(peer: &mut Peer, line: &str) {
    for byte in format!("{line}\r\n").bytes() {
        peer.send([byte]);
    }
}

#[test]
fn p5_a_session_works_byte_by_byte_both_ways() {
    let lab = Lab::new("");
    let mut pair = lab.greet();
    pass(&mut pair, "USER alice", "331-password\r\n331 please");
    pass(&mut pair, "PASS secret", "230 in");
    let listener = TcpListener::bind((pair.server.here().ip(), 0)).unwrap();
    dribble(&mut pair.client, "PASV");
    pair.server.expect("PASV");
    dribble(&mut pair.server, &format!("227 ok ({})", host_port(listener.local_addr().unwrap())));
    let told = pair.client.line();
    let told = told.split(['(', ')']).nth(1).unwrap();
    let to = parse_host_port(told);
    let client = Peer::connect(CLIENT, to);
    let mut server = Peer::accept(&listener);
    pass(&mut pair, "RETR x", "150 here");
    server.send("bytes");
    drop(server);
    assert_eq!(client.rest(), b"bytes");
    dribble(&mut pair.server, "226 done");
    pair.client.expect("226 done");
}

/// As [`Pair::pass`], dribbled.
fn pass(pair: &mut Pair, command: &str, reply: &str) {
    dribble(&mut pair.client, command);
    pair.server.expect(command);
    dribble(&mut pair.server, reply);
    reply.split("\r\n").for_each(|line| pair.client.expect(line));
}

#[test]
fn client_that_half_closes_still_hears_every_reply() {
    let lab = Lab::new("");
    let mut pair = lab.greet();
    pair.client.send("USER alice\r\nPASS secret\r\nNOOP\r\nQUIT\r\n");
    pair.client.finish();
    for (command, reply) in
        [("USER alice", "331 more"), ("PASS secret", "230 in"), ("NOOP", "200 ok"), ("QUIT", "221 bye")]
    {
        pair.server.expect(command);
        pair.server.say(reply);
    }
    assert_eq!(pair.client.rest_of_text(), "331 more\r\n230 in\r\n200 ok\r\n221 bye\r\n");
    lab.gate.recorded(EventKind::SessionClosed, Reason::Quit);
}

#[test]
fn client_that_goes_without_quit_still_hears_every_reply() {
    let lab = Lab::new("");
    let mut pair = lab.greet();
    pair.client.send("NOOP\r\nSYST\r\n");
    pair.client.finish();
    for command in ["NOOP", "SYST"] {
        pair.server.expect(command);
        pair.server.say("200 ok");
    }
    assert_eq!(pair.client.rest_of_text(), "200 ok\r\n200 ok\r\n");
    assert!(pair.server.rest().is_empty());
    lab.gate.recorded(EventKind::SessionClosed, Reason::ClientClosed);
}

#[test]
fn transfer_of_a_client_that_half_closed_arrives_whole() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (client, mut server) = pair.begin_retrieve();
    pair.client.finish();
    server.send("all of it");
    drop(server);
    assert_eq!(client.rest(), b"all of it");
    pair.server.say("226 done");
    assert_eq!(pair.client.rest_of_text(), "226 done\r\n");
}

/// Two replies in one piece, the first as large as the limits allow.
#[test]
fn replies_behind_the_largest_one_arrive() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let line = "x".repeat(4000);
    let body: String = (0..98).map(|_| format!(" {line}\r\n")).collect();
    let replies = format!("211-status\r\n{body}211 end\r\n200 ok\r\n");
    pair.client.send("STAT\r\nNOOP\r\n");
    pair.server.expect("STAT");
    pair.server.expect("NOOP");
    pair.server.send(&replies);
    pair.client.finish();
    assert!(pair.client.rest_of_text() == replies);
}
