//! Nothing that was said in plain text counts under TLS (P7, CVE-2011-0411), and the other attacks around AUTH.

use ftp_pinhole::policy::{MinProtection, UpstreamTls};
use ftp_pinhole::session::Side;

use super::{BEGIN, greeted, lax, min_protection, private, terminating, upstream};
use crate::pair::Pair;

const NOTHING_BETWEEN: &str = "421 Nothing may come between AUTH and the TLS handshake.";
const ENDED: &str = "violation plaintext-after-auth; hang-up; session.closed plaintext-after-auth; over";

// CVE-2011-1575: commands in plain text behind AUTH take effect inside TLS.
#[test]
fn d33_what_comes_in_one_flight_with_auth_ends_the_session() {
    for behind in ["USER mallory\r\n", "USER mal", "\r\n", "\u{16}", "AUTH TLS\r\n"] {
        let mut pair = greeted(terminating(|_| {}));
        pair.client_raw(format!("AUTH TLS\r\n{behind}").as_bytes()).at_server("");
        pair.at_client(NOTHING_BETWEEN).did(ENDED);
    }
}

#[test]
fn d33_what_comes_behind_an_auth_that_waits_ends_the_session() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client_raw(b"NOOP\r\nAUTH TLS\r\nUSER mallory\r\n").at_server("NOOP").did("");
    pair.server("200 ok").at_client(&format!("200 ok\n{NOTHING_BETWEEN}")).at_server("").did(ENDED);
}

#[test]
fn d33_a_refused_auth_is_a_command_as_any_other() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client_raw(b"AUTH GSSAPI\r\nNOOP\r\n").at_server("NOOP");
}

// CVE-2021-22947: replies in plain text behind the server's 234 take effect inside TLS.
#[test]
fn d33_what_the_server_sends_in_one_flight_with_its_234_ends_the_session() {
    for behind in ["200 PBSZ=0\r\n200 private\r\n", "2", "\r\n", "\u{15}"] {
        let mut pair = Pair::new(upstream(UpstreamTls::Explicit));
        pair.server("220 hi").forget();
        pair.server_raw(format!("234 go\r\n{behind}").as_bytes()).at_server("");
        pair.at_client("421 The server broke the protocol.").did(ENDED);
    }
}

#[test]
fn d33_what_the_client_says_while_the_server_is_asked_for_tls_ends_the_session() {
    let mut pair = greeted(upstream(UpstreamTls::AsClient));
    pair.client("AUTH TLS").at_server("AUTH TLS");
    assert!(!pair.session.wants_client());
    pair.client("USER mallory").server("234 go").shakes_hands(Side::Server, Ok(()));
    pair.server("200 ok").server("200 ok").at_client(NOTHING_BETWEEN).at_server("PBSZ 0\nPROT P");
}

#[test]
fn p7_what_the_server_may_remember_bars_auth() {
    for command in ["USER a", "CWD /evil", "HOST evil.example", "TYPE A", "REST 7", "RNFR f", "OPTS UTF8 OFF"]
    {
        let mut pair = greeted(min_protection(MinProtection::Clear));
        pair.client(command).server("350 fine").forget();
        pair.client("AUTH TLS")
            .at_client("503 AUTH comes first; connect anew.")
            .did("command.denied tls-order");
    }
    for command in ["FEAT", "SYST", "HELP", "NOOP", "STAT", "ABOR"] {
        let mut pair = greeted(min_protection(MinProtection::Clear));
        pair.client(command).server("226 fine").forget();
        pair.client("AUTH TLS").at_client(BEGIN);
    }
}

#[test]
fn p7_rein_makes_the_server_forget() {
    let mut pair = greeted(min_protection(MinProtection::Clear));
    pair.login().client("REIN").server("502 no").client("AUTH TLS").forget();
    pair.client("REIN").server("220 anew").client("AUTH TLS").at_client(&format!("220 anew\n{BEGIN}"));
}

#[test]
fn p7_nothing_goes_to_the_server_in_plain_text_that_it_may_remember() {
    let mut pair = greeted(terminating(|_| {}));
    for command in ["CWD /evil", "HOST evil.example", "TYPE A", "OPTS UTF8 OFF", "EPSV ALL"] {
        pair.client(command).at_client("530 Log in over TLS; use AUTH TLS first.").at_server("");
    }
    pair.auth();
}

#[test]
fn p7_a_session_under_tls_never_goes_back_to_plain_text() {
    let mut pair = private();
    for command in ["CCC", "REIN", "AUTH TLS", "PROT C"] {
        pair.client(command).at_server("").forget();
    }
    pair.passive().client("STOR f").at_client("521 Data has to be protected; use PROT P.").at_server("");
}

// NAT slipstreaming: what a web page makes a browser send is not a client's first word.
#[test]
fn d31_nothing_of_the_client_counts_before_the_servers_greeting_and_its_tls() {
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.client("USER a").server("220 hi").at_server("AUTH TLS").server("234 go").at_server("");
    pair.shakes_hands(Side::Server, Ok(())).server("200 ok").at_server("PBSZ 0\nPROT P");
}

// STRIPTLS: a man in the middle takes AUTH out of FEAT, or refuses it.
#[test]
fn d34_features_of_the_servers_plain_text_phase_do_not_count() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client("FEAT").server("211-x\r\n SIZE\r\n211 End");
    pair.at_client("211-x\n SIZE\n AUTH TLS\n PBSZ\n PROT\n EPRT\n EPSV\n211 End");
}

// CVE-2015-5361: everything opens once the control connection is encrypted.
#[test]
fn d38_an_encrypted_session_opens_what_it_negotiated_and_nothing_else() {
    let mut pair = private();
    assert_eq!(pair.opens(), 0);
    pair.client("RETR f")
        .at_client("425 Use PASV, EPSV, PORT or EPRT first.")
        .at_server("")
        .did("command.denied no-setup");
    pair.client("PORT 192,0,2,66,200,1").at_client("501 The address is not yours.");
    assert_eq!(pair.opens(), 0);
}
