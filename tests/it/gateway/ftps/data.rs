//! Data connections of clients under TLS.

use std::net::Shutdown;
use std::sync::Arc;
use std::thread;

use ftp_pinhole::audit::Record;
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::super::peer::Peer;
use super::{Ftps, NAME};
use crate::pki::{TLS12, TLS13};

const NOT_RESUMED: &str = "522 The data connection has to resume the TLS session of the control connection.";
const NO_HANDSHAKE: &str = "522 The TLS handshake of the data connection failed.";
const TRUNCATED: &str = "426 The data connection ended without a TLS close; bytes may be missing.";

/// Bytes that do not repeat with the size of any buffer.
fn payload() -> Vec<u8> {
    (0..3_000_000_u32).map(|i| (i % 251) as u8).collect()
}

fn closed(ftps: &Ftps, reason: Option<Reason>) -> Record {
    let closed = ftps.lab.gate.record(EventKind::PinholeClosed);
    assert_eq!(closed.event.reason, reason);
    closed
}

#[test]
fn bytes_arrive_unchanged_and_are_counted_exactly() {
    for version in [&TLS12, &TLS13] {
        for up in [true, false] {
            let ftps = Ftps::new("", "");
            let mut session = ftps.log_in_with(Arc::new(ftps.pki.client(&[version], None)));
            let (client, server) = session.begin_tls(if up { "STOR x" } else { "RETR x" });
            assert!(client.is_resumed());
            let (mut sender, receiver) = if up { (client, server) } else { (server, client) };
            let receiver = thread::spawn(move || receiver.rest());
            sender.send(payload());
            match up {
                true => sender.finish_tls(),
                false => drop(sender.stream.shutdown(Shutdown::Write)),
            }
            assert!(receiver.join().unwrap() == payload(), "{version:?} up: {up}");
            session.finish("226 done");
            let event = closed(&ftps, None).event;
            let count = Some(payload().len() as u64);
            let expected = if up { (count, Some(0)) } else { (Some(0), count) };
            assert_eq!((event.bytes_to_server, event.bytes_to_client), expected);
        }
    }
}

#[test]
fn active_client_is_the_tls_client_too() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let (listener, to) = session.pair.active();
    let mut server = Peer::connect(session.pair.server.here().ip(), to);
    let mut client = Peer::accept(&listener);
    session.pair.pass("RETR x", "150 go");
    client.begin_tls(&session.config, NAME);
    server.send("active");
    drop(server);
    assert_eq!(client.rest(), b"active");
    session.finish("226 done");
}

#[test]
fn a_client_that_closes_without_reading_what_tls_sent_loses_nothing() {
    for version in [&TLS12, &TLS13] {
        let ftps = Ftps::new("", "");
        let mut session = ftps.log_in_with(Arc::new(ftps.pki.client(&[version], None)));
        for _ in 0..8 {
            let (mut client, server) = session.begin_tls("STOR x");
            let receiver = thread::spawn(move || server.rest());
            client.send(payload());
            client.finish_tls();
            drop(client);
            assert_eq!(receiver.join().unwrap().len(), payload().len(), "{version:?}");
            session.finish("226 done");
        }
    }
}

#[test]
fn d35_data_without_resumption_is_refused() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let (mut client, server) = session.begin("RETR x");
    client.begin_tls(&ftps.client(), NAME);
    assert!(client.rest_until_reset().is_empty());
    assert!(server.rest_until_reset().is_empty());
    session.finish(NOT_RESUMED);
    closed(&ftps, Some(Reason::DataNotResumed));
    session.pair.pass("NOOP", "200 ok");
}

#[test]
fn d35_data_with_another_sessions_ticket_is_refused() {
    let ftps = Ftps::new("", "");
    let (mut session, other) = (ftps.log_in(), ftps.log_in());
    let (mut client, server) = session.begin("STOR x");
    client.begin_tls(&other.config, NAME);
    assert!(client.rest_until_reset().is_empty());
    assert!(server.rest_until_reset().is_empty());
    session.finish(NOT_RESUMED);
    closed(&ftps, Some(Reason::DataNotResumed));
}

#[test]
fn d36_clear_data_behind_prot_p_is_refused() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let (mut client, server) = session.begin("STOR x");
    client.send("in plain text, which is no record of TLS");
    assert!(server.rest_until_reset().is_empty());
    session.finish(NO_HANDSHAKE);
    closed(&ftps, Some(Reason::DataTls));
}

#[test]
fn d36_a_client_that_waits_for_clear_data_is_refused() {
    let ftps = Ftps::new("", "timeouts: {data_idle: 300ms}");
    let mut session = ftps.log_in();
    let (client, mut server) = session.begin("RETR x");
    server.send("secret");
    assert!(client.rest_until_reset().is_empty());
    session.finish(NO_HANDSHAKE);
    closed(&ftps, Some(Reason::DataTls));
}

#[test]
fn d37_upload_without_close_notify_is_truncated() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let (mut client, mut server) = session.begin_tls("STOR x");
    client.send("half of it");
    assert_eq!(server.take(10), b"half of it");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert!(server.rest_until_reset().is_empty(), "the server may not take it for the whole");
    session.finish(TRUNCATED);
    closed(&ftps, Some(Reason::DataTruncated));
    session.pair.pass("NOOP", "200 ok");
}

#[test]
fn d37_upload_without_close_notify_passes_where_that_is_tolerated() {
    let ftps = Ftps::new("", "tolerate: [missing-close-notify]");
    let mut session = ftps.log_in();
    let (mut client, server) = session.begin_tls("STOR x");
    client.send("all of it");
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.rest(), b"all of it");
    session.finish("226 done");
    closed(&ftps, None);
}

#[test]
fn bytes_against_the_direction_are_cut_under_tls_too() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let (mut client, mut server) = session.begin_tls("RETR x");
    server.send("down");
    assert_eq!(client.take(4), b"down");
    client.send("tunnel");
    assert!(client.rest_until_reset().is_empty());
    assert!(server.rest_until_reset().is_empty());
    closed(&ftps, Some(Reason::WrongDirection));
    let mut session = ftps.log_in();
    let (mut client, mut server) = session.begin_tls("STOR x");
    client.send("up");
    assert_eq!(server.take(2), b"up");
    server.send("tunnel");
    assert!(client.rest_until_reset().is_empty());
}

#[test]
fn server_that_resets_its_data_connection_has_the_clients_cut() {
    let ftps = Ftps::new("", "");
    let mut session = ftps.log_in();
    let (mut client, mut server) = session.begin_tls("RETR x");
    server.send("down");
    assert_eq!(client.take(4), b"down");
    socket2::SockRef::from(&server.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(server);
    assert!(client.rest_until_reset().is_empty(), "no close_notify tells it that this is the whole");
    closed(&ftps, Some(Reason::DataReset));
}

#[test]
fn protected_data_on_which_nothing_moves_is_cut() {
    let ftps = Ftps::new("", "timeouts: {data_idle: 300ms}");
    let mut session = ftps.log_in();
    let (client, server) = session.begin_tls("RETR x");
    assert!(client.rest_until_reset().is_empty());
    assert!(server.rest_until_reset().is_empty());
    closed(&ftps, Some(Reason::DataIdle));
}
