//! The same dialogue, cut into other pieces, gives the same bytes, events and orders (P5, D17).

use std::time::Duration;

use ftp_pinhole::addr::Legs;
use ftp_pinhole::pinhole::DataEvent;
use ftp_pinhole::policy::{MinProtection, Policy, Terminate, Tls, Tolerances, UpstreamTls};
use ftp_pinhole::session::Side;
use proptest::prelude::*;

use crate::pair::{Pair, legs, policy};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Client(&'static [u8]),
    Server(&'static [u8]),
    Connect(u64),
    Close(u64),
    Deliver(u64),
    /// The handshake on this leg succeeds.
    Shake(Side),
    Wait(u64),
}

use Step::{Client, Close, Connect, Deliver, Server, Shake, Wait};

/// What came out: the bytes to each side, and everything else in order.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    to_client: String,
    to_server: String,
    trace: Vec<String>,
    events: Vec<String>,
}

/// Plays the steps; `cut` says how many of so many bytes go into the next piece.
fn play(policy: &Policy, legs: Legs, steps: &[Step], mut cut: impl FnMut(usize) -> usize) -> Outcome {
    let mut pair = Pair::between(policy.clone(), legs);
    for step in steps {
        let mut rest = match step {
            Client(bytes) | Server(bytes) => *bytes,
            Connect(id) => {
                pair.connect(*id);
                continue;
            }
            Close(id) => {
                pair.close(*id, 1, 2);
                continue;
            }
            Deliver(id) => {
                pair.data(*id, DataEvent::Delivered { notified: true });
                continue;
            }
            Shake(side) => {
                pair.shakes_hands(*side, Ok(()));
                continue;
            }
            Wait(seconds) => {
                pair.wait(Duration::from_secs(*seconds));
                continue;
            }
        };
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
            match step {
                Client(_) => pair.client_raw(piece),
                _ => pair.server_raw(piece),
            };
            rest = tail;
        }
    }
    Outcome {
        to_client: pair.client_bytes.escape_ascii().to_string(),
        to_server: pair.server_bytes.escape_ascii().to_string(),
        trace: pair.trace,
        events: pair.events.iter().map(|event| format!("{event:?}")).collect(),
    }
}

/// A policy, the two legs and what happens.
type Dialogue = (Policy, Legs, Vec<Step>);

/// Dialogues in which a leg goes over to TLS. Nothing comes in one flight with what begins a handshake: there the
/// cut decides whether it is the engine or the handshake that meets it.
fn dialogues_with_tls() -> Vec<Dialogue> {
    let terminating = |upstream, passthrough| {
        let min_protection = MinProtection::Clear;
        let terminate = Terminate { upstream, min_protection, passthrough, ..Terminate::default() };
        policy(|policy| policy.tls = Tls::Terminate(terminate))
    };
    let login = [Client(b"USER a\r\nPASS b\r\n"), Server(b"331 p\r\n230 in\r\n")];
    let protected = [
        &[Client(b"PBSZ 0\r\nPROT P\r\nPROT X\r\nAUTH TLS\r\nCCC\r\n")][..],
        &login,
        &[
            Client(b"PASV\r\nRETR f\r\nNOOP\r\n"),
            Server(b"227 (10,0,0,5,160,2)\r\n150 x\r\n226 done\r\n"),
            Connect(1),
            Deliver(1),
            Server(b"200 ok\r\n"),
            Close(1),
            Client(b"EPSV\r\nPROT C\r\nSTOR g\r\n\xff\xf4\xff\xf2ABOR\r\n"),
            Server(b"227 (10,0,0,5,160,3)\r\n150 x\r\n426 cut\r\n226 y\r\n"),
        ],
    ];
    let explicit = [
        &[
            Client(b"FEAT\r\nAUTH GSSAPI\r\nAUTH TLS\r\n"),
            Server(b"220 hi\r\n211-x\r\n AUTH TLS\r\n211 end\r\n"),
            Shake(Side::Client),
        ][..],
        &protected.concat(),
    ];
    let as_client = [
        &[
            Server(b"220 hi\r\n"),
            Client(b"AUTH TLS\r\n"),
            Server(b"234-go\r\n234 on\r\n"),
            Shake(Side::Server),
            Server(b"200 ok\r\n200 ok\r\n"),
            Shake(Side::Client),
        ][..],
        &protected.concat(),
    ];
    let passing = [
        &[
            Shake(Side::Server),
            Server(b"220 hi\r\n"),
            Client(b"AUTH TLS\r\n"),
            Shake(Side::Client),
            Client(b"PBSZ 0\r\nPROT P\r\n"),
            Server(b"200 ok\r\n200 ok\r\n"),
        ][..],
        &login,
        &[
            Client(b"PASV\r\nRETR f\r\nPROT C\r\nQUIT\r\n"),
            Server(b"227 (10,0,0,5,160,2)\r\n150 x\r\n226 y\r\n534 no\r\n221 bye\r\n"),
        ],
    ];
    vec![
        (terminating(UpstreamTls::None, false), legs(4, 4), explicit.concat()),
        (terminating(UpstreamTls::AsClient, false), legs(4, 4), as_client.concat()),
        (terminating(UpstreamTls::Implicit, true), legs(4, 4), passing.concat()),
    ]
}

/// Dialogues as clients and servers really hold them, and as nobody should.
fn dialogues() -> Vec<Dialogue> {
    let strict = Policy::default();
    let lenient = policy(|policy| {
        policy.tolerate = Tolerances {
            bare_lf: true,
            reused_port: true,
            unpadded_multiline: true,
            ..Tolerances::default()
        };
    });
    let begin =
        || vec![Server(b"220-Welcome\r\n220-to\r\n 220 this\r\n220 server\r\n"), Client(b"USER a\r\n")];
    let login = || {
        let mut steps = begin();
        steps.extend([Server(b"331 password\r\n"), Client(b"PASS b\r\n"), Server(b"230-hi\r\n230 in\r\n")]);
        steps
    };
    let with = |steps: &[Step]| [login(), steps.to_vec()].concat();
    let plain = vec![
        (
            strict.clone(),
            legs(4, 4),
            with(&[
                Client(b"FEAT\r\nPASV\r\nRETR f\r\nNOOP\r\nQUIT\r\n"),
                Server(b"211-Features:\r\n AUTH TLS\r\n MDTM\r\n211 End\r\n"),
                Server(b"227 Entering Passive Mode (10,0,0,5,160,2).\r\n"),
                Connect(1),
                Server(b"150 here\r\n"),
                Close(1),
                Server(b"226-x\r\n227 (1,2,3,4,5,6)\r\n226 done\r\n200 ok\r\n221 bye\r\n"),
            ]),
        ),
        (
            strict.clone(),
            legs(6, 4),
            with(&[
                Client(b"EPRT |2|2001:db8:c::10|51201|\r\nSTOR \xff\xff\r\n\xff\xf4\xff\xf2ABOR\r\nXYZZY\r\n"),
                Server(b"200 ok\r\n"),
                Connect(1),
                Server(b"150 go\r\n426 cut\r\n226 ok\r\n200 noop\r\n"),
                Close(1),
                Client(b"EPSV\r\nEPSV 1\r\nEPSV ALL\r\n"),
                Server(b"227 (10,0,0,5,160,2)\r\n"),
                Wait(31),
            ]),
        ),
        (
            strict.clone(),
            legs(4, 6),
            with(&[
                Client(b"PORT 192,0,2,66,200,1\r\nPORT 198,51,100,10,200,1\r\nPASV\r\nLIST\r\n"),
                Server(b"200 ok\r\n229 Entering Extended Passive Mode (|||40962|)\r\n150 x\r\n"),
                Connect(2),
                Close(2),
                Server(b"226 y\r\n"),
            ]),
        ),
        (
            strict.clone(),
            legs(4, 4),
            with(&[
                Client(b"NO\0OP\r\nNO\rOP\r\nNO\nOP\r\nNOOP\r\r\nPO\xff\xf1RT\r\n\xff\xfb\x01\xff\xfd\x03NOOP\r\n\r\n"),
                Client(b"SITE EXEC x\r\nAUTH TLS\r\nPASV x\r\nRETR\r\n12345\r\nNOOP\r\n"),
                Server(b"\xff\xfd\x18200 ok\r\n200 ok\r\n"),
                Server(b"227 nobody asked\r\n"),
            ]),
        ),
        (
            lenient,
            legs(4, 4),
            with(&[
                Client(b"PORT 198,51,100,10,200,1\nLIST\nNOOP\r\nLIST\r\nx\xff\nNOOP\n"),
                Server(b"200 ok\n150-x\r\n226 done\r\n200 ok\n150 y\n"),
                Connect(2),
                Close(2),
                Server(b"226 z\n200 ok\n421 bye\n"),
            ]),
        ),
        (strict.clone(), legs(4, 4), vec![Client(b"GET / HTTP/1.1\r\nHost: x\r\n"), Server(b"220 hi\r\n")]),
        (strict, legs(4, 4), vec![Client(b"\x16\x03\x01\x02\x00\x01"), Server(b"220 hi\r\n")]),
    ];
    [plain, dialogues_with_tls()].concat()
}

#[test]
fn p5_a_cut_at_any_byte_changes_nothing() {
    for (policy, legs, steps) in dialogues() {
        let whole = play(&policy, legs, &steps, |left| left);
        assert_eq!(play(&policy, legs, &steps, |_| 1), whole, "byte by byte");
        let longest = steps.iter().map(|step| match step {
            Client(bytes) | Server(bytes) => bytes.len(),
            _ => 0,
        });
        for at in 1..longest.max().unwrap_or(0) {
            let mut first = true;
            let cut = |left: usize| {
                let whole_step = std::mem::replace(&mut first, left <= at);
                if whole_step { at } else { left }
            };
            assert_eq!(play(&policy, legs, &steps, cut), whole, "cut at {at}");
        }
    }
}

#[test]
fn the_dialogues_reach_what_they_are_meant_to() {
    let played = dialogues();
    let traces = played.iter().map(|(policy, legs, steps)| play(policy, *legs, steps, |left| left).trace);
    let all = traces.flatten().collect::<Vec<_>>().join("\n");
    for wanted in [
        "pinhole.closed",
        "pinhole.closed aborted",
        "pinhole.expired",
        "violation telnet",
        "violation reply-in-block",
        "violation unsolicited-reply",
        "violation not-ftp",
        "tolerated bare-lf",
        "tolerated reused-port",
        "tolerated unpadded-multiline",
        "pinhole.denied foreign-address",
        "p-1 protect client",
        "p-1 protect both",
        "p-2 protect server",
        "p-1 both",
        "command.denied tls-order",
    ] {
        assert!(all.contains(wanted), "{wanted} in\n{all}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn p5_random_cuts_change_nothing(sizes in prop::collection::vec(1_usize..40, 1..60)) {
        for (policy, legs, steps) in dialogues() {
            let whole = play(&policy, legs, &steps, |left| left);
            let mut sizes = sizes.iter().cycle();
            let cut = play(&policy, legs, &steps, |_| *sizes.next().unwrap());
            prop_assert_eq!(cut, whole);
        }
    }
}
