//! A client has to log in before anything opens. The server decides who is in, the gateway believes
//! only the reply to the command that asked.

use ftp_pinhole::policy::Preset;

use crate::pair::{Pair, policy};

#[test]
fn nothing_of_the_client_counts_before_the_greeting() {
    let mut pair = Pair::default();
    pair.client("USER alice").at_server("");
    pair.server("120 wait").at_client("120 wait").at_server("");
    pair.server("220 hi").at_client("220 hi").at_server("USER alice");
}

#[test]
fn a_greeting_that_refuses_is_passed_on_and_ends_the_session() {
    let mut pair = Pair::default();
    pair.forget();
    pair.server("530 full").at_client("530 full").did("hang-up; session.closed server-closed; over");
}

#[test]
fn a_banner_that_is_not_ftp_is_not_passed_on() {
    for banner in ["HTTP/1.1 400 Bad Request", "230 in", "SSH-2.0-OpenSSH_9"] {
        let mut pair = Pair::default();
        pair.forget();
        pair.server(banner).at_client("421 The server does not speak FTP.");
        pair.did("violation not-ftp; hang-up; session.closed not-ftp; over");
    }
}

#[test]
fn user_and_pass_log_in() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.forget();
    pair.client("user alice").at_server("USER alice").server("331 password").at_client("331 password");
    pair.did("").client("PASS secret").at_server("PASS secret").server("230 in").did("session.login");
    assert_eq!(pair.events[0].user.as_deref(), Some("alice"));
}

#[test]
fn a_user_without_password_is_in_at_230() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.forget();
    pair.client("USER ftp").server("230 in").did("session.login");
}

#[test]
fn an_account_that_was_asked_for_logs_in_at_202() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.forget();
    pair.client("USER a").server("331 p").client("PASS b").server("332 account").did("");
    pair.client("ACCT c").at_server("USER a\nPASS b\nACCT c").server("202 superfluous").did("session.login");
}

#[test]
fn an_account_that_nobody_asked_for_logs_nobody_in() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.forget();
    pair.client("USER a").server("331 p").client("ACCT c").server("202 superfluous").did("");
    pair.client("PASV").at_client("331 p\n202 superfluous\n530 Log in first.");
}

#[test]
fn a_refused_user_names_nobody() {
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.forget();
    pair.client("USER root").server("530 no").client("PASS x").server("230 in").did("");
    pair.client("PASV").at_client("530 no\n230 in\n530 Log in first.");
}

#[test]
fn set_up_and_transfer_commands_need_a_login() {
    for command in ["PASV", "EPSV", "PORT 198,51,100,10,200,1", "EPRT |1|198.51.100.10|51201|"] {
        let mut pair = Pair::greeted(policy(|_| {}));
        pair.forget();
        pair.client(command)
            .at_client("530 Log in first.")
            .at_server("")
            .did("pinhole.denied login-required");
    }
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.forget();
    pair.client("LIST").at_client("530 Log in first.").did("command.denied login-required");
}

#[test]
fn a_login_is_not_needed_where_policy_says_so() {
    let mut pair = Pair::greeted(policy(|policy| policy.require_login = false));
    pair.forget();
    pair.client("PASV")
        .server("227 (10,0,0,5,160,2)")
        .at_client("227 Entering Passive Mode (203,0,113,10,195,80).");
}

#[test]
fn a_new_user_command_undoes_the_login_and_what_was_set_up() {
    let mut pair = Pair::passive_ready();
    pair.client("USER bob").at_server("USER bob").did("pinhole.revoked reinitialized; p-1 close");
    pair.server("331 password").client("PASV").at_client("331 password\n530 Log in first.");
}

#[test]
fn rein_undoes_the_login_once_the_server_agrees() {
    let mut pair = Pair::passive_ready();
    pair.client("REIN").at_server("REIN").did("pinhole.revoked reinitialized; p-1 close");
    pair.client("PASV").at_server("").at_client("");
    pair.server("220 ready").at_client("220 ready\n530 Log in first.").at_server("");
}

#[test]
fn a_server_that_does_not_know_rein_keeps_its_user() {
    let mut pair = Pair::logged_in();
    pair.client("REIN").server("502 no").client("PASV").at_server("REIN\nPASV").at_client("502 no");
}

#[test]
fn refused_logins_end_the_session_at_the_limit() {
    let mut pair = Pair::greeted(policy(|policy| policy.limits.login_failures = 2));
    pair.client("USER a").server("331 p").client("PASS x").server("530 no");
    pair.client("USER a").server("331 p").forget();
    pair.client("PASS y").server("530 no").at_client("530 no\n421 Too many failed logins.");
    pair.did("hang-up; session.closed too-many-logins; over");
}

#[test]
fn the_login_has_a_time_limit_that_commands_do_not_renew() {
    let mut pair = Pair::greeted(policy(|_| {}));
    for _ in 0..5 {
        pair.wait_secs(11).client("NOOP").server("200 ok");
    }
    pair.forget().wait_secs(6).at_client("421 Login took too long.");
    pair.did("hang-up; session.closed login-timeout; over");
}

#[test]
fn a_server_that_does_not_greet_is_given_up() {
    let mut pair = Pair::default();
    pair.forget().wait_secs(60).at_client("421 The server does not answer.");
    pair.did("hang-up; session.closed upstream-silent; over");
}

#[test]
fn guests_only_means_no_other_name_reaches_the_server() {
    let mut pair = Pair::greeted(policy(|policy| policy.preset = Preset::AnonymousRo));
    pair.client("USER alice").at_server("").client("USER Anonymous").at_server("USER Anonymous");
}

#[test]
fn lines_before_the_login_are_held_to_512_bytes() {
    let long = |length: usize| format!("USER {}", "a".repeat(length - 7));
    let mut pair = Pair::greeted(policy(|_| {}));
    pair.client(&long(512)).at_server(&long(512)).server("331 p").forget();
    pair.client(&format!("PASS {}", "a".repeat(506))).at_server("").at_client("500 The line is too long.");
    let mut pair = Pair::logged_in();
    pair.client(&format!("CWD {}", "a".repeat(4090))).at_client("");
    pair.server("250 ok").forget();
    pair.client(&format!("CWD {}", "a".repeat(4091))).at_server("").at_client("500 The line is too long.");
}
