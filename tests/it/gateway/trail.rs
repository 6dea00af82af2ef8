//! The audit trail of one whole session, field by field.

use std::net::SocketAddr;

use ftp_pinhole::audit::Record;
use ftp_pinhole::session::EventKind;
use serde_json::{Value, json};

use super::CLIENT;
use super::lab::{Lab, Pair};
use super::peer::Peer;

/// The keys that are not null, without the times; `duration_ms` only has to be there.
fn told(record: &Record) -> Value {
    let mut value: Value = serde_json::from_str(&record.json()).unwrap();
    let fields = value.as_object_mut().unwrap();
    assert_eq!(fields.len(), 19);
    assert!(fields.remove("ts").unwrap().is_string());
    fields.retain(|_, value| !value.is_null());
    if let Some(duration) = fields.remove("duration_ms") {
        assert!(duration.is_u64());
        fields.insert("timed".into(), true.into());
    }
    value
}

/// `more` over `base`.
fn with(base: &Value, more: &Value) -> Value {
    let mut base = base.clone();
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}

/// Where a passive RETR went through the gateway.
fn retrieve(pair: &mut Pair) -> (SocketAddr, SocketAddr) {
    let (listen, listener) = pair.passive();
    let client = Peer::connect(CLIENT, listen);
    let mut server = Peer::accept(&listener);
    pair.pass("RETR a file", "150 here it comes");
    server.send("down");
    drop(server);
    assert_eq!(client.rest(), b"down");
    pair.server.say("226 done");
    pair.client.expect("226 done");
    (listen, listener.local_addr().unwrap())
}

/// Where an active STOR went through the gateway.
fn store(pair: &mut Pair) -> (SocketAddr, SocketAddr) {
    let (listener, listen) = pair.active();
    let server = Peer::connect(pair.server.here().ip(), listen);
    let mut client = Peer::accept(&listener);
    pair.pass("STOR b", "150 give it to me");
    client.send("upload");
    drop(client);
    assert_eq!(server.rest(), b"upload");
    pair.server.say("226 done");
    pair.client.expect("226 done");
    (listen, listener.local_addr().unwrap())
}

#[test]
fn session_with_retr_and_stor_leaves_exactly_this_trail() {
    let lab = Lab::new("");
    let mut pair = lab.log_in();
    let (client, server) = (pair.client.here(), pair.server.here());
    let (down_listen, down_to) = retrieve(&mut pair);
    // The next set-up waits until the first data connection has ended in the records, too.
    lab.gate.record(EventKind::PinholeClosed);
    let (up_listen, up_to) = store(&mut pair);
    pair.pass("QUIT", "221 bye");
    lab.gate.record(EventKind::SessionClosed);

    let nobody = json!({"service": "lab", "session": "s-1", "client": client, "server": server});
    let alice = with(&nobody, &json!({"user": "alice"}));
    let down = with(
        &alice,
        &json!({"pinhole": "p-1", "mode": "passive", "command": "EPSV", "from": CLIENT, "listen": down_listen,
                "to": down_to}),
    );
    let up = with(
        &alice,
        &json!({"pinhole": "p-2", "mode": "active", "command": "PORT", "from": server.ip(), "listen": up_listen,
                "to": up_to}),
    );
    let expected = [
        json!({"event": "gateway.started"}),
        with(&nobody, &json!({"event": "session.opened"})),
        with(&alice, &json!({"event": "session.login"})),
        with(&down, &json!({"event": "pinhole.opened"})),
        with(&down, &json!({"event": "pinhole.connected"})),
        with(
            &down,
            &json!({"event": "pinhole.closed", "transfer": "RETR a file", "bytes_to_server": 0,
                    "bytes_to_client": 4, "timed": true}),
        ),
        with(&up, &json!({"event": "pinhole.opened"})),
        with(&up, &json!({"event": "pinhole.connected"})),
        with(
            &up,
            &json!({"event": "pinhole.closed", "transfer": "STOR b", "bytes_to_server": 6,
                    "bytes_to_client": 0, "timed": true}),
        ),
        with(&alice, &json!({"event": "session.closed", "reason": "quit", "timed": true})),
    ];
    let records: Vec<_> = lab.gate.records().iter().map(told).collect();
    assert_eq!(records, expected, "{records:#?}");
}
