//! The client's control connection: AUTH, PBSZ, PROT and the commands that TLS changes.

use ftp_pinhole::pinhole::DataEvent;
use ftp_pinhole::policy::{MinProtection, Policy, Tolerances, UpstreamTls};
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::Side;

use super::{BEGIN, PASSIVE, greeted, lax, min_protection, private, protected, terminating, upstream};
use crate::pair::{Pair, policy};

const CLEAR: MinProtection = MinProtection::Clear;

#[test]
fn t01_auth_tls_is_answered_234_and_other_mechanisms_504() {
    for argument in ["TLS", "tls", "TLS-C", "Tls-c"] {
        greeted(terminating(|_| {}))
            .client(&format!("AUTH {argument}"))
            .at_client(BEGIN)
            .at_server("")
            .did("handshake client");
    }
    for argument in ["GSSAPI", "KERBEROS_V4", "TLS-P", "TLS ", "SSL"] {
        let mut pair = greeted(terminating(|_| {}));
        pair.client(&format!("AUTH {argument}")).at_client("504 AUTH TLS is what is known here.");
        pair.did("command.denied not-supported").client("AUTH TLS").at_client(BEGIN);
    }
}

#[test]
fn t01_a_service_without_tls_answers_534() {
    greeted(Policy::default()).client("AUTH TLS").at_client("534 TLS is not available here.").at_server("");
}

#[test]
fn t02_auth_waits_until_every_earlier_command_is_answered() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client("SYST").client("NOOP").client("AUTH TLS").at_server("SYST\nNOOP").at_client("");
    assert!(!pair.session.wants_client(), "what comes behind AUTH is TLS");
    pair.server("215 UNIX").at_client("215 UNIX").did("");
    pair.server("200 ok").at_client("200 ok\n234 Begin TLS.").did("handshake client");
}

#[test]
fn t02_auth_takes_back_what_was_set_up_before_it() {
    let mut pair = greeted(policy(|policy| {
        policy.require_login = false;
        policy.tls = min_protection(CLEAR).tls;
    }));
    pair.client("PASV").server(PASSIVE).forget();
    pair.client("AUTH TLS").did("pinhole.revoked authentication; p-1 close; handshake client");
    pair.shakes_hands(Side::Client, Ok(())).forget();
    pair.client("RETR f").at_client("425 Use PASV, EPSV, PORT or EPRT first.").at_server("");
}

#[test]
fn t02_auth_forgets_epsv_all() {
    let mut pair = greeted(min_protection(CLEAR));
    pair.client("EPSV ALL").at_client("200 EPSV ALL is accepted.").auth().login().forget();
    pair.client("PASV").at_server("PASV");
}

#[test]
fn t03_ccc_is_refused_and_the_session_stays_protected() {
    private().client("CCC").at_client("534 The connection stays protected.").at_server("");
    let mut pair = greeted(terminating(|_| {}));
    pair.client("CCC").at_client("533 The connection is not protected.");
    // The server's TLS is not the client's.
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.server("220 hi").server_secures().forget();
    pair.client("CCC").at_client("533 The connection is not protected.").at_server("");
}

#[test]
fn t04_t05_after_a_refused_ccc_everything_is_as_before() {
    let mut pair = private();
    pair.client("CCC").client("PROT C").client("PROT P").forget();
    pair.passive().client("RETR f").did("p-1 protect client; p-1 to-client");
}

#[test]
fn t06_feat_lists_what_the_gateway_speaks_itself() {
    let of_server = "211-Features:\r\n AUTH SSL\r\n CCC\r\n CPSV\r\n PBSZ\r\n SSCN\r\n SIZE\r\n211 End";
    for upstream in [UpstreamTls::None, UpstreamTls::AsClient] {
        let mut pair = greeted(lax(upstream));
        pair.client("FEAT").server(of_server);
        pair.at_client("211-Features:\n SIZE\n AUTH TLS\n PBSZ\n PROT\n EPRT\n EPSV\n211 End");
    }
    let mut pair = greeted(Policy::default());
    pair.client("FEAT").server(of_server).at_client("211-Features:\n SIZE\n EPRT\n EPSV\n211 End");
}

#[test]
fn t09_pbsz_needs_tls_and_prot_needs_pbsz() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client("PBSZ 0").client("PROT P").did("command.denied tls-order; command.denied tls-order");
    let unprotected = "503 The connection is not protected.";
    pair.at_client(&format!("{unprotected}\n{unprotected}")).auth().forget();
    pair.client("PROT P").at_client("503 PBSZ comes before PROT.").did("command.denied tls-order");
    pair.client("PBSZ 0").client("PROT P").at_client("200 PBSZ=0\n200 Data will be private.").did("");
    pair.at_server("");
}

#[test]
fn t09_pbsz_takes_any_number_and_answers_0() {
    let mut pair = protected(terminating(|_| {}));
    for size in ["0", "1", "4294967295", "0000000000"] {
        pair.client(&format!("PBSZ {size}")).at_client("200 PBSZ=0");
    }
    for bad in ["PBSZ", "PBSZ -1", "PBSZ 0x10", "PBSZ 1 ", "PBSZ 12345678901", "PBSZ P"] {
        pair.client(bad).at_client("501 PBSZ takes a number of at most ten digits.");
    }
    let mut pair = protected(terminating(|_| {}));
    pair.client("PBSZ x").client("PROT P");
    pair.at_client("501 PBSZ takes a number of at most ten digits.\n503 PBSZ comes before PROT.");
}

#[test]
fn t09_prot_knows_two_levels() {
    let mut pair = protected(terminating(|_| {}));
    pair.client("PBSZ 0").forget();
    for (level, reply) in [
        ("P", "200 Data will be private."),
        ("p", "200 Data will be private."),
        ("C", "200 Data will be clear."),
        ("S", "536 TLS knows the levels C and P."),
        ("e", "536 TLS knows the levels C and P."),
        ("X", "504 The levels are C and P."),
        ("PP", "504 The levels are C and P."),
        ("P ", "504 The levels are C and P."),
    ] {
        pair.client(&format!("PROT {level}")).at_client(reply).at_server("");
    }
    pair.client("PROT").at_client("504 The levels are C and P.");
}

#[test]
fn a_refused_prot_leaves_the_level_as_it_is() {
    let mut pair = private();
    pair.client("PROT S").client("PROT X").passive();
    pair.client("RETR f").did("p-1 protect client; p-1 to-client");
}

#[test]
fn t16_rein_under_tls_is_refused() {
    let mut pair = private();
    pair.client("REIN").at_client("502 REIN is not possible under TLS; connect anew.").at_server("");
    pair.client("NOOP").at_server("NOOP");
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.server("220 hi").server_secures().forget();
    pair.client("REIN").at_server("").at_client("502 REIN is not possible under TLS; connect anew.");
}

#[test]
fn t17_abor_is_read_in_band_with_its_telnet_bytes() {
    let mut pair = private();
    pair.passive().client("RETR f").server("150 here").forget();
    pair.client_raw(b"\xff\xf4\xff\xf2ABOR\r\n").at_server("ABOR");
    pair.server("426 cut").server("226 aborted").at_client("426 cut\n226 aborted");
    pair.did("p-1 close");
    pair.client("STAT").at_server("STAT").server("211 fine").at_client("211 fine");
}

#[test]
fn t19_ccc_before_the_login_is_refused() {
    let mut pair = protected(terminating(|_| {}));
    pair.client("CCC").at_client("534 The connection stays protected.").at_server("");
}

#[test]
fn t20_auth_ssl_is_tls_only_where_that_is_tolerated() {
    let mut pair = greeted(policy(|policy| {
        policy.tls = terminating(|_| {}).tls;
        policy.tolerate = Tolerances { auth_ssl: true, ..Tolerances::default() };
    }));
    pair.client("AUTH ssl").at_client(BEGIN).did("tolerated auth-ssl; handshake client");
    // It does not imply PROT P, as a draft had it.
    pair.shakes_hands(Side::Client, Ok(())).client("PROT P").at_client("503 PBSZ comes before PROT.");
}

#[test]
fn auth_comes_once() {
    let mut pair = private();
    pair.client("AUTH TLS").at_client("503 The connection is protected already.").at_server("");
    pair.did("command.denied tls-order").passive().client("RETR f").did("p-1 protect client; p-1 to-client");
}

#[test]
fn security_data_has_no_place_in_tls() {
    let mut pair = private();
    for verb in ["ADAT", "MIC", "CONF", "ENC"] {
        pair.client(&format!("{verb} c2VjcmV0")).at_client("503 AUTH TLS goes without security data.");
        pair.at_server("").did("command.denied tls-denied");
    }
    assert!(!format!("{:?}", pair.events).contains("c2VjcmV0"));
}

#[test]
fn a_login_in_plain_text_is_refused_unless_the_service_asks_for_nothing() {
    for level in [MinProtection::Private, MinProtection::Control] {
        let mut pair = greeted(min_protection(level));
        for command in ["USER alice", "PASS x", "ACCT x"] {
            pair.client(command).at_client("530 Log in over TLS; use AUTH TLS first.").at_server("");
            pair.did("command.denied tls-required");
        }
        pair.auth().client("USER alice").at_server("USER alice");
    }
    let mut pair = greeted(min_protection(CLEAR));
    pair.login().forget();
    pair.passive().client("RETR f").did("p-1 to-client");
}

#[test]
fn a_server_that_needs_no_login_is_reached_under_tls_alone() {
    let mut pair = greeted(policy(|policy| {
        policy.require_login = false;
        policy.tls = min_protection(MinProtection::Control).tls;
    }));
    for command in ["PASV", "PORT 198,51,100,10,200,1", "LIST", "CWD /", "DELE f"] {
        pair.client(command).at_client("530 Log in over TLS; use AUTH TLS first.").at_server("");
    }
    pair.client("FEAT").at_server("FEAT");
}

#[test]
fn d36_prot_c_after_the_login_leads_to_521() {
    let mut pair = private();
    pair.passive().client("PROT C").at_client("200 Data will be clear.");
    for command in ["RETR f", "STOR f", "LIST"] {
        pair.client(command).at_client("521 Data has to be protected; use PROT P.").at_server("");
        pair.did("command.denied tls-required");
    }
    pair.client("PROT P").client("RETR f").at_server("RETR f").did("p-1 protect client; p-1 to-client");
}

#[test]
fn d36_a_service_that_asks_for_control_alone_takes_clear_data() {
    let mut pair = protected(min_protection(MinProtection::Control));
    pair.login().passive().client("RETR f").at_server("RETR f").did("p-1 to-client");
}

#[test]
fn d32_other_protocols_under_tls_are_cut() {
    let mut pair = Pair::implicit(terminating(|_| {}));
    pair.shakes_hands(Side::Client, Ok(())).server("220 hi").forget();
    pair.client("GET / HTTP/1.1").at_client("421 This is an FTP service.").at_server("");
    assert!(pair.is_over());
}

#[test]
fn t14_a_failed_handshake_ends_the_session_without_a_word() {
    let mut pair = greeted(terminating(|_| {}));
    pair.client("AUTH TLS").forget().shakes_hands(Side::Client, Err(Reason::ClientTls));
    pair.at_client("").at_server("").did("hang-up; session.closed client-tls; over");
}

#[test]
fn an_implicit_client_is_private_from_the_start() {
    let mut pair = Pair::implicit(terminating(|_| {}));
    pair.did("session.opened; handshake client").server("220 hi").at_client("");
    pair.shakes_hands(Side::Client, Ok(())).at_client("220 hi");
    pair.client("USER alice").server("230 in").forget();
    pair.client("AUTH TLS").at_client("503 The connection is protected already.");
    pair.passive().client("RETR f").did("p-1 protect client; p-1 to-client");
    // What it asks for counts all the same.
    pair.server("150 here").data(1, DataEvent::Delivered { notified: true }).server("226 done");
    pair.client("PROT C").client("PASV").server(PASSIVE).forget();
    pair.client("RETR f").at_client("521 Data has to be protected; use PROT P.");
}

#[test]
fn an_implicit_client_whose_handshake_fails_hears_nothing() {
    for upstream in [upstream(UpstreamTls::None), upstream(UpstreamTls::Implicit)] {
        let mut pair = Pair::implicit(upstream);
        pair.server("220 hi").shakes_hands(Side::Client, Err(Reason::ClientTls)).at_client("").at_server("");
        pair.did("session.opened; handshake client; hang-up; session.closed client-tls; over");
    }
}
