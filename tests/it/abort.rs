//! ABOR: servers answer it with one reply, with two or with none; the queue never shifts.

use crate::pair::Pair;

/// After the abort is over: the next commands get their own replies and nothing else.
#[track_caller]
fn in_step(pair: &mut Pair) {
    pair.forget().client("NOOP").server("200 ok").at_client("200 ok");
    let opens = pair.opens();
    pair.client("PASV").server("227 (10,0,0,5,160,9)");
    assert_eq!(pair.opens(), opens + 1);
    pair.client("SYST").forget().server("215 UNIX").at_client("215 UNIX").did("");
}

#[test]
fn every_way_to_answer_abor_during_a_transfer_keeps_the_queue_in_step() {
    for replies in [
        &["426 cut", "226 ok"][..],
        &["426 cut", "225 ok"],
        &["226 done", "226 ok"],
        &["226 done", "225 ok"],
        &["226 done", "502 no"],
        &["226 done", "500 no"],
        &["226 done"],
        &["426 cut"],
        &["225 ok"],
        &["225 ok", "426 cut"],
        &["451 cut", "226 ok"],
    ] {
        let mut pair = Pair::retrieving();
        pair.client("ABOR").at_server("ABOR");
        assert_eq!(pair.urgent, ["ABOR"]);
        for reply in replies {
            pair.server(reply);
        }
        pair.at_client(&replies.join("\n")).did("p-1 close").close(1, 0, 3).did("pinhole.closed aborted");
        in_step(&mut pair);
    }
}

#[test]
fn a_transfer_goes_on_where_the_server_does_not_know_abor() {
    let mut pair = Pair::retrieving();
    pair.client("ABOR").server("502 no").did("").server("226 done").at_client("502 no\n226 done").did("");
    pair.close(1, 0, 3).did("pinhole.closed");
    in_step(&mut pair);
}

#[test]
fn every_way_to_answer_abor_without_a_transfer_keeps_the_queue_in_step() {
    for reply in ["225 none", "226 none", "200 ok", "500 no", "502 no", "503 no", "530 no", "202 no"] {
        let mut pair = Pair::logged_in();
        pair.client("ABOR").server(reply).at_client(reply);
        in_step(&mut pair);
    }
}

#[test]
fn a_refused_abor_before_login_does_not_shift_what_is_behind_it() {
    let mut pair = Pair::greeted(crate::pair::policy(|_| {}));
    pair.forget().client("ABOR\r\nSYST\r\nNOOP").server("530 no\r\n215 UNIX\r\n200 ok");
    pair.at_client("530 no\n215 UNIX\n200 ok").did("");
}

#[test]
fn abor_takes_back_what_no_transfer_used() {
    let mut pair = Pair::passive_ready();
    pair.client("ABOR").at_server("ABOR").did("pinhole.revoked aborted; p-1 close");
    pair.server("225 ok").client("RETR f").did("command.denied no-setup");
}

#[test]
fn abor_behind_pasv_takes_back_what_the_pasv_sets_up() {
    let mut pair = Pair::logged_in();
    pair.client("PASV\r\nABOR").at_server("PASV\nABOR").server("227 (10,0,0,5,160,2)");
    pair.did("open passive to 10.0.0.5:40962; pinhole.opened");
    pair.server("225 ok").did("pinhole.revoked aborted; p-1 close");
}

#[test]
fn abor_behind_port_denies_what_the_port_reserved() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1\r\nABOR").forget();
    pair.server("200 ok").did("").server("225 ok").at_client("200 ok\n225 ok");
    assert_eq!(pair.open_pinholes(), 0);
}

#[test]
fn a_port_behind_abor_is_kept() {
    let mut pair = Pair::retrieving();
    pair.client("ABOR\r\nPORT 198,51,100,10,200,1").forget();
    pair.server("426 cut\r\n226 ok").did("p-1 close").server("200 ok").did("pinhole.opened; p-2 activate");
}

#[test]
fn a_transfer_behind_abor_is_not_cut() {
    let mut pair = Pair::logged_in_with(crate::pair::policy(|policy| policy.tolerate.reused_port = true));
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").client("RETR a").server("150 a").connect(1);
    pair.client("ABOR\r\nRETR b").forget();
    pair.server("426 cut").did("p-1 close").server("226 ok").did("").server("150 b\r\n226 b").did("");
}

#[test]
fn an_answer_of_the_gateways_own_behind_abor_finds_its_place_by_a_noop() {
    for replies in [&["426 cut", "226 ok"][..], &["426 cut"], &["225 ok"]] {
        let mut pair = Pair::retrieving();
        pair.client("ABOR\r\nXYZZY").at_server("ABOR\nNOOP");
        for reply in replies {
            pair.server(reply);
        }
        pair.at_client(&replies.join("\n")).server("200 ok").at_client("500 XYZZY is not understood.");
        in_step(&mut pair);
    }
}

#[test]
fn a_client_that_leaves_behind_a_half_answered_abor_is_let_go() {
    let mut pair = Pair::retrieving();
    pair.client("ABOR").server("426 cut").close(1, 0, 3).forget();
    pair.client_closes().did("hang-up; session.closed client-closed; over");
}

#[test]
fn abor_passes_a_set_up_that_waits_behind_a_transfer() {
    let mut pair = Pair::retrieving();
    pair.client("PASV\r\nABOR").at_server("PASV\nABOR");
    pair.server("426 cut").server("227 (10,0,0,5,160,2)").server("226 ok").forget();
    in_step(&mut pair);
}

#[test]
fn the_reply_to_pasv_is_not_taken_for_that_to_an_abor_before_it() {
    let mut pair = Pair::retrieving();
    pair.client("ABOR\r\nPASV").server("227 (10,0,0,5,160,2)");
    pair.did("open passive to 10.0.0.5:40962; pinhole.opened");
}
