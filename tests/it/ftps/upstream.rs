//! TLS towards the server: none, explicit, implicit, as the client; nothing ever falls back (D34).

use ftp_pinhole::policy::{MinProtection, Policy, UpstreamTls};
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::Side;

use super::{BEGIN, NOT_OVER_TLS, greeted, lax, terminating, upstream};
use crate::pair::Pair;

const NO_TLS: &str = "534 TLS is not available here.";
const ENDED: &str = "hang-up; session.closed upstream-tls; over";

/// A session whose server has greeted and is asked for TLS.
fn securing(upstream: UpstreamTls) -> Pair {
    let mut pair = Pair::new(lax(upstream));
    if upstream == UpstreamTls::Implicit {
        pair.shakes_hands(Side::Server, Ok(()));
    }
    pair.server("220 hi").forget();
    pair
}

#[test]
fn a_plain_server_sees_nothing_of_tls() {
    let mut pair = greeted(upstream(UpstreamTls::None));
    pair.auth().client("PBSZ 0").client("PROT P").at_server("").client("USER alice").at_server("USER alice");
}

#[test]
fn explicit_the_server_is_secured_before_the_client_hears_of_it() {
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.server("220 hi").at_client("").server_secures().at_client("220 hi");
    // What the client said before waits.
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.client("USER alice").server("220 hi").server("234 go").at_server("AUTH TLS");
    pair.shakes_hands(Side::Server, Ok(())).server("200 ok").at_server("PBSZ 0\nPROT P");
    pair.server("200 ok").at_server("USER alice").at_client("220 hi");
}

#[test]
fn explicit_a_plain_client_reaches_a_tls_server() {
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.server("220 hi").server_secures().at_client("220 hi");
    pair.login().forget().passive().client("RETR f").did("p-1 protect server; p-1 to-client");
}

#[test]
fn implicit_the_server_is_spoken_to_in_tls_from_the_first_byte() {
    let mut pair = Pair::new(lax(UpstreamTls::Implicit));
    pair.did("session.opened; handshake server").shakes_hands(Side::Server, Ok(())).at_server("");
    pair.server("220 hi").at_client("").at_server("PBSZ 0").server("200 ok").at_server("PROT P");
    pair.server("200 ok").at_client("220 hi");
}

#[test]
fn implicit_on_both_legs_the_client_comes_first() {
    let mut pair = Pair::implicit(upstream(UpstreamTls::Implicit));
    pair.did("session.opened; handshake client").shakes_hands(Side::Client, Ok(())).did("handshake server");
    pair.shakes_hands(Side::Server, Ok(())).server("220 hi").server("200 ok").server("200 ok");
    pair.at_client("220 hi").at_server("PBSZ 0\nPROT P");
}

#[test]
fn as_client_the_server_is_secured_before_the_client_is_answered() {
    let mut pair = greeted(upstream(UpstreamTls::AsClient));
    pair.client("AUTH TLS")
        .at_client("")
        .server_secures()
        .at_client(BEGIN)
        .did("handshake server; handshake client");
    let pair = pair.shakes_hands(Side::Client, Ok(()));
    pair.client("PBSZ 0").client("PROT P").at_server("").login().forget();
    pair.passive().client("RETR f").did("p-1 protect both; p-1 to-client");
}

#[test]
fn as_client_a_plain_client_meets_a_plain_server() {
    let mut pair = greeted(lax(UpstreamTls::AsClient));
    pair.login().at_server("USER alice\nPASS x").forget();
    pair.client("PASV").server(super::PASSIVE).did("open passive to 10.0.0.5:40962; pinhole.opened");
    pair.client("RETR f").did("p-1 to-client");
}

#[test]
fn as_client_an_implicit_client_has_its_server_secured_before_the_greeting() {
    let mut pair = Pair::implicit(upstream(UpstreamTls::AsClient));
    pair.shakes_hands(Side::Client, Ok(())).server("220 hi").at_client("").server_secures();
    pair.at_client("220 hi");
}

#[test]
fn d34_as_client_a_server_that_refuses_auth_leaves_the_choice_to_the_client() {
    for refusal in ["500 what?", "502 no", "504 no", "534 no", "431 no", "530 no", "334 go on", "200 ok"] {
        let mut pair = greeted(lax(UpstreamTls::AsClient));
        pair.client("AUTH TLS").server(refusal).at_client(NO_TLS).did("command.denied tls-denied");
        pair.forget().client("USER alice").at_server("USER alice");
    }
    // It may not log in where the service asks for TLS.
    let mut pair = greeted(upstream(UpstreamTls::AsClient));
    pair.client("AUTH TLS").server("502 no").client("USER alice").at_server("AUTH TLS");
    pair.at_client(&format!("{NO_TLS}\n530 Log in over TLS; use AUTH TLS first."));
}

#[test]
fn d34_as_client_once_the_server_agreed_nothing_falls_back() {
    let mut pair = greeted(lax(UpstreamTls::AsClient));
    pair.client("AUTH TLS").server("234 go").forget();
    pair.shakes_hands(Side::Server, Err(Reason::UpstreamTls)).at_client(NOT_OVER_TLS).did(ENDED);
    let mut pair = greeted(lax(UpstreamTls::AsClient));
    pair.client("AUTH TLS").server("234 go").shakes_hands(Side::Server, Ok(())).forget();
    pair.server("503 no").at_client(NOT_OVER_TLS).at_server("").did(ENDED);
}

#[test]
fn d34_a_server_that_refuses_auth_is_spoken_to_no_more() {
    for refusal in ["500 what?", "502 no", "504 no", "534 no", "431 no", "530 no", "334 go on", "200 ok"] {
        let mut pair = securing(UpstreamTls::Explicit);
        pair.server(refusal).at_client(NOT_OVER_TLS).at_server("").did(ENDED);
    }
}

#[test]
fn d34_a_server_that_refuses_to_protect_data_is_spoken_to_no_more() {
    for refusal in ["500 what?", "503 no", "530 no", "331 what?", "431 no", "536 no"] {
        for upstream in [UpstreamTls::Explicit, UpstreamTls::Implicit] {
            for accepted in 0..2 {
                let mut pair = securing(upstream);
                if upstream == UpstreamTls::Explicit {
                    pair.server("234 go").shakes_hands(Side::Server, Ok(()));
                }
                for _ in 0..accepted {
                    pair.server("200 ok");
                }
                pair.forget().server(refusal).at_client(NOT_OVER_TLS).at_server("").did(ENDED);
            }
        }
    }
}

#[test]
fn d34_a_server_whose_handshake_fails_is_spoken_to_no_more() {
    let mut pair = securing(UpstreamTls::Explicit);
    pair.server("234 go").forget().shakes_hands(Side::Server, Err(Reason::UpstreamTls));
    pair.at_client(NOT_OVER_TLS).at_server("").did(ENDED);
    let mut pair = Pair::new(upstream(UpstreamTls::Implicit));
    pair.forget().shakes_hands(Side::Server, Err(Reason::UpstreamTls));
    pair.at_client(NOT_OVER_TLS).at_server("").did(ENDED);
}

#[test]
fn a_server_that_answers_auth_with_a_preliminary_reply_broke_the_protocol() {
    for upstream in [UpstreamTls::Explicit, UpstreamTls::AsClient] {
        let mut pair = securing(upstream);
        if upstream == UpstreamTls::AsClient {
            pair.client("AUTH TLS");
        }
        pair.forget().server("150 log in at evil.example").at_client("421 The server broke the protocol.");
        pair.did("violation unsolicited-reply; hang-up; session.closed unsolicited-reply; over");
    }
}

#[test]
fn a_server_that_ends_while_it_is_secured_takes_the_client_along() {
    securing(UpstreamTls::Explicit).server("421 too busy").at_client("421 too busy").at_server("");
    securing(UpstreamTls::Explicit).server_closes().at_client("421 The server closed the connection.");
}

#[test]
fn a_server_that_refuses_the_session_is_not_asked_for_tls() {
    let mut pair = Pair::new(upstream(UpstreamTls::Explicit));
    pair.server("530 not you").at_client("530 not you").at_server("");
    assert!(pair.is_over());
}

#[test]
fn t06_feat_is_the_same_whatever_the_server_speaks() {
    for upstream in [UpstreamTls::Explicit, UpstreamTls::Implicit] {
        let mut pair = securing(upstream);
        if upstream == UpstreamTls::Explicit {
            pair.server("234 go").shakes_hands(Side::Server, Ok(()));
        }
        pair.server("200 ok").server("200 ok").forget();
        pair.client("FEAT").server("211-x\r\n AUTH TLS\r\n211 End");
        pair.at_client("211-x\n AUTH TLS\n PBSZ\n PROT\n EPRT\n EPSV\n211 End");
    }
}

#[test]
fn a_client_that_asks_for_tls_meets_a_server_that_has_it_already() {
    let mut pair = Pair::new(upstream(UpstreamTls::Explicit));
    pair.server("220 hi").server_secures().forget();
    pair.auth().at_server("").client("PBSZ 0").client("PROT P").login().passive();
    pair.client("STOR f").did("p-1 protect both; p-1 to-server");
}

#[test]
fn min_protection_is_about_the_clients_leg() {
    let control = |upstream| -> Policy {
        terminating(|terminate| {
            terminate.upstream = upstream;
            terminate.min_protection = MinProtection::Control;
        })
    };
    let mut pair = Pair::new(control(UpstreamTls::Explicit));
    pair.server("220 hi").server_secures().forget();
    pair.client("USER alice").at_client("530 Log in over TLS; use AUTH TLS first.").at_server("");
    // The server's data is protected whatever the client's is.
    pair.auth().login().passive().client("RETR f").did("p-1 protect server; p-1 to-client");
}
