//! Time-outs, the end of the gateway and of a peer, while a handshake is under way.

use ftp_pinhole::policy::UpstreamTls;
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::Side;

use super::{NOT_OVER_TLS, greeted, lax, private, terminating};
use crate::pair::Pair;

const SILENT: &str = "421 The server does not answer.";
const DRAINING: &str = "421 The gateway is closing down.";

/// The client's handshake is under way: after AUTH, and at once.
fn client_shakes_hands() -> [Pair; 2] {
    let mut explicit = greeted(terminating(|_| {}));
    explicit.client("AUTH TLS").forget();
    let mut implicit = Pair::implicit(terminating(|_| {}));
    implicit.forget();
    [explicit, implicit]
}

/// The server's handshake is under way, in each way that there is.
fn server_shakes_hands() -> [Pair; 3] {
    let mut explicit = Pair::new(lax(UpstreamTls::Explicit));
    explicit.server("220 hi").server("234 go").forget();
    let mut implicit = Pair::new(lax(UpstreamTls::Implicit));
    implicit.forget();
    let mut as_client = greeted(lax(UpstreamTls::AsClient));
    as_client.client("AUTH TLS").server("234 go").forget();
    [explicit, implicit, as_client]
}

#[test]
fn a_client_that_never_shakes_hands_is_sent_away_at_the_login_timeout() {
    for mut pair in client_shakes_hands() {
        pair.wait_secs(59).quiet().wait_secs(1).at_client("").at_server("");
        pair.did("hang-up; session.closed login-timeout; over");
    }
}

#[test]
fn a_server_that_never_shakes_hands_is_given_up_at_the_login_timeout() {
    for mut pair in server_shakes_hands() {
        pair.wait_secs(59).quiet().wait_secs(1).at_client(SILENT).at_server("");
        pair.did("hang-up; session.closed upstream-silent; over");
    }
}

#[test]
fn a_server_that_never_answers_auth_is_given_up_at_the_login_timeout() {
    let mut explicit = Pair::new(lax(UpstreamTls::Explicit));
    explicit.server("220 hi").forget();
    let mut as_client = greeted(lax(UpstreamTls::AsClient));
    as_client.client("AUTH TLS").forget();
    for mut pair in [explicit, as_client] {
        pair.wait_secs(60).at_client(SILENT).did("hang-up; session.closed upstream-silent; over");
    }
}

#[test]
fn a_client_that_shakes_hands_and_says_nothing_is_sent_away_at_the_login_timeout() {
    let mut pair = greeted(terminating(|_| {}));
    pair.wait_secs(30).auth().forget().wait_secs(30).at_client("421 Login took too long.");
    pair.did("hang-up; session.closed login-timeout; over");
}

#[test]
fn the_gateway_stops_and_drains_in_the_midst_of_a_handshake() {
    for end in [Pair::stop, Pair::drain] {
        for mut pair in client_shakes_hands() {
            end(&mut pair).at_client("").did("hang-up; session.closed draining; over");
        }
        for mut pair in server_shakes_hands() {
            end(&mut pair).at_client(DRAINING).did("hang-up; session.closed draining; over");
        }
    }
}

#[test]
fn a_handshake_that_ends_behind_the_session_changes_nothing() {
    for mut pair in server_shakes_hands() {
        pair.stop().forget().shakes_hands(Side::Server, Ok(())).quiet();
    }
    for mut pair in client_shakes_hands() {
        pair.stop().forget().shakes_hands(Side::Client, Err(Reason::ClientTls)).quiet();
    }
}

#[test]
fn a_client_that_leaves_during_the_servers_handshake_is_not_waited_for() {
    for mut pair in server_shakes_hands() {
        pair.client_closes().at_server("").did("hang-up; session.closed client-closed; over");
    }
}

#[test]
fn a_client_that_leaves_while_the_server_is_secured_lets_it_end_in_order() {
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.server("220 hi").client_closes().server("234 go").forget();
    assert!(pair.is_over());
    let mut pair = Pair::new(lax(UpstreamTls::Explicit));
    pair.server("220 hi").server("234 go").shakes_hands(Side::Server, Ok(())).client_closes();
    pair.server("500 no").at_client(NOT_OVER_TLS);
}

#[test]
fn peers_that_are_lost_during_a_handshake_end_the_session() {
    for mut pair in server_shakes_hands() {
        pair.lost(Reason::ServerClosed).did("hang-up; session.closed server-closed; over");
    }
}

#[test]
fn a_session_that_stops_has_its_protected_transfer_cut() {
    let mut pair = private();
    pair.passive().client("RETR f").server("150 here").forget().stop().at_client(DRAINING);
    pair.did("hang-up; p-1 close").close_for(1, 0, 7, Some(Reason::Aborted));
    pair.did("pinhole.closed draining; session.closed draining; over");
}

#[test]
fn a_drain_lets_a_protected_transfer_arrive_first() {
    let mut pair = private();
    pair.passive().client("RETR f").server("150 here").forget().drain().server("226 done").at_client("");
    pair.close(1, 0, 7).at_client(&format!("226 done\n{DRAINING}"));
}
