//! Transfers: set-up, direction, end, and what else a client may do while one runs.

use std::time::Duration;

use ftp_pinhole::pinhole::{DataEvent, OpenError};
use ftp_pinhole::reason::Reason;

use crate::pair::{Pair, legs, policy};

const ANNOUNCED: &str = "227 Entering Passive Mode (203,0,113,10,195,80).";

#[test]
fn a_passive_retrieval_opens_flows_and_closes() {
    let mut pair = Pair::logged_in();
    pair.client("PASV").server("227 Entering Passive Mode (10,0,0,5,160,2)").at_client(ANNOUNCED);
    pair.did("open passive to 10.0.0.5:40962; pinhole.opened");
    pair.connect(1).did("pinhole.connected");
    pair.client("RETR f").did("p-1 to-client").server("150 here").close(1, 0, 7).did("pinhole.closed");
    pair.server("226 done").at_client("150 here\n226 done");
}

#[test]
fn an_active_store_is_reserved_then_activated() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1").at_server("PORT 10,0,0,1,156,64").at_client("");
    pair.did("open active to 198.51.100.10:51201");
    pair.server("200 ok").at_client("200 ok").did("pinhole.opened; p-1 activate");
    pair.client("STOR f").at_server("STOR f").did("p-1 to-server");
    pair.server("150 go")
        .connect(1)
        .close(1, 9, 0)
        .server("226 done")
        .did("pinhole.connected; pinhole.closed");
}

#[test]
fn a_refused_port_opens_nothing() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1").forget();
    pair.server("502 no").at_client("502 no").did("pinhole.denied refused-by-server; p-1 close");
    pair.client("STOR f").at_server("").at_client("425 Use PASV, EPSV, PORT or EPRT first.");
}

#[test]
fn a_server_that_dials_before_it_replies_is_served_after_the_reply() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1").forget();
    pair.connect(1).did("").server("200 ok").did("pinhole.opened; p-1 activate; pinhole.connected");
}

#[test]
fn a_server_that_dials_early_and_hangs_up_opened_nothing() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1").forget();
    pair.connect(1).close(1, 0, 0).did("pinhole.denied").server("200 ok").did("");
    pair.client("LIST").at_client("200 ok\n425 Use PASV, EPSV, PORT or EPRT first.");
}

#[test]
fn a_transfer_without_set_up_is_answered_425() {
    let mut pair = Pair::logged_in();
    pair.client("RETR f").at_server("").at_client("425 Use PASV, EPSV, PORT or EPRT first.");
    pair.did("command.denied no-setup");
}

#[test]
fn one_set_up_serves_one_transfer() {
    for set_up in ["PASV", "PORT 198,51,100,10,200,1"] {
        let mut pair = Pair::logged_in();
        let reply = if set_up == "PASV" { "227 (10,0,0,5,160,2)" } else { "200 ok" };
        pair.client(set_up).server(reply).client("RETR a").server("150 x").connect(1).close(1, 0, 1).forget();
        pair.server("226 y").client("RETR b").at_server("").did("command.denied no-setup");
    }
}

#[test]
fn a_reused_port_is_opened_anew_where_it_is_tolerated() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.tolerate.reused_port = true));
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").client("RETR a").server("150 x").connect(1);
    pair.close(1, 0, 1).server("226 y").forget();
    pair.client("RETR b").at_server("RETR b");
    pair.did(
        "tolerated reused-port; open active to 198.51.100.10:51201; pinhole.opened; p-2 activate; p-2 to-client",
    );
}

#[test]
fn a_reused_port_needs_a_login_like_any_other() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.tolerate.reused_port = true));
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").client("RETR a").server("150 x").connect(1);
    pair.close(1, 0, 1).server("226 y").client("EPSV ALL").forget();
    pair.client("RETR b")
        .at_client("503 Only EPSV is accepted after EPSV ALL.")
        .did("command.denied epsv-all");
    pair.client("USER b").server("331 p").client("RETR b").did("command.denied login-required");
}

/// An active transfer whose server is done before the gateway has reached the client.
fn active_and_done() -> Pair {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").client("RETR a").server("150 x").forget();
    pair.client("NOOP").server("226-two\r\n226 lines\r\n200 noop");
    pair
}

#[test]
fn the_end_of_an_active_transfer_is_not_told_before_its_data_has_reached_the_client() {
    active_and_done().at_client("").connect(1).at_client("").data(1, DataEvent::Joined);
    let mut pair = active_and_done();
    pair.connect(1).data(1, DataEvent::Joined).at_client("226-two\n226 lines\n200 noop");
}

#[test]
fn the_end_of_an_active_transfer_is_told_when_the_client_cannot_be_reached() {
    let mut pair = active_and_done();
    pair.connect(1).close(1, 0, 0).at_client("226-two\n226 lines\n200 noop");
}

#[test]
fn the_end_of_an_active_transfer_is_told_though_the_server_never_connects() {
    let mut pair = active_and_done();
    pair.wait(Duration::from_millis(999)).at_client("");
    pair.wait(Duration::from_millis(1)).at_client("226-two\n226 lines\n200 noop");
}

#[test]
fn the_end_of_an_active_transfer_is_told_before_the_session_ends() {
    let mut pair = active_and_done();
    pair.server_closes().at_client("226-two\n226 lines\n421 The server closed the connection.");
}

#[test]
fn data_of_a_complete_transfer_arrives_though_an_abor_follows() {
    let mut pair = Pair::retrieving();
    pair.server("226 done")
        .client("ABOR")
        .server("225 nothing to abort")
        .at_client("226 done\n225 nothing to abort");
    pair.did("");
}

#[test]
fn a_client_that_is_gone_leaves_its_pinhole_open_for_seconds_only() {
    let mut pair = Pair::passive_ready();
    pair.client("RETR a").client_closes().forget();
    pair.wait_secs(30).did("pinhole.expired pinhole-timeout; p-1 close");
}

#[test]
fn a_set_up_that_cannot_be_opened_is_answered_425() {
    for (error, reason) in [
        (OpenError::Backend, "firewall-failed"),
        (OpenError::Audit, "audit-unavailable"),
        (
            OpenError::NoFreePort { dialler: legs(4, 4).client.ip(), listen: legs(4, 4).reached.ip() },
            "no-free-port",
        ),
    ] {
        let mut pair = Pair::logged_in();
        pair.fail.push_back(error);
        pair.client("PASV").server("227 (10,0,0,5,160,2)");
        pair.at_client("425 The gateway cannot open a data connection now.");
        pair.did(&format!("open passive to 10.0.0.5:40962; pinhole.denied {reason}")).at_server("PASV");
        pair.fail.push_back(error);
        pair.client("PORT 198,51,100,10,200,1")
            .at_client("425 The gateway cannot open a data connection now.");
        pair.at_server("").did(&format!("open active to 198.51.100.10:51201; pinhole.denied {reason}"));
        pair.client("NOOP").at_server("NOOP");
    }
}

#[test]
fn stat_and_noop_are_answered_during_a_transfer() {
    let mut pair = Pair::retrieving();
    pair.client("STAT").server("211 busy").client("NOOP").server("200 ok").server("226 done");
    pair.at_client("211 busy\n200 ok\n226 done").did("");
    assert!(pair.urgent.is_empty(), "ProFTPD would take it for an ABOR");
}

#[test]
fn a_refusal_during_a_transfer_does_not_cut_it() {
    let mut pair = Pair::retrieving();
    pair.client("SIZE nothing").server("550 no").at_client("550 no").wait_secs(3600).did("");
    pair.close(1, 0, 9).server("226 done").at_client("226 done");
    pair.client("NOOP").server("200 ok").at_client("200 ok");
}

#[test]
fn a_refused_transfer_takes_its_pinhole_back() {
    let mut pair = Pair::passive_ready();
    pair.client("RETR f").forget();
    pair.server("550 no").did("pinhole.revoked refused-by-server; p-1 close");
}

#[test]
fn a_data_connection_outlives_the_final_reply() {
    let mut pair = Pair::retrieving();
    pair.server("226 done").wait_secs(3600).did("");
    pair.client("PASV").server("227 (10,0,0,5,160,3)").client("QUIT").server("221 bye");
    pair.forget().close(1, 0, 99).did("pinhole.closed; session.closed quit; over");
}

#[test]
fn quit_during_a_transfer_waits_for_its_reply_from_a_server_that_answers_in_order() {
    let mut pair = Pair::retrieving();
    pair.client("QUIT")
        .server("226 done")
        .did("")
        .server("221 bye")
        .at_client("226 done\n221 bye")
        .did("hang-up");
    pair.close(1, 0, 5).did("pinhole.closed; session.closed quit; over");
}

#[test]
fn quit_during_a_transfer_waits_for_its_reply_from_a_server_that_says_goodbye_first() {
    let mut pair = Pair::retrieving();
    pair.client("QUIT").server("221 bye").at_client("221 bye").did("");
    pair.close(1, 0, 5).server("226 done").at_client("226 done");
    pair.did("pinhole.closed; hang-up; session.closed quit; over");
}

#[test]
fn a_server_that_says_goodbye_twice_is_left() {
    let mut pair = Pair::retrieving();
    pair.client("QUIT").server("221 bye").did("").server("221 bye bye").did("hang-up");
    pair.close(1, 0, 5).did("pinhole.closed; session.closed quit; over");
}

#[test]
fn a_server_that_closes_behind_its_goodbye_ended_in_order() {
    let mut pair = Pair::retrieving();
    pair.client("QUIT").server("221 bye").server_closes().did("hang-up");
    pair.close(1, 0, 5).did("pinhole.closed; session.closed quit; over");
}

#[test]
fn a_session_that_ends_leaves_a_waiting_transfer_its_time() {
    let mut pair = Pair::passive_ready();
    pair.client("RETR f").client_closes().server("226 done").forget();
    assert!(!pair.is_over());
    pair.wait_secs(30).did("pinhole.expired pinhole-timeout; p-1 close; session.closed client-closed; over");
}

#[test]
fn rein_during_a_transfer_takes_effect_behind_it() {
    let mut pair = Pair::retrieving();
    pair.client("REIN")
        .wait_secs(600)
        .close(1, 0, 5)
        .server("226 done\r\n220 ready")
        .at_client("226 done\n220 ready");
    pair.wait_secs(59).forget().client("USER b").at_server("USER b").did("");
}

#[test]
fn a_transfer_that_begins_tells_that_the_one_before_was_given_up() {
    let mut pair = Pair::retrieving();
    pair.client("PASV").server("227 (10,0,0,5,160,3)").client("RETR g").forget();
    pair.server("150 g").at_client("150 g").did("").server("226 g").at_client("226 g");
    pair.client("NOOP").server("200 ok").at_client("200 ok");
}

#[test]
fn restart_markers_pass_in_any_number_and_a_second_150_does_not() {
    let mut pair = Pair::retrieving();
    pair.server("110 MARK 1 = 1\r\n110 MARK 2 = 2").at_client("110 MARK 1 = 1\n110 MARK 2 = 2");
    pair.server("150 again").at_client("421 The server broke the protocol.");
    pair.did("violation unsolicited-reply; hang-up");
}

#[test]
fn a_second_connection_is_recorded_and_changes_nothing() {
    let mut pair = Pair::retrieving();
    pair.data(1, DataEvent::SecondConnection { from: legs(4, 4).client }).did("violation second-connection");
    pair.connect(1).did("").close(1, 0, 1).did("pinhole.closed");
}

#[test]
fn a_dial_that_fails_ends_the_pinhole_with_its_reason() {
    let mut pair = Pair::passive_ready();
    pair.close_for(1, 0, 0, Some(Reason::DialFailed)).did("pinhole.revoked dial-failed");
    pair.client("RETR f").at_server("").did("command.denied no-setup");
}

#[test]
fn a_refused_transfer_whose_connection_stays_open_is_cut() {
    let mut pair = Pair::passive_ready();
    pair.connect(1).client("RETR f").server("550 no").forget();
    pair.wait(Duration::from_secs(30)).did("p-1 close").close(1, 0, 0).did("pinhole.closed pinhole-timeout");
}
