//! The Telnet Synch before ABOR (RFC 959 section 4.1.3, RFC 854): urgent at the client, urgent at the
//! server, and never stuck at the urgent mark.

use std::io::Read;

use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::lab::{Lab, Pair};
use super::peer::Peer;

fn send_urgent(peer: &Peer, bytes: &[u8]) {
    assert_eq!(send(&peer.stream, bytes, SendFlags::OOB).unwrap(), bytes.len());
}

/// Takes IAC IP, IAC as the urgent byte, DM and ABOR off the socket. A read ends before the urgent
/// byte, which is not in the stream then.
fn expect_synch_and_abor(server: &mut Peer) {
    let mut before = [0; 64];
    let count = server.stream.read(&mut before).unwrap();
    assert_eq!(before[..count], *b"\xff\xf4", "the read ends at the urgent mark");
    let mut urgent = [0];
    recv(&server.stream, &mut urgent, RecvFlags::OOB).unwrap();
    assert_eq!(urgent, *b"\xff");
    let mut behind = [0; 7];
    server.stream.read_exact(&mut behind).unwrap();
    assert_eq!(behind, *b"\xf2ABOR\r\n");
}

/// A session in a transfer, whose client sends `pieces` (urgent or not) and nothing after them.
fn abort_with(pieces: &[(&[u8], bool)]) {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (mut client, mut server) = pair.begin_retrieve();
    server.send("part of it");
    assert_eq!(client.take(10), b"part of it");
    for (bytes, urgent) in pieces {
        match urgent {
            true => send_urgent(&pair.client, bytes),
            false => pair.client.send(bytes),
        }
    }
    expect_synch_and_abor(&mut pair.server);
    finish_abort(pair, client);
}

fn finish_abort(mut pair: Pair, client: Peer) {
    pair.server.say("426 cut");
    pair.client.expect("426 cut");
    pair.server.say("226 aborted");
    pair.client.expect("226 aborted");
    assert!(client.rest_until_reset().is_empty());
    pair.pass("NOOP", "200 ok");
}

#[test]
fn urgent_second_iac_passes_on_as_bsd_clients_send_it() {
    abort_with(&[(b"\xff\xf4\xff", true), (b"\xf2ABOR\r\n", false)]);
}

#[test]
fn urgent_data_mark_passes_on_as_lftp_sends_it() {
    abort_with(&[(b"\xff\xf4\xff\xf2", true), (b"ABOR\r\n", false)]);
}

#[test]
fn urgent_byte_behind_bytes_that_were_sent_before_it_passes_on() {
    abort_with(&[(b"\xff\xf4", false), (b"\xff", true), (b"\xf2ABOR\r\n", false)]);
    abort_with(&[(b"\xff\xf4", false), (b"\xff\xf2", true), (b"ABOR\r\n", false)]);
}

#[test]
fn abor_without_telnet_bytes_reaches_a_busy_server_with_urgency() {
    abort_with(&[(b"ABOR\r\n", false)]);
}

#[test]
fn whole_abor_in_one_urgent_send_passes_on() {
    abort_with(&[(b"\xff\xf4\xff\xf2ABOR\r\n", true)]);
}

#[test]
fn abor_without_a_transfer_goes_on_as_a_plain_line() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    send_urgent(&pair.client, b"\xff\xf4\xff");
    pair.client.send(b"\xf2ABOR\r\n");
    pair.server.expect("ABOR");
    pair.server.say("225 nothing to abort");
    pair.client.expect("225 nothing to abort");
}
