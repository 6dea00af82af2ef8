//! Clients that do not wait: every command gets its own reply, in turn, whoever gives it.

use crate::pair::{Pair, policy};

#[test]
fn commands_behind_pasv_wait_for_its_reply() {
    let mut pair = Pair::logged_in();
    pair.client("PASV\r\nNOOP").at_server("PASV");
    pair.server("227 (10,0,0,5,160,2)").at_server("NOOP");
    pair.server("200 ok").at_client("227 Entering Passive Mode (203,0,113,10,195,80).\n200 ok");
}

#[test]
fn a_whole_transfer_in_one_segment_goes_in_steps() {
    let mut pair = Pair::logged_in();
    pair.client("PASV\r\nRETR f\r\nQUIT").at_server("PASV");
    pair.server("227 (10,0,0,5,160,2)").at_server("RETR f\nQUIT");
    pair.connect(1).server("150 here\r\n226 done\r\n221 bye");
    pair.at_client("227 Entering Passive Mode (203,0,113,10,195,80).\n150 here\n226 done\n221 bye");
}

#[test]
fn two_port_commands_leave_only_the_second_pinhole() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1\r\nPORT 198,51,100,10,200,2").at_server("PORT 10,0,0,1,156,64");
    pair.forget().server("200 ok").at_server("PORT 10,0,0,1,156,65");
    pair.did(
        "pinhole.opened; p-1 activate; pinhole.revoked new-setup; p-1 close; open active to 198.51.100.10:51202",
    );
    pair.server("200 ok").at_client("200 ok\n200 ok");
}

#[test]
fn a_whole_login_in_one_segment_is_judged_step_by_step() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.client("USER a\r\nPASS b\r\nPASV").at_server("USER a");
    pair.server("331 p").at_server("PASS b");
    pair.server("230 in").at_server("PASV");
}

#[test]
fn a_full_queue_stops_the_reading_and_is_no_error() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.limits.pending_commands = 3));
    pair.client(&["NOOP"; 8].join("\r\n")).at_server("NOOP\nNOOP\nNOOP");
    assert!(!pair.session.wants_client());
    pair.server("200 1").at_server("NOOP");
    for i in 2..=8 {
        pair.server(&format!("200 {i}"));
    }
    pair.at_client("200 1\n200 2\n200 3\n200 4\n200 5\n200 6\n200 7\n200 8").did("");
    assert!(pair.session.wants_client());
}

#[test]
fn the_gateways_own_reply_waits_for_the_servers() {
    let mut pair = Pair::logged_in();
    pair.client("NOOP\r\nXYZZY\r\nSYST").at_server("NOOP\nSYST").at_client("");
    pair.server("200 ok\r\n215 UNIX").at_client("200 ok\n500 XYZZY is not understood.\n215 UNIX");
}

#[test]
fn the_gateways_own_reply_comes_behind_the_reply_to_pasv_though_the_backend_is_slow() {
    let mut pair = Pair::logged_in();
    pair.answer_later = true;
    pair.client_raw(b"PASV\r\nNO\0OP\r\n").server("227 (10,0,0,5,160,2)").at_client("");
    pair.answer_open();
    pair.at_client("227 Entering Passive Mode (203,0,113,10,195,80).\n500 The line is not acceptable.");
}

#[test]
fn the_gateways_own_reply_keeps_its_place_when_a_server_answers_during_a_transfer() {
    let mut pair = Pair::retrieving();
    pair.client("XYZZY\r\nNOOP").at_client("");
    pair.server("200 ok").at_client("500 XYZZY is not understood.\n200 ok");
    pair.server("226 done").at_client("226 done");
}

#[test]
fn the_gateways_own_reply_comes_behind_the_transfer_when_a_server_answers_in_order() {
    let mut pair = Pair::retrieving();
    pair.client("XYZZY\r\nNOOP").server("226 done\r\n200 ok");
    pair.at_client("226 done\n500 XYZZY is not understood.\n200 ok");
}

#[test]
fn a_violation_behind_an_unanswered_command_is_answered_in_turn() {
    let mut pair = Pair::logged_in();
    pair.client_raw(b"NOOP\r\nNO\nOP\r\n").at_client("").did("violation bare-lf");
    pair.server("200 ok").at_client("200 ok\n500 A line ends with CR LF; this one ended with LF.");
}

#[test]
fn many_denied_commands_in_one_read_are_all_answered() {
    let mut pair = Pair::logged_in();
    pair.client(&["XYZZY"; 1000].join("\r\n"));
    assert_eq!(pair.events.len(), 1000);
    pair.at_client(&["500 XYZZY is not understood."; 1000].join("\n"));
}

#[test]
fn the_engine_hands_out_no_more_than_it_was_asked_for() {
    let mut pair = Pair::logged_in();
    // Not through the pair: nobody takes the outputs.
    pair.session.handle_client(pair.now, "XYZZY\r\n".repeat(1000).as_bytes());
    assert!(!pair.session.wants_client(), "the rest waits until the outputs are taken");
    pair.server_raw(b"").at_client(&["500 XYZZY is not understood."; 1000].join("\n"));
    assert!(pair.session.wants_client());
}
