//! One function for each target: it panics when something that must always hold does not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Cursor;
use std::time::Duration;

use ftp_pinhole::capture::Reader;
use ftp_pinhole::ftp::{
    LineEvent, LineReader, ReplyEvent, ReplyReader, emit_227, emit_229, emit_eprt, emit_line, emit_port,
    parse_227, parse_229, parse_eprt, parse_port,
};
use ftp_pinhole::packet::{Decoded, Decoder, Link};
use ftp_pinhole::pinhole::{DataEvent, OpenError};
use ftp_pinhole::policy::{MinProtection, Policy, Preset, Terminate, Tls, Tolerances, UpstreamTls};
use ftp_pinhole::reason::Reason;
use ftp_pinhole::replay::{Replay, Seen, suggest};
use ftp_pinhole::session::EventKind;
use ftp_pinhole::stream::{Connection, Direction, FlowEvent, FlowId, Flows, Interest, Limits, Sink};
use ftp_pinhole::time::Timestamp;

use crate::pair::{Pair, legs};

/// Lines: the same however they are cut, never too long, and read again as they are written.
pub fn line(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let limit = 8 + usize::from(first >> 1);
    let read = |piece: usize| -> Vec<LineEvent> {
        let mut reader = LineReader::new(limit, first & 1 == 1);
        let mut events = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            events.extend(std::iter::from_fn(|| reader.next_event()));
            assert!(!reader.has_unread());
        }
        events
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(read(1), whole);
    assert_eq!(read(7), whole);
    for event in whole {
        let (LineEvent::Line(text) | LineEvent::BareLf(text)) = event else { continue };
        assert!(text.len() + 2 <= limit);
        let mut out = Vec::new();
        emit_line(&mut out, &[&text]);
        let mut again = LineReader::new(limit, false);
        again.push(&out);
        assert_eq!(again.next_event(), Some(LineEvent::Line(text)));
        assert_eq!(again.next_event(), None);
    }
}

/// Replies: the same however they are cut; what goes out can be read in one way only.
pub fn reply(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let (bare_lf, unpadded, max_lines) = (first & 1 == 1, first & 2 == 2, 2 + usize::from(first >> 4));
    let read = |piece: usize| {
        let mut reader = ReplyReader::new(LineReader::new(128, bare_lf), max_lines, unpadded);
        let mut events = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            loop {
                match reader.next_event() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Some(error)),
                }
            }
        }
        (events, None)
    };
    let whole = read(bytes.len().max(1));
    assert_eq!(read(1), whole);
    assert_eq!(read(5), whole);
    for event in whole.0 {
        let (ReplyEvent::Reply(reply) | ReplyEvent::Unclosed(reply)) = event else { continue };
        assert!((100..=659).contains(&reply.code.get()));
        assert!(reply.lines.len() <= max_lines + 1);
        let mut out = Vec::new();
        reply.emit(&mut out);
        let mut again = ReplyReader::new(LineReader::new(256, false), max_lines + 1, true);
        again.push(&out);
        let Ok(Some(ReplyEvent::Reply(read))) = again.next_event() else {
            panic!("what was emitted is one reply: {}", out.escape_ascii())
        };
        assert_eq!((read.code, read.lines.len()), (reply.code, reply.lines.len()));
        assert!(matches!(again.next_event(), Ok(None)), "nothing hides behind it: {}", out.escape_ascii());
    }
}

/// Addresses: what is accepted could have been written in this one way only.
pub fn host_port(data: &[u8]) {
    let text = data;
    if let Ok(addr) = parse_port(text) {
        let std::net::SocketAddr::V4(v4) = addr.0 else { panic!("PORT is for IPv4") };
        assert_eq!(emit_port(v4).as_bytes(), text);
    }
    if let Ok(addr) = parse_eprt(text) {
        assert_ne!(addr.0.port(), 0);
        let emitted = emit_eprt(addr.0);
        assert_eq!(parse_eprt(emitted.as_bytes()), Ok(addr));
        let delimiter = text.first().copied().expect("there is a delimiter");
        let plain: Vec<u8> = text.iter().map(|&byte| if byte == delimiter { b'|' } else { byte }).collect();
        assert!(addr.0.is_ipv6() || plain == emitted.as_bytes());
    }
    if let Ok(addr) = parse_227(text) {
        let std::net::SocketAddr::V4(v4) = addr.0 else { panic!("227 is for IPv4") };
        let numbers = emit_port(v4);
        assert!(text.windows(numbers.len()).any(|window| window == numbers.as_bytes()));
        assert_eq!(text.iter().filter(|byte| byte.is_ascii_digit()).count(), numbers.len() - 5);
        assert_eq!(parse_227(emit_227(v4).as_bytes()), Ok(addr));
    }
    if let Ok(port) = parse_229(text) {
        assert_ne!(port, 0);
        assert_eq!(parse_229(emit_229(port).as_bytes()), Ok(port));
    }
}

/// What clients send; the second byte of a step picks one.
const CLIENT: &[&str] = &[
    "USER alice",
    "PASS secret",
    "ACCT x",
    "PASV",
    "EPSV",
    "EPSV ALL",
    "PORT 198,51,100,10,200,1",
    "PORT 192,0,2,66,200,1",
    "EPRT |1|198.51.100.10|51201|",
    "EPRT |2|2001:db8:c::10|51201|",
    "RETR f",
    "STOR f",
    "LIST",
    "ABOR",
    "STAT",
    "NOOP",
    "QUIT",
    "REIN",
    "FEAT",
    "AUTH TLS",
    "XYZZY",
    "SITE EXEC x",
    "PWD",
    "PASV x",
    "RETR",
    "?",
    "GET / HTTP/1.1",
    "CWD \u{1b}[2J",
    "STOU",
    "ALGS x",
    "PASV\r\nRETR f\r\nQUIT",
    "USER a\r\nPASS b\r\nPASV",
    "PBSZ 0",
    "PROT P",
    "PROT C",
    "PROT S",
    "AUTH SSL",
    "CCC",
    "PBSZ 0\r\nPROT P\r\nPASV\r\nSTOR f",
    "AUTH TLS\r\nUSER a",
];

/// What servers send.
const SERVER: &[&str] = &[
    "220 hi",
    "120 wait",
    "331 password",
    "332 account",
    "230 in",
    "202 superfluous",
    "530 no",
    "227 Entering Passive Mode (10,0,0,5,160,2)",
    "227 (192,0,2,66,160,2)",
    "227 (10,0,0,5,0,22)",
    "229 ok (|||40962|)",
    "229 ok (|||22|)",
    "200 ok",
    "250 ok",
    "150 here",
    "125 here",
    "110 MARK 1 = 1",
    "226 done",
    "426 cut",
    "225 aborted",
    "425 no",
    "450 no",
    "500 no",
    "502 no",
    "550 no",
    "221 bye",
    "421 closing",
    "211-x\r\n AUTH TLS\r\n211 end",
    "213-x\r\n227 (10,0,0,5,160,3)\r\n213 end",
    "226-x\r\n200 y",
    "200 ok\r\n226 done",
    "no reply",
    "234 go",
    "234 go\r\n200 ok",
    "200 ok\r\n200 ok",
    "536 no",
];

#[derive(Debug, Clone)]
enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    Connect(u64),
    Join(u64),
    Deliver(u64),
    Close(u64, Option<Reason>),
    Wait(u64),
    Fail,
    AnswerLater,
    AnswerOpen,
    ClientCloses,
    ServerCloses,
    Drain,
    Stop,
}

/// A session: any dialogue, any events, any times, TLS or none. [`Pair`] checks the invariants; here the same bytes
/// are cut in another way and have to give the same.
pub fn session(data: &[u8]) {
    let Some((&[first, second], rest)) = data.split_first_chunk() else { return };
    let policy = Policy {
        preset: if second & 1 == 1 { Preset::Any } else { Preset::Rw },
        require_login: second & 2 == 0,
        tolerate: Tolerances {
            bare_lf: first & 4 == 4,
            reused_port: first & 8 == 8,
            unpadded_multiline: first & 16 == 16,
            auth_ssl: first & 128 == 128,
            ..Tolerances::default()
        },
        tls: tls(first, second),
        ..Policy::default()
    };
    let legs = legs(if first & 1 == 1 { 6 } else { 4 }, if first & 2 == 2 { 6 } else { 4 });
    let steps = steps(rest);
    let bits = || rest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte));
    let handshakes = if first & 128 == 128 { bits() } else { u64::MAX };
    let play = |piece: usize| {
        let mut pair = match second & 128 {
            128 if policy.tls != Tls::Deny => Pair::implicit(policy.clone()),
            _ => Pair::between(policy.clone(), legs),
        };
        pair.at_once = Some(handshakes);
        if first & 32 == 32 && policy.tls == Tls::Deny {
            pair = pair.log_in();
        }
        for step in &steps {
            take(&mut pair, step, piece);
        }
        end(&mut pair);
        let events: Vec<_> = pair.events.iter().map(|event| format!("{event:?}")).collect();
        (pair.client_bytes, pair.server_bytes, pair.urgent, pair.trace, events)
    };
    let whole = play(usize::MAX);
    let (single, eleven) = (play(1), play(11));
    // Where a handshake begins, the cut decides whether the engine or the handshake meets what comes behind.
    if !whole.3.iter().any(|line| line == "violation plaintext-after-auth") {
        assert_eq!(single, whole);
        assert_eq!(eleven, whole);
    }
}

/// What the first two bytes of the input make of FTPS.
fn tls(first: u8, second: u8) -> Tls {
    if second & 4 == 0 {
        return Tls::Deny;
    }
    let upstream = match second >> 3 & 3 {
        0 => UpstreamTls::None,
        1 => UpstreamTls::Explicit,
        2 => UpstreamTls::Implicit,
        _ => UpstreamTls::AsClient,
    };
    let min_protection = match second >> 5 & 3 {
        0 => MinProtection::Private,
        1 => MinProtection::Control,
        _ => MinProtection::Clear,
    };
    let passthrough = first & 64 == 64 && upstream != UpstreamTls::None;
    Tls::Terminate(Terminate { upstream, min_protection, passthrough, ..Terminate::default() })
}

/// Two bytes a step; what goes the same way is joined.
fn steps(data: &[u8]) -> Vec<Step> {
    let mut data: VecDeque<u8> = data.iter().copied().take(400).collect();
    let mut steps: Vec<Step> = Vec::new();
    while let (Some(op), Some(value)) = (data.pop_front(), data.pop_front()) {
        let line = |lines: &[&str]| format!("{}\r\n", lines[usize::from(value) % lines.len()]).into_bytes();
        let mut raw = || data.drain(..usize::from(value % 32).min(data.len())).collect::<Vec<u8>>();
        let step = match op % 16 {
            0..=4 => Step::Client(line(CLIENT)),
            5..=9 => Step::Server(line(SERVER)),
            10 => Step::Client(raw()),
            11 => Step::Server(raw()),
            12 if value < 128 => Step::Connect(u64::from(value % 8)),
            12 if value < 192 => Step::Join(u64::from(value % 8)),
            12 => Step::Deliver(u64::from(value % 8)),
            13 if value < 128 => Step::Close(u64::from(value % 8), None),
            13 => {
                let reasons =
                    [Reason::DataTls, Reason::DataTruncated, Reason::UpstreamDataTls, Reason::DataReset];
                Step::Close(u64::from(value % 8), Some(reasons[usize::from(value >> 3) % 4]))
            }
            14 => Step::Wait([1, 10, 30, 60, 900, 7200, 100_000, 0][usize::from(value % 8)]),
            _ => match value % 7 {
                0 => Step::Fail,
                1 => Step::AnswerLater,
                2 => Step::AnswerOpen,
                3 => Step::ClientCloses,
                4 => Step::ServerCloses,
                5 => Step::Drain,
                _ => Step::Stop,
            },
        };
        match (steps.last_mut(), step) {
            (Some(Step::Client(before)), Step::Client(bytes)) => before.extend(bytes),
            (Some(Step::Server(before)), Step::Server(bytes)) => before.extend(bytes),
            (_, step) => steps.push(step),
        }
    }
    steps
}

fn take(pair: &mut Pair, step: &Step, piece: usize) {
    match step {
        Step::Client(bytes) => bytes.chunks(piece.min(bytes.len().max(1))).for_each(|bytes| {
            pair.client_raw(bytes);
        }),
        Step::Server(bytes) => bytes.chunks(piece.min(bytes.len().max(1))).for_each(|bytes| {
            pair.server_raw(bytes);
        }),
        Step::Connect(id) => drop_ref(pair.connect(*id)),
        Step::Join(id) => drop_ref(pair.data(*id, DataEvent::Joined)),
        Step::Deliver(id) => drop_ref(pair.data(*id, DataEvent::Delivered { notified: *id < 4 })),
        Step::Close(id, reason) => drop_ref(pair.close_for(*id, 1, 2, *reason)),
        Step::Wait(seconds) => drop_ref(pair.wait(Duration::from_secs(*seconds))),
        Step::Fail => pair.fail.push_back(OpenError::Backend),
        Step::AnswerLater => pair.answer_later = true,
        Step::AnswerOpen => drop_ref(pair.answer_open()),
        Step::ClientCloses => drop_ref(pair.client_closes()),
        Step::ServerCloses => drop_ref(pair.server_closes()),
        Step::Drain => drop_ref(pair.drain()),
        Step::Stop => drop_ref(pair.stop()),
    }
}

fn drop_ref(_: &mut Pair) {}

/// Left alone, every session comes to its end by itself, and takes its pinholes along.
fn end(pair: &mut Pair) {
    pair.answer_open();
    for id in pair.pinhole_ids() {
        pair.close(id, 0, 0);
    }
    pair.wait(Duration::from_secs(1_000_000));
    pair.answer_open();
    assert!(pair.is_over(), "a session that never ends: {:?}", pair.session);
    assert_eq!(pair.open_pinholes(), 0, "a pinhole that outlives its session");
}

/// Captures: whatever the file holds, memory stays within its limits, and every connection that begins ends
/// once, with nothing after it.
pub fn capture(data: &[u8]) {
    let limits =
        Limits { connections: 4, direction_bytes: 512, total_bytes: 2048, linger: Duration::from_secs(1) };
    let mut flows = Flows::new(limits);
    let mut decoder = Decoder::default();
    let mut ledger = Ledger::default();
    let Ok(mut reader) = Reader::new(Cursor::new(data.to_vec())) else { return };
    while let Ok(Some(frame)) = reader.next() {
        assert!(frame.length >= frame.data.len());
        let Some(link) = Link::from_dlt(frame.link_type) else { continue };
        let at = Timestamp::from_origin(frame.at);
        if let Decoded::Segment(segment) = decoder.decode(link, at, frame.data, frame.length) {
            flows.handle(at, &segment, &mut ledger);
            assert!(flows.memory() <= limits.total_bytes && flows.len() <= limits.connections);
        }
    }
    flows.finish(&mut ledger);
    assert_eq!(flows.memory(), 0);
    assert!(ledger.0.values().all(|state| *state == Known::Over));
}

/// The connections of a capture, each with what is wanted of it.
#[derive(Default)]
struct Ledger(HashMap<FlowId, Known>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Open(Interest),
    Over,
}

impl Sink for Ledger {
    fn opened(&mut self, flow: FlowId, connection: Connection) -> Interest {
        let odd = connection.from.port() & 1 == 1;
        let interest = if odd { Interest::Bytes } else { Interest::CountOnly };
        assert_eq!(self.0.insert(flow, Known::Open(interest)), None, "named once");
        interest
    }

    fn bytes(&mut self, flow: FlowId, _: Direction, bytes: &[u8]) -> Interest {
        assert!(!bytes.is_empty());
        assert_eq!(self.0.get(&flow), Some(&Known::Open(Interest::Bytes)));
        let interest = if bytes.contains(&b'!') { Interest::CountOnly } else { Interest::Bytes };
        self.0.insert(flow, Known::Open(interest));
        interest
    }

    fn event(&mut self, flow: FlowId, event: FlowEvent) {
        assert!(matches!(self.0.get(&flow), Some(Known::Open(_))), "{event:?} of a connection that is over");
        match event {
            FlowEvent::Gap { bytes, .. } | FlowEvent::Conflict { bytes, .. } => assert!(bytes > 0),
            FlowEvent::Fin { .. } | FlowEvent::StrayReset { .. } => {}
            FlowEvent::Closed { .. } => {
                self.0.insert(flow, Known::Over);
            }
        }
    }
}

/// Replays: whatever the capture holds, each session that opens closes once, each pinhole ends at most once, records
/// come in the order of frames, and nothing that is written for people holds a control byte (P10).
pub fn replay(data: &[u8]) {
    let Ok(mut reader) = Reader::new(Cursor::new(data.to_vec())) else { return };
    let mut replay = Replay::new(None, true);
    let (mut frames, mut open, mut pinholes) = (0, HashSet::new(), HashSet::new());
    let mut check = |replay: &mut Replay| {
        while let Some(Seen { record, frame }) = replay.poll_record() {
            assert!(frame >= frames);
            frames = frame;
            let json = record.json();
            assert!(!json.chars().any(char::is_control), "{json}");
            let session = record.context.as_ref().map(|context| context.session);
            match record.event.kind {
                EventKind::SessionOpened => assert!(open.insert(session)),
                EventKind::SessionClosed => assert!(open.remove(&session)),
                EventKind::PinholeOpened => assert!(pinholes.insert(record.event.pinhole)),
                EventKind::PinholeClosed | EventKind::PinholeExpired | EventKind::PinholeRevoked => {
                    assert!(pinholes.remove(&record.event.pinhole));
                }
                _ => {}
            }
        }
        while replay.poll_sent().is_some() {}
    };
    while let Ok(Some(frame)) = reader.next() {
        replay.handle_frame(&frame);
        check(&mut replay);
    }
    replay.finish();
    check(&mut replay);
    assert!(open.is_empty(), "{open:?}");
    let _ = suggest(replay.summary());
}
