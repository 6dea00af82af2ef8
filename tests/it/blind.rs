//! FTPS that passes through from end to end: what opens, between whom, for how long, and how it is seen again.

use ftp_pinhole::addr::{PortRange, PortSet};
use ftp_pinhole::pinhole::OpenError;
use ftp_pinhole::policy::{Policy, ServerAddress, Tls};

use crate::pair::{Pair, policy};

const HELLO: &[u8] = b"\x16\x03\x01\x00\x05hello";
const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x00\x06answer";
const DATA: &[u8] = b"\x17\x03\x03\x00\x04\r\n\r\n";
const CLOSE: &[u8] = b"\x15\x03\x03\x00\x02\x01\x00";

fn blind() -> Policy {
    let ports = PortSet::new(vec![PortRange::new(30_000, 30_009).unwrap()]).unwrap();
    policy(|policy| policy.tls = Tls::Blind(ports))
}

fn greeted() -> Pair {
    let mut pair = Pair::greeted(blind());
    pair.forget();
    pair
}

/// Encrypted, the handshake done.
fn dark() -> Pair {
    let mut pair = greeted();
    pair.client("AUTH TLS").server("234 go").client_raw(HELLO).server_raw(SERVER_HELLO);
    pair.forget();
    pair
}

/// The bytes that went to each side.
fn passed(pair: &mut Pair) -> (Vec<u8>, Vec<u8>) {
    (std::mem::take(&mut pair.client_bytes), std::mem::take(&mut pair.server_bytes))
}

#[test]
fn d38_the_range_and_nothing_else_opens_between_the_two_peers() {
    let mut pair = greeted();
    pair.client("AUTH TLS").at_server("AUTH TLS").at_client("").did("");
    pair.server("234 go").at_client("234 go").did("open range 30000-30009; pinhole.opened blind");
    // What looks like set-ups is not read.
    pair.client_raw(HELLO).client_raw(b"\x17\x03\x03\x00\x06PASV\r\n");
    pair.server_raw(b"\x17\x03\x03\x00\x1d227 ok (10,0,0,5,160,2)\r\n1234").did("");
    let (client, server) = passed(&mut pair);
    assert_eq!(server, [HELLO, b"\x17\x03\x03\x00\x06PASV\r\n"].concat());
    assert_eq!(client, b"\x17\x03\x03\x00\x1d227 ok (10,0,0,5,160,2)\r\n1234");
}

#[test]
fn the_range_closes_with_the_session_and_who_is_in_stays() {
    let mut pair = dark();
    pair.enter(7, 30_003).did("pinhole.connected");
    let connected = &pair.events[0];
    assert_eq!(connected.listen, Some("203.0.113.10:30003".parse().unwrap()));
    assert_eq!(connected.to, Some("10.0.0.5:30003".parse().unwrap()));
    pair.client_closes().did("hang-up; pinhole.revoked session-ended; range close");
    pair.close(7, 0, 99).did("pinhole.closed; session.closed client-closed; over");
}

#[test]
fn a_server_that_refuses_auth_leaves_the_session_as_it_was() {
    let mut pair = greeted();
    pair.client("AUTH TLS").server("500 what?").at_client("500 what?").did("");
    pair.client("USER alice").server("331 ?").client("PASS x").server("230 in").client("PASV").forget();
    pair.server("227 (10,0,0,5,160,2)").did("open passive to 10.0.0.5:40962; pinhole.opened");
}

#[test]
fn p8_no_range_no_session() {
    let mut pair = greeted();
    pair.fail.push_back(OpenError::Backend);
    pair.client("AUTH TLS").server("234 go").at_client("421 The gateway cannot open data connections now.");
    pair.did("open range 30000-30009; pinhole.denied firewall-failed; hang-up; session.closed firewall-failed; over");
}

#[test]
fn p7_plain_text_around_the_handshake_ends_the_session() {
    let ended = "violation plaintext-after-auth; hang-up; session.closed plaintext-after-auth; over";
    let mut pair = greeted();
    pair.client_raw(b"AUTH TLS\r\nUSER mallory\r\n").at_server("").did(ended);
    let mut pair = greeted();
    pair.client("AUTH TLS").server_raw(b"234 go\r\n230 in\r\n").did(ended);
    let mut pair = greeted();
    pair.client("AUTH TLS").server("234 go").forget();
    pair.client("USER mallory").at_server("").did(
        "violation plaintext-after-auth; hang-up; pinhole.revoked session-ended; range close; \
         session.closed plaintext-after-auth; over",
    );
}

#[test]
fn t05_after_ccc_pinholes_open_one_by_one_again() {
    let mut pair = dark();
    pair.client_raw(DATA).server_raw(DATA).client_raw(CLOSE).server_raw(CLOSE).forget();
    pair.client("PASV").at_server("PASV").did("");
    pair.server("227 (10,0,0,5,160,2)").at_client("227 Entering Passive Mode (203,0,113,10,195,80).");
    pair.did("pinhole.revoked ccc; range close; open passive to 10.0.0.5:40962; pinhole.opened");
    // Whether the data is encrypted was agreed out of hearing: both ways, then.
    pair.client("RETR f").did("p-1 both");
}

#[test]
fn after_ccc_a_server_may_go_on_to_name_the_gateway() {
    let policy = Policy { server_address: ServerAddress::Deny, ..blind() };
    for (named, done) in [
        ("203,0,113,10", "open passive to 10.0.0.5:40962; pinhole.opened"),
        ("203,0,113,11", "pinhole.denied server-address"),
    ] {
        let mut pair = Pair::greeted(policy.clone());
        pair.client("AUTH TLS").server("234 go").client_raw(HELLO).server_raw(SERVER_HELLO);
        pair.client_raw(CLOSE).server_raw(CLOSE).client("PASV").forget();
        pair.server(&format!("227 ({named},160,2)"))
            .did(&format!("pinhole.revoked ccc; range close; {done}"));
    }
}

#[test]
fn p5_where_the_text_begins_again_is_found_for_every_cut() {
    let stream = [HELLO, DATA, CLOSE, b"PASV\r\n"].concat();
    for cut in 1..stream.len() {
        let mut pair = greeted();
        pair.client("AUTH TLS").server("234 go").forget();
        pair.client_raw(&stream[..cut]).client_raw(&stream[cut..]);
        let (_, server) = passed(&mut pair);
        assert_eq!(server, stream, "cut at {cut}");
    }
}

#[test]
fn an_idle_dark_session_ends_and_one_with_data_does_not() {
    let mut pair = dark();
    pair.wait_secs(14 * 60).client_raw(DATA).wait_secs(14 * 60).did("");
    pair.enter(7, 30_000).forget();
    pair.wait_secs(3600).did("").close(7, 1, 0).forget();
    pair.wait_secs(15 * 60)
        .did("hang-up; pinhole.revoked session-ended; range close; session.closed idle-timeout; over");
}

#[test]
fn only_mechanisms_of_tls_pass() {
    let mut pair = greeted();
    pair.client("AUTH KERBEROS_V4").at_server("").at_client("504 AUTH TLS is what is known here.");
}

#[test]
fn auth_while_one_direction_is_encrypted_ends_the_session_and_its_range() {
    let mut pair = dark();
    pair.client("AUTH TLS").at_server("").at_client("");
    pair.did(
        "violation plaintext-after-auth; hang-up; pinhole.revoked session-ended; range close; \
         session.closed plaintext-after-auth; over",
    );
}

#[test]
fn nothing_is_said_in_plain_text_where_the_client_hears_tls() {
    let mut pair = dark();
    pair.server_closes()
        .at_client("")
        .did("hang-up; pinhole.revoked session-ended; range close; session.closed server-closed; over");
    let mut pair = dark();
    pair.stop().at_client("");
}
