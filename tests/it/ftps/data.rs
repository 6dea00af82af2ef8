//! Data connections under the gateway's TLS: which legs, and what the client hears of their end (D35, D37).

use ftp_pinhole::pinhole::DataEvent;
use ftp_pinhole::policy::Tolerances;
use ftp_pinhole::reason::Reason;

use super::{PASSIVE, private, private_both, protected, terminating};
use crate::pair::{Pair, policy};

const DELIVERED: DataEvent = DataEvent::Delivered { notified: true };

/// What the client hears in place of the server's final reply.
const FAILURES: [(Reason, &str); 5] = [
    (Reason::DataTls, "522 The TLS handshake of the data connection failed."),
    (
        Reason::DataNotResumed,
        "522 The data connection has to resume the TLS session of the control connection.",
    ),
    (
        Reason::DataCertificate,
        "522 The data connection has to show the certificate of the control connection.",
    ),
    (Reason::UpstreamDataTls, "425 The server's data connection cannot be protected."),
    (Reason::DataTruncated, "426 The data connection ended without a TLS close; bytes may be missing."),
];

/// A protected RETR that runs on pinhole 1.
fn retrieving() -> Pair {
    let mut pair = private();
    pair.passive().client("RETR f").server("150 here").forget();
    pair
}

#[test]
fn t07_the_gateway_is_the_tls_server_of_the_client_whoever_dials() {
    let mut pair = private();
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").forget();
    pair.client("STOR f").did("p-1 protect client; p-1 to-server");
    let mut pair = private();
    pair.client("EPSV").server(PASSIVE).forget();
    pair.client("LIST").did("p-1 protect client; p-1 to-client");
}

#[test]
fn t07_legs_are_named_before_bytes_may_flow_and_before_the_server_hears_of_it() {
    for (command, flow) in [("RETR f", "to-client"), ("MLSD", "to-client"), ("STOU", "to-server")] {
        let mut pair = private_both();
        pair.client("PASV").server(PASSIVE).did("open passive to 10.0.0.5:40962 under TLS; pinhole.opened");
        pair.client(command).did(&format!("p-1 protect both; p-1 {flow}"));
    }
}

#[test]
fn t07_direction_is_enforced_under_tls_in_any_case() {
    let mut pair = protected(policy(|policy| {
        policy.tls = terminating(|_| {}).tls;
        policy.enforce_direction = false;
    }))
    .private_login();
    pair.passive().client("RETR f").did("p-1 protect client; p-1 to-client");
}

#[test]
fn t08_server_to_server_is_refused() {
    let mut pair = private();
    for (command, reply) in [
        ("PORT 192,0,2,66,200,1", "501 The address is not yours."),
        ("EPRT |1|192.0.2.66|51201|", "501 The address is not yours."),
        ("CPSV", "500 CPSV is not understood."),
        ("SSCN ON", "500 SSCN is not understood."),
    ] {
        pair.client(command).at_client(reply).at_server("");
    }
    assert_eq!(pair.opens(), 0);
}

#[test]
fn t10_data_is_clear_until_prot_p_and_t11_refused_at_the_transfer() {
    let mut pair = protected(terminating(|_| {}));
    pair.login().passive();
    for command in ["RETR f", "STOR f", "STOU", "APPE f", "LIST", "NLST", "MLSD"] {
        pair.client(command).at_client("521 Data has to be protected; use PROT P.").at_server("");
    }
    // The level may change behind the set-up.
    pair.client("PBSZ 0").client("PROT P").at_client("200 PBSZ=0\n200 Data will be private.");
    pair.client("RETR f").at_server("RETR f");
}

#[test]
fn t10_the_level_lasts_until_it_is_changed() {
    let mut pair = private();
    for id in 1..=2 {
        pair.passive().client("RETR f").did(&format!("p-{id} protect client; p-{id} to-client"));
        pair.server("150 here").close(id, 0, 7).server("226 done").forget();
    }
    pair.client("USER bob").server("331 ?").client("PASS x").server("230 in").passive();
    pair.client("RETR f").did("p-3 protect client; p-3 to-client");
}

#[test]
fn t12_t13_a_failure_replaces_the_servers_reply_that_comes_behind_it() {
    for (reason, text) in FAILURES {
        for reply in ["226 done", "250 done", "426 cut", "425 no", "451 no"] {
            let mut pair = retrieving();
            pair.close_for(1, 0, 7, Some(reason)).at_client("").server(reply).at_client(text);
            pair.client("NOOP").server("200 ok").at_client("200 ok");
        }
    }
}

#[test]
fn t12_t13_a_failure_replaces_the_servers_reply_that_came_before_it() {
    for (reason, text) in FAILURES {
        let mut pair = retrieving();
        pair.server("226 done").at_client("").close_for(1, 0, 7, Some(reason)).at_client(text);
        pair.client("NOOP").server("200 ok").at_client("200 ok");
    }
}

#[test]
fn t12_a_failure_before_the_servers_150_is_told_behind_it() {
    let mut pair = private();
    pair.passive().client("RETR f").forget();
    pair.close_for(1, 0, 0, Some(Reason::DataTls)).at_client("").server("150 here").at_client("150 here");
    pair.server("426 gone").at_client("522 The TLS handshake of the data connection failed.");
}

#[test]
fn the_servers_word_stands_where_nothing_is_wrong_with_tls() {
    for (reason, reply) in [(None, "226 done"), (Some(Reason::DataReset), "426 cut"), (None, "451 disk")] {
        let mut pair = retrieving();
        pair.close_for(1, 0, 7, reason).server(reply).at_client(reply);
    }
    // A refusal does not wait for the end of the data connection.
    retrieving().server("451 disk").at_client("451 disk");
}

#[test]
fn d37_the_final_reply_waits_until_the_bytes_have_gone_out() {
    let mut pair = retrieving();
    pair.server("226 done").at_client("").wait_secs(9).at_client("").data(1, DELIVERED);
    pair.at_client("226 done");
    let mut pair = retrieving();
    pair.data(1, DELIVERED).server("226 done").at_client("226 done");
    let mut pair = retrieving();
    pair.server("226 done").at_client("").close(1, 0, 7).at_client("226 done");
}

#[test]
fn d37_the_final_reply_waits_for_ten_seconds_at_most() {
    let mut pair = retrieving();
    pair.server("226 done").wait_secs(9).at_client("").wait_secs(1).at_client("226 done");
    // The client has had its reply.
    pair.close_for(1, 0, 7, Some(Reason::DataTruncated)).at_client("");
    pair.did("pinhole.closed data-truncated").client("NOOP").server("200 ok").at_client("200 ok");
}

#[test]
fn d37_a_final_reply_without_any_connection_waits_for_a_second() {
    let mut pair = private();
    pair.client("PASV").server(PASSIVE).client("RETR f").server("150 here").forget();
    pair.server("226 done").at_client("").wait_secs(1).at_client("226 done");
}

#[test]
fn d37_an_active_transfer_waits_for_its_bytes_not_for_its_connection() {
    let mut pair = private();
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").client("RETR f").connect(1).forget();
    pair.data(1, DataEvent::Joined).server("150 here").server("226 done").at_client("150 here");
    pair.data(1, DELIVERED).at_client("226 done");
}

#[test]
fn d37_bytes_of_a_server_that_dialled_early_are_waited_for_too() {
    let mut pair = private();
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").connect(1).data(1, DataEvent::Joined);
    pair.client("RETR f").server("150 here").forget();
    pair.server("226 done").at_client("").data(1, DELIVERED).at_client("226 done");
}

#[test]
fn d37_what_comes_behind_a_reply_that_waits_waits_too() {
    let mut pair = retrieving();
    pair.client("NOOP").server("226 done").server("200 ok").at_client("");
    assert!(!pair.session.wants_client() && !pair.session.wants_server());
    pair.data(1, DELIVERED).at_client("226 done\n200 ok");
}

#[test]
fn d37_a_missing_close_notify_that_is_tolerated_is_counted() {
    let mut pair = protected(policy(|policy| {
        policy.tls = terminating(|_| {}).tls;
        policy.tolerate = Tolerances { missing_close_notify: true, ..Tolerances::default() };
    }))
    .private_login();
    pair.passive().client("RETR f").server("150 here").forget();
    pair.data(1, DataEvent::Delivered { notified: false }).did("tolerated missing-close-notify");
    pair.server("226 done").at_client("226 done");
    retrieving().data(1, DELIVERED).did("");
}

#[test]
fn abor_of_a_failed_transfer_gets_the_failure_and_its_own_reply() {
    let mut pair = retrieving();
    pair.close_for(1, 0, 7, Some(Reason::DataTls)).client("ABOR").server("426 cut").server("226 aborted");
    pair.at_client("522 The TLS handshake of the data connection failed.\n226 aborted");
}

#[test]
fn abor_while_the_reply_waits_is_read_behind_it() {
    let mut pair = retrieving();
    pair.server("226 done").client("ABOR").at_server("").at_client("");
    pair.data(1, DELIVERED)
        .at_client("226 done")
        .at_server("ABOR")
        .server("225 nothing")
        .at_client("225 nothing");
    let mut pair = retrieving();
    pair.server("226 done").client("ABOR").wait_secs(10).at_client("226 done").at_server("ABOR");
}

#[test]
fn a_failure_that_abor_took_the_reply_of_is_not_told_to_the_next_transfer() {
    let mut pair = retrieving();
    pair.close_for(1, 0, 7, Some(Reason::DataTls)).client("ABOR").server("225 aborted");
    pair.at_client("225 aborted").passive().client("RETR g").server("150 here").forget();
    pair.close(2, 0, 7).server("226 done").at_client("226 done");
}

#[test]
fn pipelined_transfers_each_hear_of_their_own_end() {
    let mut pair = retrieving();
    pair.close_for(1, 0, 7, Some(Reason::DataNotResumed)).client("PASV").server("426 cut").server(PASSIVE);
    pair.connect(2).client("RETR g").server("150 here").forget();
    pair.data(2, DELIVERED).server("226 done").at_client("226 done");
}

#[test]
fn t15_the_pinhole_stands_when_227_is_told() {
    let mut pair = private();
    pair.answer_later = true;
    pair.client("PASV").server(PASSIVE).at_client("").answer_open();
    pair.at_client("227 Entering Passive Mode (203,0,113,10,195,80).");
}

#[test]
fn a_port_that_serves_again_is_protected_again() {
    let mut pair = protected(policy(|policy| {
        policy.tls = terminating(|_| {}).tls;
        policy.tolerate = Tolerances { reused_port: true, ..Tolerances::default() };
    }))
    .private_login();
    pair.client("PORT 198,51,100,10,200,1").server("200 ok").client("RETR f").server("150 x").connect(1);
    pair.close(1, 0, 7).server("226 y").forget().client("RETR g").did(
        "tolerated reused-port; open active to 198.51.100.10:51201 under TLS; pinhole.opened; p-2 activate; \
         p-2 protect client; p-2 to-client",
    );
}

#[test]
fn d37_a_protected_transfer_that_broke_is_never_reported_complete() {
    for reason in [Reason::DataReset, Reason::DataIdle, Reason::WrongDirection] {
        let mut pair = private();
        pair.client("PASV").server("227 (10,0,0,5,160,2)").connect(1).client("STOR f").server("150 go");
        pair.forget();
        pair.close_for(1, 7, 0, Some(reason)).server("226 done");
        pair.at_client("426 The protected data connection broke; bytes may be missing.");
    }
    // A server that knows has its own words, and a break behind the last byte is none.
    let mut pair = private();
    pair.client("PASV").server("227 (10,0,0,5,160,2)").connect(1).client("STOR f").server("150 go");
    pair.forget();
    pair.close_for(1, 7, 0, Some(Reason::DataReset)).server("451 sorry").at_client("451 sorry");
    let mut pair = private();
    pair.client("PASV").server("227 (10,0,0,5,160,2)").connect(1).client("RETR f").server("150 go");
    pair.data(1, DataEvent::Delivered { notified: true }).forget();
    pair.close_for(1, 0, 7, Some(Reason::DataReset)).server("226 done").at_client("226 done");
}

#[test]
fn a_failure_is_told_though_the_server_hangs_up() {
    let mut pair = private();
    pair.client("PASV").server("227 (10,0,0,5,160,2)").connect(1).client("STOR f").server("150 go");
    pair.forget();
    pair.close_for(1, 0, 0, Some(Reason::DataNotResumed)).server_closes().at_client(
        "522 The data connection has to resume the TLS session of the control connection.\n\
         421 The server closed the connection.",
    );
}
