//! Control connections under TLS.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;

use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::super::CLIENT;
use super::super::lab::{Pair, free_at, own_address};
use super::super::peer::Peer;
use super::{Ftps, NAME};

#[test]
fn explicit_session_from_auth_to_quit() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let (client, mut server) = session.begin_tls("RETR x");
    server.send("for the client only");
    drop(server);
    assert_eq!(client.rest(), b"for the client only");
    session.finish("226 done");
    session.pair.pass("QUIT", "221 bye");
    assert!(session.pair.client.rest().is_empty(), "close_notify is its end");
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::Quit);
}

#[test]
fn implicit_client_needs_neither_auth_nor_prot() {
    let implicit = free_at(own_address());
    let ftps = Ftps::new(&format!("implicit_listen: \"{implicit}\""), "");
    let mut client = Peer::connect(CLIENT, implicit);
    let config = ftps.client();
    client.begin_tls(&config, NAME);
    let mut pair = Pair::connect(client, &ftps.lab.server);
    pair.greet();
    pair.log_in();
    let mut session = super::Secured { pair, config };
    let (client, mut server) = session.begin_tls("RETR x");
    server.send("data");
    drop(server);
    assert_eq!(client.rest(), b"data");
    session.finish("226 done");
}

#[test]
fn d33_user_in_one_write_with_auth_ends_the_session() {
    let ftps = Ftps::new("", "");
    let mut pair = ftps.lab.greet();
    pair.client.send("AUTH TLS\r\nUSER x\r\n");
    let heard = pair.client.rest_of_text();
    assert_eq!(heard, "421 Nothing may come between AUTH and the TLS handshake.\r\n");
    assert!(pair.server.rest().is_empty());
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::PlaintextAfterAuth);
}

#[test]
fn d33_user_behind_the_servers_234_ends_the_handshake() {
    let ftps = Ftps::new("", "");
    let mut pair = ftps.lab.greet();
    pair.client.ask("AUTH TLS", "234 Begin TLS.");
    pair.client.say("USER x");
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::ClientTls);
    assert!(pair.server.rest().is_empty());
}

#[test]
fn d32_tls_at_the_plain_port_is_told_where_it_is() {
    let ftps = Ftps::new("", "");
    let mut pair = ftps.lab.greet();
    let mut tls = ClientConnection::new(ftps.client(), ServerName::try_from(NAME).unwrap()).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    pair.client.send(hello);
    assert_eq!(pair.client.rest_of_text(), "421 This is an FTP service.\r\n");
    assert!(pair.server.rest().is_empty());
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::NotFtp);
}

#[test]
fn plain_text_at_the_implicit_port_is_no_session() {
    let implicit = free_at(own_address());
    let ftps = Ftps::new(&format!("implicit_listen: \"{implicit}\""), "");
    let mut client = Peer::connect(CLIENT, implicit);
    client.say("USER alice");
    let server = Peer::accept(&ftps.lab.server);
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::ClientTls);
    assert!(server.rest().is_empty(), "the server is not fed with it");
}

#[test]
fn d32_client_that_asks_for_another_name_gets_no_session() {
    let ftps = Ftps::new("", "");
    let mut pair = ftps.lab.greet();
    pair.client.ask("AUTH TLS", "234 Begin TLS.");
    assert!(pair.client.try_tls(&ftps.client(), "www.example.com").is_err());
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::ClientTls);
    assert!(pair.server.rest().is_empty());
}

#[test]
fn client_that_never_shakes_hands_is_cut_off_at_the_login_timeout() {
    let implicit = free_at(own_address());
    let ftps = Ftps::new(&format!("implicit_listen: \"{implicit}\""), "timeouts: {login: 300ms}");
    let silent = Peer::connect(CLIENT, implicit);
    assert!(silent.rest().is_empty());
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::LoginTimeout);
    let ftps = Ftps::new("", "timeouts: {login: 300ms}");
    let mut pair = ftps.lab.greet();
    pair.client.ask("AUTH TLS", "234 Begin TLS.");
    assert!(pair.client.rest().is_empty(), "nothing in plain text");
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::LoginTimeout);
}

#[test]
fn client_that_leaves_in_the_midst_of_the_handshake_takes_the_server_along() {
    let ftps = Ftps::new("", "");
    let mut pair = ftps.lab.greet();
    pair.client.ask("AUTH TLS", "234 Begin TLS.");
    pair.client.send(b"\x16\x03\x01");
    pair.client.stream.shutdown(Shutdown::Both).unwrap();
    assert!(pair.server.rest().is_empty());
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::ClientTls);
}

#[test]
fn pipelined_commands_in_one_record_are_all_answered() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let pair = &mut session.pair;
    // More than may be pending: what TLS has read already waits behind them.
    pair.client.send("NOOP\r\n".repeat(200));
    for _ in 0..200 {
        pair.server.expect("NOOP");
        pair.server.say("200 ok");
        pair.client.expect("200 ok");
    }
}

#[test]
fn long_reply_arrives_whole() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let pair = &mut session.pair;
    pair.client.say("STAT /");
    pair.server.expect("STAT /");
    let line = "x".repeat(4000);
    pair.server.say(&format!("213-begin\r\n{}213 end", format!(" {line}\r\n").repeat(90)));
    pair.client.expect("213-begin");
    for _ in 0..90 {
        pair.client.expect(&format!(" {line}"));
    }
    pair.client.expect("213 end");
}

#[test]
fn client_that_closes_in_order_ends_the_session() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    session.pair.client.finish_tls();
    assert!(session.pair.server.rest().is_empty());
    assert!(session.pair.client.rest().is_empty());
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::ClientClosed);
}

#[test]
fn alert_in_the_midst_of_a_session_ends_it() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    // Under TLS this is no record.
    session.pair.client.stream.write_all(b"QUIT\r\n").unwrap();
    assert!(session.pair.server.rest().is_empty());
    ftps.lab.gate.record(EventKind::SessionClosed);
}

#[test]
fn reload_takes_new_certificates_for_new_sessions() {
    let ftps = Ftps::new("", "");
    let mut running = ftps.log_in();
    ftps.pki.issue("ftp", &["new.example.com"]);
    ftps.lab.gate.reload_certificates();
    running.pair.pass("NOOP", "200 ok");
    let (mut client, _server) = running.begin("RETR x");
    client.begin_tls(&running.config, NAME);
    for (name, taken) in [(NAME, false), ("new.example.com", true)] {
        let mut pair = ftps.lab.greet();
        pair.client.ask("AUTH TLS", "234 Begin TLS.");
        assert_eq!(pair.client.try_tls(&ftps.client(), name).is_ok(), taken, "{name}");
    }
}

#[test]
fn reload_of_bad_files_changes_nothing() {
    let ftps = Ftps::new("", "");
    ftps.pki.write("ftp.pem", "not yet");
    ftps.lab.gate.reload_certificates();
    ftps.log_in();
}

#[test]
fn client_certificate_is_demanded_where_the_rules_say_so() {
    let ftps = Ftps::new("client_certificates: require, client_ca: DIR/ca.pem", "");
    let alice = ftps.pki.issue("alice", &["alice"]);
    ftps.log_in_with(Arc::new(ftps.pki.client(super::ANY_VERSION, Some(&alice))));
    let mut pair = ftps.lab.greet();
    pair.client.ask("AUTH TLS", "234 Begin TLS.");
    // TLS 1.3 tells the client behind its handshake.
    let _ = pair.client.try_tls(&ftps.client(), NAME);
    ftps.lab.gate.recorded(EventKind::SessionClosed, Reason::ClientTls);
    assert!(pair.server.rest().is_empty());
}
