//! TLS towards the server, control and data.

use std::net::Shutdown;
use std::sync::Arc;

use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::super::CLIENT;
use super::super::lab::Pair;
use super::super::peer::Peer;
use super::{ANY_VERSION, Ftps, TO_SERVER, secure_server};

const NOT_OVER_TLS: &str = "421 The server cannot be reached over TLS.\r\n";

#[test]
fn both_legs_are_under_tls_and_every_data_connection_resumes() {
    for version in ["1.2", "1.3"] {
        let ftps = Ftps::new(&format!("{TO_SERVER}, upstream_max_version: \"{version}\""), "");
        let mut session = ftps.log_in_both();
        for _ in 0..5 {
            let (client, mut server) = session.begin_tls_both(&ftps, "RETR x");
            assert!(client.is_resumed() && server.is_resumed(), "TLS {version}");
            server.send("both ways");
            server.finish_tls();
            assert_eq!(client.rest(), b"both ways");
            session.finish("226 done");
        }
    }
}

#[test]
fn plain_client_reaches_a_tls_server() {
    let ftps = Ftps::new(&format!("min_protection: clear, {TO_SERVER}"), "");
    let mut pair = Pair::connect(Peer::connect(CLIENT, ftps.lab.addr), &ftps.lab.server);
    secure_server(&mut pair, &ftps.server);
    pair.log_in();
    let (to, listener) = pair.passive();
    let mut client = Peer::connect(CLIENT, to);
    let mut server = Peer::accept(&listener);
    pair.pass("STOR x", "150 go");
    server.accept_tls(&ftps.server);
    assert!(server.is_resumed());
    client.send("clear, then protected");
    client.finish();
    assert_eq!(server.rest(), b"clear, then protected");
    pair.server.say("226 done");
    pair.client.expect("226 done");
}

#[test]
fn implicit_server_is_spoken_to_in_tls_from_the_first_byte() {
    let keys = TO_SERVER.replace("explicit", "implicit");
    let ftps = Ftps::new(&format!("min_protection: clear, {keys}"), "");
    let mut pair = Pair::connect(Peer::connect(CLIENT, ftps.lab.addr), &ftps.lab.server);
    pair.server.accept_tls(&ftps.server);
    pair.server.say("220 ready");
    pair.server.expect("PBSZ 0");
    pair.server.say("200 PBSZ=0");
    pair.server.expect("PROT P");
    pair.server.say("200 private");
    pair.client.expect("220 ready");
    pair.log_in();
}

#[test]
fn d34_server_with_another_certificate_is_not_spoken_to() {
    let ftps = Ftps::new(TO_SERVER, "");
    let forged = ftps.pki.issue("forged", &["ftp.elsewhere"]);
    let mut pair = Pair::connect(Peer::connect(CLIENT, ftps.lab.addr), &ftps.lab.server);
    pair.server.say("220 ready");
    pair.server.expect("AUTH TLS");
    pair.server.say("234 go");
    assert!(pair.server.try_accept_tls(&Arc::new(ftps.pki.server(ANY_VERSION, &forged, false))).is_err());
    assert_eq!(pair.client.rest_of_text(), NOT_OVER_TLS);
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::UpstreamTls);
}

#[test]
fn d33_plain_text_behind_the_servers_234_is_not_taken() {
    let ftps = Ftps::new(TO_SERVER, "");
    let mut pair = Pair::connect(Peer::connect(CLIENT, ftps.lab.addr), &ftps.lab.server);
    pair.server.say("220 ready");
    pair.server.expect("AUTH TLS");
    pair.server.send("234 go\r\n200 PBSZ=0\r\n200 private\r\n");
    assert_eq!(pair.client.rest_of_text(), "421 The server broke the protocol.\r\n");
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::PlaintextAfterAuth);
}

#[test]
fn t17_abor_goes_to_a_tls_server_without_telnet_bytes() {
    let ftps = Ftps::new(TO_SERVER, "");
    let mut session = ftps.log_in_both();
    let (mut client, mut server) = session.begin_tls_both(&ftps, "RETR x");
    server.send("part of it");
    assert_eq!(client.take(10), b"part of it");
    session.pair.client.send(b"\xff\xf4\xff\xf2ABOR\r\n");
    session.pair.server.expect("ABOR");
    session.pair.server.say("426 cut");
    session.pair.client.expect("426 cut");
    session.pair.server.say("226 aborted");
    session.pair.client.expect("226 aborted");
    assert!(client.rest_until_reset().is_empty(), "no close_notify");
}

#[test]
fn d37_download_without_close_notify_is_truncated() {
    let ftps = Ftps::new(TO_SERVER, "");
    let mut session = ftps.log_in_both();
    let (mut client, mut server) = session.begin_tls_both(&ftps, "RETR x");
    server.send("half of it");
    assert_eq!(client.take(10), b"half of it");
    server.stream.shutdown(Shutdown::Write).unwrap();
    assert!(client.rest_until_reset().is_empty(), "the client may not take it for the whole");
    session.finish("426 The data connection ended without a TLS close; bytes may be missing.");
    ftps.lab.gate.recorded(EventKind::PinholeClosed, Reason::DataTruncated);
}

#[test]
fn server_whose_data_is_in_plain_text_is_refused() {
    let ftps = Ftps::new(TO_SERVER, "");
    let mut session = ftps.log_in_both();
    let (mut client, mut server) = session.begin("RETR x");
    server.send("in plain text, which is no record of TLS");
    // Its own handshake may come in time or not.
    let _ = client.try_tls(&session.config, super::NAME);
    session.finish("425 The server's data connection cannot be protected.");
    ftps.lab.gate.recorded(EventKind::PinholeClosed, Reason::UpstreamDataTls);
}

#[test]
fn server_that_never_shakes_hands_for_data_is_given_up() {
    let ftps = Ftps::new(TO_SERVER, "timeouts: {data_idle: 300ms}");
    let mut session = ftps.log_in_both();
    let (mut client, _server) = session.begin("RETR x");
    client.begin_tls(&session.config, super::NAME);
    assert!(client.rest_until_reset().is_empty());
    session.finish("425 The server's data connection cannot be protected.");
    ftps.lab.gate.recorded(EventKind::PinholeClosed, Reason::UpstreamDataTls);
}
