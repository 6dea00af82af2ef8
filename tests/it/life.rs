//! How sessions and pinholes end: by either peer, by time, by the operator, by too many errors.

use std::time::Duration;

use crate::pair::{Pair, policy};

const IDLE: u64 = 15 * 60;

#[test]
fn a_client_that_closes_is_still_answered() {
    let mut pair = Pair::logged_in();
    pair.client("PWD").client_closes().did("").server("257 \"/\"").at_client("257 \"/\"");
    pair.did("hang-up; session.closed client-closed; over");
}

#[test]
fn what_a_server_says_to_a_client_that_has_left_and_has_all_its_replies_is_not_read() {
    let mut pair = Pair::logged_in();
    pair.client("PWD").client_closes().server("257 \"/\"\r\n200 more").at_client("257 \"/\"");
    pair.did("hang-up; session.closed client-closed; over");
}

#[test]
fn what_a_client_pipelined_before_it_closed_is_done() {
    let mut pair = Pair::logged_in();
    pair.client("PASV\r\nRETR f\r\nNOOP").client_closes().at_server("PASV");
    pair.server("227 (10,0,0,5,160,2)").at_server("RETR f\nNOOP").connect(1);
    pair.server("150 x").close(1, 0, 3).server("226 y").forget();
    pair.server("200 ok").at_client("200 ok").did("hang-up; session.closed client-closed; over");
}

#[test]
fn a_server_that_closes_ends_the_session() {
    let mut pair = Pair::passive_ready();
    pair.client("PWD").server_closes().at_client("421 The server closed the connection.");
    pair.did("hang-up; pinhole.revoked session-ended; p-1 close; session.closed server-closed; over");
}

#[test]
fn a_421_is_passed_on_and_ends_the_session() {
    let mut pair = Pair::retrieving();
    pair.server("421 shutting down").at_client("421 shutting down").did("hang-up");
    pair.close(1, 0, 5).did("pinhole.closed; session.closed server-closed; over");
}

#[test]
fn a_session_without_commands_ends() {
    let mut pair = Pair::logged_in();
    pair.wait_secs(IDLE - 1).client("NOOP").server("200 ok").wait_secs(IDLE - 1).forget();
    pair.wait_secs(1).at_client("421 No command for too long.");
    pair.did("hang-up; session.closed idle-timeout; over");
}

#[test]
fn a_command_that_the_server_never_answers_does_not_suspend_the_idle_time_out() {
    let mut pair = Pair::logged_in();
    pair.client("PASV").wait_secs(IDLE).did("hang-up; session.closed idle-timeout; over");
}

#[test]
fn a_pending_pinhole_expires() {
    let mut pair = Pair::passive_ready();
    pair.wait_secs(29).did("").wait_secs(1).did("pinhole.expired pinhole-timeout; p-1 close");
    pair.client("RETR f").did("command.denied no-setup");
}

#[test]
fn a_data_connection_without_a_transfer_command_is_cut() {
    let mut pair = Pair::passive_ready();
    pair.wait_secs(20).connect(1).forget().wait_secs(29).did("").wait_secs(1).did("p-1 close");
    pair.close(1, 0, 0).did("pinhole.closed pinhole-timeout");
}

#[test]
fn an_unanswered_transfer_keeps_its_pinhole_for_hours_but_not_for_ever() {
    let mut pair = Pair::passive_ready();
    pair.client("RETR tape").forget().wait_secs(8 * IDLE - 1).did("");
    pair.wait_secs(1).at_client("421 No command for too long.");
    pair.did("pinhole.expired pinhole-timeout; p-1 close; hang-up; session.closed idle-timeout; over");
}

#[test]
fn commands_do_not_keep_the_pinhole_of_an_unanswered_transfer_alive() {
    let mut pair = Pair::passive_ready();
    pair.client("RETR tape").forget();
    for _ in 0..8 {
        pair.wait_secs(IDLE).client("NOOP").server("200 ok");
    }
    pair.did("pinhole.expired pinhole-timeout; p-1 close");
}

#[test]
fn a_transfer_that_began_waits_for_its_connection_only_so_long() {
    let mut pair = Pair::passive_ready();
    pair.client("RETR f").wait_secs(600).server("150 now").forget();
    pair.wait_secs(29).did("").wait_secs(1).did("pinhole.expired pinhole-timeout; p-1 close");
}

#[test]
fn an_unanswered_transfer_that_outlives_its_session_expires_soon() {
    let mut pair = Pair::passive_ready();
    pair.client("RETR tape").server_closes().forget();
    pair.wait_secs(29).did("").wait_secs(1);
    pair.did("pinhole.expired pinhole-timeout; p-1 close; session.closed server-closed; over");
}

#[test]
fn waiting_begins_anew_behind_a_transfer() {
    let mut pair = Pair::retrieving();
    pair.wait_secs(10 * IDLE).close(1, 0, 5).server("226 done").forget();
    pair.wait_secs(IDLE - 1).did("").wait_secs(1).did("hang-up; session.closed idle-timeout; over");
}

#[test]
fn a_user_command_behind_a_transfer_does_not_end_in_a_login_time_out_at_once() {
    let mut pair = Pair::retrieving();
    pair.client("USER b").wait_secs(600).close(1, 0, 5).server("226 done\r\n331 p").forget();
    pair.wait_secs(59).did("").wait_secs(1).did("hang-up; session.closed login-timeout; over");
}

#[test]
fn a_drained_session_ends_once_no_transfer_runs() {
    let mut pair = Pair::logged_in();
    pair.drain().at_client("421 The gateway is closing down.").did("hang-up; session.closed draining; over");

    let mut pair = Pair::retrieving();
    pair.drain()
        .did("")
        .server("226 done")
        .did("")
        .close(1, 0, 5)
        .at_client("226 done\n421 The gateway is closing down.");
    pair.did("pinhole.closed; hang-up; session.closed draining; over");
}

#[test]
fn a_stopped_session_ends_with_its_transfers() {
    let mut pair = Pair::retrieving();
    pair.stop().at_client("421 The gateway is closing down.").did("hang-up; p-1 close");
    pair.close(1, 0, 5).did("pinhole.closed draining; session.closed draining; over");

    let mut pair = Pair::passive_ready();
    pair.client("RETR f").forget();
    pair.stop().did("hang-up; pinhole.revoked draining; p-1 close; session.closed draining; over");
}

#[test]
fn stopping_cuts_what_outlived_its_session() {
    let mut pair = Pair::retrieving();
    pair.server("226 done").client("QUIT").server("221 bye").forget();
    pair.stop().did("p-1 close").close(1, 0, 5).did("pinhole.closed draining; session.closed quit; over");
}

#[test]
fn violations_end_the_session_over_the_limit() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.limits.violations = 2));
    pair.client_raw(b"N\0\r\nPORT 1\r\n").did("violation nul-byte; pinhole.denied bad-host-port").forget();
    pair.client("?").at_client("500 The line is not an FTP command.\n421 Too many errors.");
    pair.did("violation bad-command; hang-up; session.closed too-many-violations; over");
}

#[test]
fn an_opening_that_is_answered_behind_the_end_is_closed_again() {
    let mut pair = Pair::logged_in();
    pair.answer_later = true;
    pair.client("PASV").server("227 (10,0,0,5,160,2)").server_closes().forget();
    assert!(!pair.is_over());
    pair.answer_open().did("p-1 close; session.closed server-closed; over").at_client("");
}

#[test]
fn an_opening_that_fails_behind_the_end_says_nothing() {
    let mut pair = Pair::logged_in();
    pair.answer_later = true;
    pair.fail.push_back(ftp_pinhole::pinhole::OpenError::Backend);
    pair.client("PASV").server("227 (10,0,0,5,160,2)").server_closes().forget();
    pair.answer_open().did("session.closed server-closed; over").at_client("");
}

#[test]
fn nothing_that_comes_behind_the_end_counts() {
    let mut pair = Pair::logged_in();
    pair.client("QUIT").server("221 bye").forget();
    pair.client("NOOP").server("200 ok").client_closes().server_closes().connect(1).drain().stop();
    pair.wait(Duration::from_secs(100_000)).quiet();
}

#[test]
fn tolerances_are_counted_each_time_they_are_used() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.tolerate.bare_lf = true));
    pair.client_raw(b"NOOP\nNOOP\r\n")
        .did("tolerated bare-lf")
        .server_raw(b"200 ok\n")
        .did("tolerated bare-lf");
    let mut pair = Pair::logged_in_with(policy(|policy| policy.tolerate.unpadded_multiline = true));
    pair.client("CWD /\r\nNOOP").server_raw(b"250-read me\r\n200 ok\r\n").did("tolerated unpadded-multiline");
    pair.at_client("250-read me\n250 \n200 ok");
}
