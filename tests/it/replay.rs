//! What a replay tells of captures that are made up: the same as the gateway would, however the bytes are cut.

use std::net::SocketAddr;
use std::time::Duration;

use ftp_pinhole::addr::Legs;
use ftp_pinhole::capture::{Conversation, Speaker};
use ftp_pinhole::config::Config;
use ftp_pinhole::pinhole::DataEvent;
use ftp_pinhole::policy::Policy;
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::Event;
use proptest::prelude::*;
use serde_json::json;

use crate::pair::Pair;
use crate::tape::{Control, Tape, addr};

const TRANSFER: [&str; 6] = [
    "session.opened",
    "session.login",
    "pinhole.opened",
    "pinhole.connected",
    "pinhole.closed",
    "session.closed quit",
];

/// Logged in, one RETR over PASV, QUIT.
fn passive() -> Control {
    retrieve(Control::logged_in())
}

fn retrieve(mut control: Control) -> Control {
    control.dialogue("C: PASV\nS: 227 Entering Passive Mode (10,0,0,5,160,2)\nC: RETR f\nS: 150 here");
    control.passive(40_962, Speaker::Server, 5000);
    control.server("226 done");
    control
}

#[test]
fn a_passive_transfer_uses_its_pinhole() {
    let played = passive().played();
    assert_eq!(played.story(), TRANSFER);
    let closed = played.the("pinhole.closed");
    assert_eq!(closed["mode"], "passive");
    assert_eq!(closed["from"], "198.51.100.10");
    assert_eq!(closed["to"], "10.0.0.5:40962");
    assert_eq!(closed["transfer"], "RETR f");
    assert_eq!((&closed["bytes_to_client"], &closed["bytes_to_server"]), (&5000.into(), &0.into()));
    assert_eq!(played.summary["used"], 1);
}

#[test]
fn epsv_is_the_same_though_the_gateway_would_have_asked_for_pasv() {
    let mut control = Control::logged_in();
    control.dialogue("C: EPSV\nS: 229 Entering Extended Passive Mode (|||40962|)\nC: STOR f\nS: 150 go on");
    control.passive(40_962, Speaker::Client, 70_000);
    control.server("226 done");
    let played = control.played();
    assert_eq!(played.story(), TRANSFER);
    let closed = played.the("pinhole.closed");
    assert_eq!((&closed["command"], &closed["bytes_to_server"]), (&"EPSV".into(), &70_000.into()));
}

#[test]
fn active_transfers_are_dialled_by_the_server() {
    for (client, server, line, to) in [
        ("198.51.100.10:40122", "10.0.0.5:21", "PORT 198,51,100,10,200,10", "198.51.100.10:51210"),
        ("198.51.100.10:40122", "10.0.0.5:21", "EPRT |1|198.51.100.10|51210|", "198.51.100.10:51210"),
        ("[2001:db8::10]:40122", "[fd00::5]:21", "EPRT |2|2001:db8::10|51210|", "[2001:db8::10]:51210"),
    ] {
        let mut control = Control::between(client, server);
        control.server("220 hi");
        control.log_in();
        control.dialogue(&format!("C: {line}\nS: 200 ok\nC: LIST\nS: 150 here"));
        control.active(addr(to), Speaker::Client, 1234);
        control.server("226 done");
        let played = control.played();
        assert_eq!(played.story(), TRANSFER, "{line}");
        let closed = played.the("pinhole.closed");
        assert_eq!((&closed["mode"], &closed["to"]), (&"active".into(), &to.into()));
        assert_eq!(closed["bytes_to_client"], 1234);
    }
}

#[test]
fn p2_a_foreign_port_is_denied_and_its_connection_has_no_pinhole() {
    let mut control = Control::logged_in();
    control.dialogue("C: PORT 192,0,2,66,200,10\nS: 200 ok\nC: RETR f\nS: 150 here");
    control.active(addr("192.0.2.66:51210"), Speaker::Client, 10);
    control.server("226 done");
    let played = control.played();
    let expected = [
        "session.opened",
        "session.login",
        "pinhole.denied foreign-address",
        "command.denied no-setup",
        "violation no-pinhole",
        "session.closed quit",
    ];
    assert_eq!(played.story(), expected);
    assert_eq!(played.the("pinhole.denied")["to"], "192.0.2.66:51210");
    assert_eq!(played.summary["denied"]["foreign-address"], 1);
}

#[test]
fn what_the_server_answers_to_a_denied_command_is_left_out() {
    let mut control = Control::logged_in();
    control.dialogue("C: XEVIL\nS: 200 of course\nC: PORT 10,0,0,5,0,22\nS: 200 ok\nC: NOOP\nS: 200 ok");
    let played = retrieve(control).played();
    let expected = [
        &TRANSFER[..2],
        &["command.denied unknown-command", "pinhole.denied foreign-address"],
        &TRANSFER[2..],
    ];
    assert_eq!(played.story(), expected.concat());
}

#[test]
fn commands_that_come_before_the_greeting_get_their_own_replies() {
    let mut control = Control::between("198.51.100.10:40122", "10.0.0.5:21");
    control
        .dialogue("C: USER alice\nC: PASS secret\nC: XEVIL\nC: NOOP\nS: 220 hi\nS: 331 password\nS: 230 in");
    control.dialogue("S: 500 no\nS: 200 ok");
    let expected =
        ["session.opened", "session.login", "command.denied unknown-command", "session.closed quit"];
    assert_eq!(control.played().story(), expected);
}

#[test]
fn an_abort_may_have_one_reply_or_two() {
    for replies in ["S: 426 cut\nS: 226 ok", "S: 226 done\nS: 226 ok", "S: 225 ok"] {
        let mut control = Control::logged_in();
        control.dialogue("C: PASV\nS: 227 ok (10,0,0,5,160,3)\nC: RETR f\nS: 150 here\nC: ABOR");
        control.dialogue(replies);
        control.dialogue("C: XEVIL\nS: 500 no\nC: EPSV\nS: 229 ok (|||40962|)\nC: RETR f\nS: 150 here");
        control.passive(40_962, Speaker::Server, 10);
        control.server("226 done");
        let story = control.played().story();
        assert!(!story.iter().any(|event| event.starts_with("violation")), "{replies}: {story:?}");
        assert!(story.contains(&"pinhole.closed".to_owned()), "{replies}: {story:?}");
    }
}

#[test]
fn commands_may_be_pipelined() {
    let mut control = Control::greeted();
    control.dialogue(
        "C: USER alice\nC: PASS secret\nC: XEVIL\nC: PASV\nC: RETR f\nS: 331 password\nS: 230 in\nS: 500 no",
    );
    control.dialogue("S: 227 Entering Passive Mode (10,0,0,5,160,2)\nS: 150 here");
    control.passive(40_962, Speaker::Server, 10);
    control.server("226 done");
    let played = control.played();
    let expected = [&TRANSFER[..2], &["command.denied unknown-command"], &TRANSFER[2..]].concat();
    assert_eq!(played.story(), expected);
}

#[test]
fn a_control_connection_is_one_whatever_was_announced() {
    let mut tape = Control::logged_in();
    tape.dialogue("C: PORT 10,0,0,5,0,21\nS: 500 no");
    let mut hidden = Control::between("198.51.100.10:40123", "10.0.0.5:21");
    hidden.server("220 hi");
    hidden.log_in();
    hidden.client("SITE EXEC x");
    tape.tape.add(hidden.tape.packets.into_iter().map(|(_, packet)| packet));
    let story = tape.tape.play(None).story();
    assert_eq!(story.iter().filter(|event| *event == "session.login").count(), 2, "{story:?}");
    assert!(story.contains(&"command.denied preset".to_owned()), "{story:?}");
}

#[test]
fn a_session_that_goes_on_behind_a_reset_is_read_on() {
    let mut control = Control::logged_in();
    let mut forged = Conversation::new(control.client, control.server).unwrap();
    forged.open();
    forged.say(Speaker::Client, &[b'x'; 5000]);
    control.tape.add([forged.reset(Speaker::Client)]);
    control.dialogue("C: SITE EXEC x\nS: 200 ok");
    let expected = [
        "session.opened",
        "session.login",
        "session.closed client-closed",
        "session.opened began-before",
        "command.denied preset",
        "session.closed quit",
    ];
    assert_eq!(control.played().story(), expected);
}

#[test]
fn p4_a_pinhole_is_used_once() {
    let mut control = Control::logged_in();
    control.dialogue("C: PASV\nS: 227 Entering Passive Mode (10,0,0,5,160,2)\nC: RETR f\nS: 150 here");
    let mut first = Conversation::new(addr("198.51.100.10:55001"), addr("10.0.0.5:40962")).unwrap();
    control.tape.add(first.open());
    control.passive(40_962, Speaker::Server, 10);
    control.tape.add(first.close(Speaker::Server));
    control.server("226 done");
    let story = control.played().story();
    assert_eq!(story[3..6], ["pinhole.connected", "violation second-connection", "pinhole.closed"]);
}

#[test]
fn p4_a_stranger_finds_no_pinhole() {
    let mut control = Control::logged_in();
    control.dialogue("C: PASV\nS: 227 Entering Passive Mode (10,0,0,5,160,2)");
    control.tape.data(addr("192.0.2.1:55000"), addr("10.0.0.5:40962"), Speaker::Client, 10);
    control.tape.wait(Duration::from_secs(31));
    control.client("NOOP");
    let story = control.played().story();
    assert_eq!(story[2..4], ["pinhole.opened", "pinhole.expired pinhole-timeout"]);
}

#[test]
fn payload_against_the_transfer_is_told() {
    let mut control = Control::logged_in();
    control.dialogue("C: PASV\nS: 227 Entering Passive Mode (10,0,0,5,160,2)\nC: RETR f\nS: 150 here");
    control.passive(40_962, Speaker::Client, 10);
    control.server("226 done");
    assert_eq!(control.played().the("pinhole.closed")["reason"], "wrong-direction");
}

#[test]
fn a_reset_leaves_the_bytes_unknown() {
    let mut control = Control::logged_in();
    control.dialogue("C: PASV\nS: 227 Entering Passive Mode (10,0,0,5,160,2)\nC: RETR f\nS: 150 here");
    let mut data = Conversation::new(addr("198.51.100.10:55001"), addr("10.0.0.5:40962")).unwrap();
    control.tape.add(data.open());
    control.tape.add(data.say(Speaker::Server, b"xxx"));
    control.tape.add([data.reset(Speaker::Server)]);
    control.server("426 sorry");
    let closed = control.played().the("pinhole.closed");
    assert_eq!((&closed["reason"], &closed["bytes_to_client"]), (&"data-reset".into(), &().into()));
}

#[test]
fn tls_ends_what_can_be_told() {
    let mut control = Control::greeted();
    control.dialogue("C: AUTH TLS\nS: 234 go on\nC: \u{16}\u{3}\u{1} not a line\nS: 500 neither");
    let played = control.played();
    assert_eq!(played.story(), ["session.opened", "command.denied tls-denied", "session.closed encrypted"]);
    assert_eq!(played.summary["encrypted"], 1);
}

#[test]
fn tls_ends_what_can_be_told_in_every_mode() {
    let story = |tls: &str, dialogue: &str| {
        let mut control = Control::greeted();
        control.dialogue(dialogue);
        control.close();
        let service = format!("{{listen: 203.0.113.10:21, upstream: 10.0.0.5:21, tls: {tls}}}");
        control.tape.play(Some(&format!("version: 1\nservices: {{a: {service}}}\n"))).story()
    };
    let encrypted = "C: AUTH TLS\nS: 234 go on\nC: \u{16}\u{3}\u{1} not a line\nS: \u{17}\u{3} neither";
    let terminate =
        "{mode: terminate, certificates: {chain: /c, key: /k}, upstream_tls: explicit, upstream_pin: /p}";
    assert_eq!(story(terminate, encrypted), ["session.opened", "session.closed encrypted"]);
    let blind = [
        "session.opened",
        "pinhole.opened blind",
        "pinhole.revoked session-ended",
        "session.closed encrypted",
    ];
    assert_eq!(story("{mode: blind, data_ports: 30000-30099}", encrypted), blind);
    let plain = ["session.opened", "command.denied tls-required", "session.closed client-closed"];
    assert_eq!(story(terminate, "C: USER alice\nS: 331 password"), plain);
}

#[test]
fn a_connection_that_began_before_may_be_encrypted() {
    let mut control = Control::between("198.51.100.10:40122", "10.0.0.5:21");
    control.tape.packets.clear();
    control.dialogue("S: \u{17}\u{3}\u{3} not a line\nC: \u{17}\u{3}\u{3} neither");
    assert_eq!(control.played().story(), ["session.opened began-before", "session.closed encrypted"]);
}

#[test]
fn the_end_of_the_capture_ends_what_waits() {
    let mut control = Control::logged_in();
    control.dialogue("C: PASV\nS: 227 ok (10,0,0,5,160,2)\nC: RETR f");
    control.close();
    let expected = [
        "session.opened",
        "session.login",
        "pinhole.opened",
        "pinhole.revoked capture-ended",
        "session.closed server-closed",
    ];
    assert_eq!(control.tape.play(None).story(), expected);
}

#[test]
fn a_client_may_ask_for_more_ports_than_there_are() {
    let mut control = Control::logged_in();
    control.dialogue(&"C: PASV\nS: 227 ok (10,0,0,5,160,2)\nC: RETR f\nS: 226 done\n".repeat(30));
    let played = control.tape.play(Some(&RULES.replace("active: deny", "passive_ports: 50000-50009")));
    assert_eq!(played.summary["denied"]["no-free-port"], 20);
}

#[test]
fn a_connection_that_began_before_counts_as_logged_in() {
    let control = passive();
    let before = control.tape.packets.len();
    for skipped in [5, 6, 7] {
        let mut tape = control.tape.clone();
        tape.packets.drain(..skipped);
        let played = tape.play(None);
        assert!(played.story()[0].ends_with("began-before"), "{:?}", played.story());
        let opened =
            ["pinhole.opened", "pinhole.connected", "pinhole.closed", "session.closed capture-ended"];
        assert!(played.story().ends_with(&opened.map(str::to_owned)), "{:?}", played.story());
        assert_eq!(tape.packets.len(), before - skipped);
    }
}

#[test]
fn a_gap_ends_a_session_and_begins_another() {
    let mut control = Control::logged_in();
    control.client("CWD /a");
    let lost = control.tape.packets.len() - 1;
    control.server("250 there");
    let mut control = retrieve(control);
    control.tape.packets.remove(lost);
    let played = control.tape.play(None);
    let expected = [
        "session.opened",
        "session.login",
        "session.closed capture-gap",
        "session.opened capture-gap",
        "pinhole.opened",
        "pinhole.connected",
        "pinhole.closed",
        "session.closed capture-ended",
    ];
    assert_eq!(played.story(), expected);
}

#[test]
fn segments_that_differ_are_told_and_the_first_one_counts() {
    let mut control = Control::logged_in();
    control.client("PORT 198,51,100,10,200,10");
    let (at, mut forged) = control.tape.packets.last().unwrap().clone();
    let text = forged.len() - "10,200,10\r\n".len();
    forged[text..text + 2].copy_from_slice(b"66");
    control.tape.packets.push((at, forged));
    control.dialogue("S: 200 ok\nC: RETR f\nS: 150 here");
    control.active(addr("198.51.100.10:51210"), Speaker::Client, 10);
    control.server("226 done");
    let story = control.played().story();
    assert_eq!(story.iter().filter(|event| *event == "violation segment-conflict").count(), 1, "{story:?}");
    assert!(story.contains(&"pinhole.closed".to_owned()));
}

/// One packet for each byte.
fn byte_by_byte(conversation: &mut Conversation, speaker: Speaker, bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.iter().flat_map(|byte| conversation.say(speaker, &[*byte])).collect()
}

#[test]
fn p5_packets_of_one_byte_tell_the_same() {
    let mut control = Control::between("198.51.100.10:40122", "10.0.0.5:21");
    control.send = byte_by_byte;
    control.server("220-hi\r\n220-there\r\n220 you");
    control.log_in();
    assert_eq!(retrieve(control).played().json(), passive().played().json());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The packets of one line arrive in any order, some twice.
    #[test]
    fn p5_reordered_and_repeated_packets_tell_the_same(seed in any::<u64>()) {
        let mut control = Control::between("198.51.100.10:40122", "10.0.0.5:21");
        control.send = byte_by_byte;
        control.server("220 hi");
        control.log_in();
        let mut control = retrieve(control);
        shuffle(&mut control.tape, seed);
        prop_assert_eq!(control.played().json(), passive().played().json());
    }
}

/// Swaps neighbours of the same sender, and repeats packets.
fn shuffle(tape: &mut Tape, mut seed: u64) {
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let source = |packet: &[u8]| (packet[12..20].to_vec(), packet[20..24].to_vec());
    for i in 4..tape.packets.len() - 1 {
        let neighbours = source(&tape.packets[i].1) == source(&tape.packets[i + 1].1);
        // Handshakes and FINs stay where they are: a connection that was not seen to begin is another.
        let data = |packet: &[u8]| packet.len() > 40 && packet[22..24] != 40_962u16.to_be_bytes();
        if neighbours && data(&tape.packets[i].1) && data(&tape.packets[i + 1].1) && random() % 2 == 0 {
            let (a, b) = (tape.packets[i].1.clone(), tape.packets[i + 1].1.clone());
            tape.packets[i].1 = b;
            tape.packets[i + 1].1 = a;
        }
    }
    for i in (4..tape.packets.len()).rev().filter(|_| random() % 4 == 0).collect::<Vec<_>>() {
        let again = tape.packets[i].clone();
        tape.packets.insert(i + 1, again);
    }
}

#[test]
fn ftp_is_recognised_on_any_port_and_mail_is_not() {
    let mut control = Control::between("198.51.100.10:40122", "10.0.0.5:2121");
    control.server("220 hi");
    control.log_in();
    assert_eq!(retrieve(control).played().story(), TRANSFER);

    let mut mail = Control::between("198.51.100.10:40123", "10.0.0.5:25");
    mail.dialogue("S: 220 mail\nC: EHLO there\nS: 250 hello\nC: QUIT\nS: 221 bye");
    mail.close();
    assert_eq!(mail.tape.play(None).story(), [""; 0]);

    let mut http = Control::between("198.51.100.10:40124", "10.0.0.5:80");
    http.dialogue("C: GET / HTTP/1.1\nC: \nS: HTTP/1.1 200 OK");
    assert_eq!(http.tape.play(None).story(), [""; 0]);
}

#[test]
fn ftp_is_recognised_in_the_middle_by_a_command_and_a_reply() {
    let mut control = Control::between("198.51.100.10:40122", "10.0.0.5:2121");
    control.tape.packets.clear();
    control.dialogue("C: CWD /a\nS: 250 there");
    let played = retrieve(control).played();
    assert_eq!(played.story()[0], "session.opened began-before");
    assert_eq!(
        played.story()[1..],
        ["pinhole.opened", "pinhole.connected", "pinhole.closed", "session.closed quit"]
    );
}

#[test]
fn who_has_not_spoken_ftp_after_a_few_turns_is_not_listened_to() {
    let mut control = Control::between("198.51.100.10:40122", "10.0.0.5:2121");
    control.tape.packets.clear();
    control.dialogue(&"C: a\nS: b\n".repeat(20));
    control.dialogue("C: CWD /a\nS: 250 there");
    assert_eq!(control.played().story(), [""; 0]);
}

#[test]
fn verbs_that_a_client_makes_up_are_counted_not_listed() {
    let mut control = Control::logged_in();
    (0..1500).for_each(|i| control.client(&format!("X{i:04}")));
    let played = control.tape.play(None);
    let denied = played.summary["denied_commands"].as_object().unwrap();
    assert_eq!(denied.len(), 1001);
    assert_eq!(denied["? (unknown-command)"], 500);
}

#[test]
fn suggested_services_do_not_share_a_port() {
    for first in [21, 2121, 2122, 2123, 50_000] {
        let mut tape = Tape::default();
        for server in [format!("10.0.0.5:{first}"), "10.0.0.6:21".to_owned(), "[fd00::5]:21".to_owned()] {
            let client = if server.starts_with('[') { "[2001:db8::10]:40122" } else { "198.51.100.10:40122" };
            let mut control = Control::between(client, &server);
            control.server("220 hi");
            control.log_in();
            tape.add(control.tape.packets.into_iter().map(|(_, packet)| packet));
        }
        let suggested = tape.play(None).suggested.unwrap();
        assert!(suggested.contains(&format!("upstream: \"10.0.0.5:{first}\"")), "{suggested}");
        Config::parse("rules.yaml", &suggested).unwrap();
    }
}

const RULES: &str = "
version: 1
services:
  shop:
    listen: ['203.0.113.1:21']
    upstream: 10.0.0.5:21
    clients: [198.51.100.0/24]
    active: deny
";

#[test]
fn rules_decide_for_their_services_only() {
    let mut control = passive();
    control.dialogue("C: PORT 198,51,100,10,200,10\nS: 200 ok");
    let played = control.tape.play(Some(RULES));
    assert_eq!(played.the("pinhole.denied")["reason"], "active-denied");
    assert_eq!(played.the("pinhole.denied")["service"], "shop");

    let mut foreign = Control::between("192.0.2.1:40122", "10.0.0.5:21");
    foreign.server("220 hi");
    assert_eq!(foreign.tape.play(Some(RULES)).story(), ["session.closed client-not-allowed"]);

    let mut other = Control::between("198.51.100.10:40122", "10.0.0.6:21");
    other.server("220 hi");
    other.log_in();
    let played = other.tape.play(Some(RULES));
    assert_eq!((played.story().len(), &played.summary["uncovered"]), (0, &1.into()));
}

#[test]
fn time_passes_in_the_capture() {
    let mut control = Control::greeted();
    control.tape.wait(Duration::from_secs(61));
    control.client("NOOP");
    assert_eq!(control.tape.play(None).story(), ["session.opened", "session.closed login-timeout"]);
}

#[test]
fn a_hundred_mixed_sessions_are_summed_up() {
    let mut tape = Tape::default();
    for number in 0..100 {
        let mut control = Control::between(&format!("198.51.100.{}:40122", number + 1), "10.0.0.5:21");
        control.server("220 hi");
        match number % 10 {
            9 => control.dialogue("C: AUTH TLS\nS: 234 go on"),
            _ => control.log_in(),
        }
        match number % 10 {
            0..5 => control = retrieve(control),
            5 | 6 => {
                let client = control.client.ip().to_string().replace('.', ",");
                control.dialogue(&format!("C: PORT {client},200,10\nS: 200 ok\nC: STOR f\nS: 150 go on"));
                control.active(SocketAddr::new(control.client.ip(), 51_210), Speaker::Server, 100);
                control.server("226 done");
            }
            7 => control.dialogue("C: PORT 192,0,2,1,0,22\nS: 500 no\nC: XEVIL\nS: 500 no"),
            8 => control.dialogue("C: EPSV\nS: 229 ok (|||40962|)"),
            _ => {}
        }
        control.dialogue("C: QUIT\nS: 221 bye");
        control.close();
        tape.append(control.tape);
    }
    let summary = tape.play(None).summary;
    assert_eq!((&summary["sessions"], &summary["logins"]), (&100.into(), &90.into()));
    assert_eq!(summary["encrypted"], 10);
    assert_eq!((&summary["opened"], &summary["used"]), (&80.into(), &70.into()));
    assert_eq!(summary["setups"], json!({"EPSV": 10, "PASV": 50, "PORT": 30}));
    assert_eq!(summary["unused"], json!({"session-ended": 10}));
    assert_eq!(summary["denied"], json!({"foreign-address": 10}));
    let denied = json!({"AUTH (tls-denied)": 10, "XEVIL (unknown-command)": 10});
    assert_eq!(summary["denied_commands"], denied);
    assert_eq!(summary["transfers"], json!({"RETR": 50, "STOR": 20}));
    assert_eq!(summary["bytes_to_client"], 250_000);
    assert_eq!(summary["bytes_to_server"], 2000);
    assert_eq!(summary["passive_ports_needed"], 1);
}

#[test]
fn p10_no_password_is_written_however_it_was_sent() {
    let long = format!("pass {}", "secret".repeat(1000));
    let tails = format!("PASS {} it secret", "x".repeat(4091));
    let odd = ["pass\tsecret", " PASS secret", "acct secret\0", "pass secret\rx", "pass secret\nacct secret"];
    for line in [&long[..], &tails].into_iter().chain(odd) {
        let mut control = Control::greeted();
        control.dialogue("C: USER alice\nS: 331 password");
        control.client(line);
        control.dialogue("S: 530 no\nC: PASS secret\nS: 230 in");
        let script = control.played().script().concat();
        assert!(script.contains("PASS xxxx") && !script.contains("secret"), "{line}: {script}");
    }
}

#[test]
fn each_command_is_written_once_and_before_its_answer() {
    let mut control = Control::greeted();
    control.dialogue("C: USER alice\nC: PASS secret\nC: XEVIL\nC: NOOP\nS: 331 password\nS: 230 in");
    control.dialogue("S: 500 no\nS: 200 ok\nC: EPSV ALL\nS: 200 ok");
    let expected = "S: 220 hi|C: USER alice|S: 331 password|C: PASS xxxx|S: 230 in|C: XEVIL|S: 500 |C: NOOP|S: 200 ok|\
                    C: EPSV ALL|S: 200 |C: QUIT|S: 221 bye";
    let script: Vec<_> = control.played().script();
    let same = script.len() == expected.split('|').count()
        && script.iter().zip(expected.split('|')).all(|(line, expected)| line.starts_with(expected));
    assert!(same, "{script:?}");
}

/// Both see it: `C: ` and `S: ` lines, `dial` and `end` of the data connection. Lines of a server that was not asked
/// by the gateway are only in the capture, `S! `, and what it would have been asked only at the gateway, `S= `.
const DIALOGUES: &[&str] = &[
    "C: PASV\nS: 227 ok (10,0,0,5,160,2)\ndial\nC: RETR a\nS: 150 here\nend 10\nS: 226 done\nC: QUIT\nS: 221 bye",
    "C: EPSV\nS! 229 ok (|||40962|)\nS= 227 ok (10,0,0,5,160,2)\nC: LIST\ndial\nS: 150 here\nend 10\nS: 226 done",
    "C: EPSV ALL\nS! 200 ok\nC: PASV\nS! 227 ok (10,0,0,5,160,2)\nC: EPSV\nS! 229 ok (|||40962|)\nS= 227 ok (10,0,0,5,160,2)",
    "C: PASV\nS: 227 ok (10,0,0,5,160,2)\nC: PASV\nS: 227 ok (10,0,0,5,160,2)\nC: ABOR\nS: 226 ok\nC: RETR a\nS! 425 no",
    "C: PASV\nS: 227 ok (10,0,0,9,160,2)\nC: PASV\nS: 227 ok (10,0,0,5,0,22)\nC: PASV\nS: 227 ok (10,0,0,5,300,1)",
    "C: PORT 198,51,100,10,0,22\nS! 200 ok\nC: PORT 198,51,100,10,256,1\nS! 200 ok\nC: PORT 192,0,2,1,200,10\nS! 200 ok",
    "C: PORT 198,51,100,10,200,10\nS: 500 no\nC: EPRT |2|::1|51210|\nS! 522 no\nC: LPRT 4,4\nS! 500 no",
    "C: PASV\nS: 227 ok (10,0,0,5,160,2)\nC: RETR a\nS: 550 none\nC: RETR a\nS! 425 no\nC: REIN\nS: 220 hi\nC: PASV\nS! 530 no",
    "C: SITE EXEC x\nS! 200 ok\nC: XSEND\nS! 500 no\nC: AUTH TLS\nS! 500 no\nC: PBSZ 0\nS! 500 no\nC: PROT P\nS! 500 no",
    "C: NOOP\nS: 200 ok\nS: 227 Entering Passive Mode (10,0,0,5,160,2)",
    "C: STAT\nS: 211-Status\nS: 227 Entering Passive Mode (10,0,0,5,160,2)\nS: 211 End",
    "C: GET / HTTP/1.1\nS! 500 no",
];

#[test]
fn the_same_dialogue_has_the_same_events_as_at_the_gateway() {
    let (client, server) = (addr("198.51.100.10:40122"), addr("10.0.0.5:21"));
    for dialogue in DIALOGUES {
        let mut control = Control::logged_in();
        let legs = Legs { client, reached: server, source: client, server };
        let mut pair = Pair::between(Policy::default(), legs);
        pair.server("220 hi")
            .client("USER alice")
            .server("331 password")
            .client("PASS secret")
            .server("230 in");
        for line in dialogue.lines() {
            step(&mut control, &mut pair, line);
        }
        pair.lost(Reason::CaptureEnded);
        let said: Vec<_> = pair.events.iter().map(essence).collect();
        let played = control.tape.play(None);
        let seen: Vec<_> = played.records.iter().map(|seen| essence(&seen.record.event)).collect();
        assert_eq!(seen, said, "{dialogue}");
    }
}

fn step(control: &mut Control, pair: &mut Pair, line: &str) {
    let from = addr("198.51.100.10:55000");
    let data = || Conversation::new(from, addr("10.0.0.5:40962")).unwrap();
    match line.split_at(3) {
        ("C: ", text) => {
            control.client(text);
            pair.client(text);
        }
        ("S: ", text) => {
            control.server(text);
            pair.server(text);
        }
        ("S! ", text) => control.server(text),
        ("S= ", text) => {
            pair.server(text);
        }
        ("dia", _) => {
            control.tape.add(data().open());
            pair.data(1, DataEvent::Connected { from });
        }
        (_, rest) => {
            let bytes = rest.trim().parse().unwrap();
            let mut data = data();
            data.open();
            control.tape.add(data.say(Speaker::Server, &vec![b'x'; bytes]));
            control.tape.add(data.close(Speaker::Server));
            pair.close(1, 0, bytes as u64);
        }
    }
}

/// What an event says, but for its time and for which of the free ports it was.
fn essence(event: &Event) -> String {
    format!("{:?}", Event { duration: None, listen: None, ..event.clone() })
}
