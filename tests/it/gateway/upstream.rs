//! The server is down, is one of several, or is not an FTP server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::lab::{Gate, Lab, Pair, free_at, own_address, server};
use super::peer::Peer;
use super::{CLIENT, lacks_ipv6};

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[test]
fn client_hears_at_once_that_the_server_is_down() {
    let addr = free_at(own_address());
    let gate = Gate::start(&[addr], &[free_at(own_address())], "");
    let client = Peer::connect(CLIENT, addr);
    let here = client.here();
    assert_eq!(client.rest_of_text(), "421 The server cannot be reached.\r\n");
    let record = gate.recorded(EventKind::SessionClosed, Reason::UpstreamUnreachable);
    let context = record.context.unwrap();
    assert_eq!((context.client, context.server), (here, None));
}

#[test]
fn next_server_of_the_list_is_dialled_when_the_first_is_down() {
    let (addr, up) = (free_at(own_address()), server());
    let _gate = Gate::start(&[addr], &[free_at(own_address()), up.local_addr().unwrap()], "");
    Pair::connect(Peer::connect(CLIENT, addr), &up).greet();
}

#[test]
fn server_of_the_clients_family_is_dialled_before_the_others() {
    if lacks_ipv6("server_of_the_clients_family_is_dialled_before_the_others") {
        return;
    }
    let (v4, v6) = (server(), TcpListener::bind((V6, 0)).unwrap());
    let listen = [free_at(own_address()), free_at(V6)];
    let upstream = [v6.local_addr().unwrap(), v4.local_addr().unwrap()];
    let _gate = Gate::start(&listen, &upstream, "");
    Pair::connect(Peer::connect(CLIENT, listen[0]), &v4).greet();
    Pair::connect(Peer::connect(V6, listen[1]), &v6).greet();
    drop(v6);
    Pair::connect(Peer::connect(V6, listen[1]), &v4).greet();
}

#[test]
fn both_families_meet_when_the_legs_differ() {
    if lacks_ipv6("both_families_meet_when_the_legs_differ") {
        return;
    }
    let (up, listen) = (server(), free_at(V6));
    let _gate = Gate::start(&[listen], &[up.local_addr().unwrap()], "");
    let mut pair = Pair::connect(Peer::connect(V6, listen), &up);
    pair.greet();
    pair.log_in();
    let ends = pair.begin_retrieve();
    pair.finish_retrieve(ends, b"across families");
    pair.pass("QUIT", "221 bye");
}

/// What the client hears when the server says `hello`, and the reason in the record.
fn greeting(hello: &[u8], reason: Reason) -> String {
    let lab = Lab::new("timeouts: {login: 300ms}");
    let client = Peer::connect(CLIENT, lab.addr);
    let mut server = Peer::accept(&lab.server);
    server.send(hello);
    let heard = client.rest_of_text();
    assert!(server.rest().is_empty());
    lab.gate.recorded(EventKind::SessionClosed, reason);
    heard
}

#[test]
fn server_that_speaks_something_else_is_not_shown_to_the_client() {
    const TLS_ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x0a";
    for hello in [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n".as_slice(),
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"* OK IMAP4rev1 ready\r\n",
        b"\x80\x00\x01 garbage \xfe\x01",
        TLS_ALERT,
    ] {
        let heard = greeting(hello, Reason::NotFtp);
        assert_eq!(heard, "421 The server does not speak FTP.\r\n", "after {hello:?}");
    }
}

#[test]
fn server_that_says_nothing_is_given_up_at_the_login_timeout() {
    assert_eq!(greeting(b"", Reason::UpstreamSilent), "421 The server does not answer.\r\n");
    assert_eq!(greeting(b"220 half a gree", Reason::UpstreamSilent), "421 The server does not answer.\r\n");
}

#[test]
fn server_that_hangs_up_takes_the_client_along() {
    let lab = Lab::new("");
    let client = Peer::connect(CLIENT, lab.addr);
    drop(Peer::accept(&lab.server));
    assert_eq!(client.rest_of_text(), "421 The server closed the connection.\r\n");
    lab.gate.recorded(EventKind::SessionClosed, Reason::ServerClosed);
}

#[test]
fn refusal_of_the_server_reaches_the_client() {
    assert_eq!(greeting(b"421 Too busy.\r\n", Reason::ServerClosed), "421 Too busy.\r\n");
}

#[test]
fn gateway_shows_the_server_the_address_of_its_route() {
    let lab = Lab::new("");
    assert_eq!(lab.greet().server.there().ip(), Ipv4Addr::LOCALHOST);
}
