//! The audit events of whole sessions: which fields, in which order.

use ftp_pinhole::session::Event;

use crate::pair::{Pair, policy};

/// The fields that are set, as text.
fn show(event: &Event) -> String {
    let mut out = vec![event.kind.name().to_owned()];
    let mut field =
        |name: &str, value: Option<String>| out.extend(value.map(|value| format!("{name}={value}")));
    field("user", event.user.clone());
    field("pinhole", event.pinhole.map(|id| id.to_string()));
    field("mode", event.mode.map(|mode| mode.as_str().to_owned()));
    field("command", event.command.clone());
    field("from", event.from.map(|from| from.to_string()));
    field("listen", event.listen.map(|listen| listen.to_string()));
    field("to", event.to.map(|to| to.to_string()));
    field("reason", event.reason.map(|reason| reason.to_string()));
    field("transfer", event.transfer.clone());
    field("up", event.bytes_to_server.map(|bytes| bytes.to_string()));
    field("down", event.bytes_to_client.map(|bytes| bytes.to_string()));
    field("ms", event.duration.map(|duration| duration.as_millis().to_string()));
    out.join(" ")
}

#[track_caller]
fn expect(pair: &Pair, events: &[&str]) {
    assert_eq!(pair.events.iter().map(show).collect::<Vec<_>>(), events);
}

#[test]
fn a_passive_session_from_begin_to_end() {
    let mut pair = Pair::default();
    pair.server("220 hi").client("USER alice").server("331 p").client("PASS secret").server("230 in");
    pair.client("EPSV").server("227 (10,0,0,5,160,2)").connect(1).client("RETR /pub/x.iso").server("150 x");
    pair.close(1, 0, 4096).server("226 y").wait_secs(2).client("QUIT").server("221 bye");
    let pinhole = "user=alice pinhole=p-1 mode=passive command=EPSV from=198.51.100.10 \
                   listen=203.0.113.10:50000 to=10.0.0.5:40962";
    expect(
        &pair,
        &[
            "session.opened",
            "session.login user=alice",
            &format!("pinhole.opened {pinhole}"),
            &format!("pinhole.connected {pinhole}"),
            &format!("pinhole.closed {pinhole} transfer=RETR /pub/x.iso up=0 down=4096 ms=1500"),
            "session.closed user=alice reason=quit ms=2000",
        ],
    );
}

#[test]
fn an_active_pinhole_leads_to_the_client() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 198,51,100,10,200,1").server("200 ok");
    expect(
        &pair,
        &[
            "pinhole.opened user=alice pinhole=p-1 mode=active command=PORT from=10.0.0.5 listen=10.0.0.1:40000 \
           to=198.51.100.10:51201",
        ],
    );
}

#[test]
fn a_denied_pinhole_names_what_was_asked_for() {
    let mut pair = Pair::logged_in();
    pair.client("PORT 192,0,2,66,200,1")
        .client("PORT 198,51,100,10,0,22")
        .client("EPRT |1|198.51.100.10|99999|");
    expect(
        &pair,
        &[
            "pinhole.denied user=alice mode=active command=PORT to=192.0.2.66:51201 reason=foreign-address",
            "pinhole.denied user=alice mode=active command=PORT to=198.51.100.10:22 reason=port-not-allowed",
            "pinhole.denied user=alice mode=active command=EPRT reason=bad-host-port",
        ],
    );
}

#[test]
fn a_denied_command_is_named_without_its_argument() {
    let mut pair = Pair::logged_in();
    pair.client("SITE EXEC rm -rf /").client("AUTH TLS").client("XYZZY secret");
    expect(
        &pair,
        &[
            "command.denied user=alice command=SITE reason=preset",
            "command.denied user=alice command=AUTH reason=tls-denied",
            "command.denied user=alice command=XYZZY reason=unknown-command",
        ],
    );
}

#[test]
fn a_transfer_is_recorded_as_the_client_wrote_it_with_control_bytes_escaped() {
    let mut pair = Pair::passive_ready();
    pair.connect(1).client_raw(b"RETR a\x1b[2J\xff\xffb\r\n").server("150 x").forget();
    pair.close(1, 0, 1);
    assert_eq!(pair.events[0].transfer.as_deref(), Some(r"RETR a\x1b[2J\xffb"));
}

#[test]
fn a_reused_port_is_recorded_under_the_verb_that_set_it_up() {
    let mut pair = Pair::logged_in_with(policy(|policy| policy.tolerate.reused_port = true));
    pair.client("EPRT |1|198.51.100.10|51201|")
        .server("200 ok")
        .client("LIST")
        .server("150 x")
        .connect(1)
        .close(1, 0, 1)
        .server("226 y")
        .forget();
    pair.client("LIST");
    assert_eq!(pair.events[0].command.as_deref(), Some("EPRT"));
}

#[test]
fn a_pinhole_is_recorded_under_the_user_who_asked_for_it() {
    for command in ["USER mallory", "REIN"] {
        let mut pair = Pair::retrieving();
        pair.client(command).server(if command == "REIN" { "220 again" } else { "331 password" }).forget();
        pair.close(1, 0, 1);
        assert_eq!(pair.events[0].user.as_deref(), Some("alice"), "{command}");
    }
}
