//! TCP connections as a capture shows them: cut, out of order, doubled, contradicted, with holes. What is
//! delivered is the stream, and what is not certain is said.

use std::net::SocketAddr;
use std::time::Duration;

use ftp_pinhole::packet::Segment;
use ftp_pinhole::stream::{Connection, Direction, End, FlowEvent, FlowId, Flows, Interest, Limits, Sink};
use ftp_pinhole::time::Timestamp;
use proptest::prelude::*;

const CLIENT: &str = "198.51.100.7:1025";
const SERVER: &str = "10.0.0.5:21";

/// What a sink heard, as text: `>` is the original direction, `<` the other one.
#[derive(Default)]
struct Log {
    events: Vec<String>,
    /// Bytes delivered per direction.
    bytes: [Vec<u8>; 2],
    flows: Vec<FlowId>,
    count_only: bool,
    /// Turns to counting after this many bytes.
    enough: Option<usize>,
}

fn arrow(direction: Direction) -> char {
    if direction == Direction::Original { '>' } else { '<' }
}

impl Sink for Log {
    fn opened(&mut self, flow: FlowId, connection: Connection) -> Interest {
        let from = if connection.from == CLIENT.parse().unwrap() { "client" } else { "server" };
        let midstream = if connection.midstream { "midstream " } else { "" };
        self.events.push(format!("{midstream}opened by {from}"));
        self.flows.push(flow);
        if self.count_only { Interest::CountOnly } else { Interest::Bytes }
    }

    fn bytes(&mut self, _: FlowId, direction: Direction, bytes: &[u8]) -> Interest {
        self.events.push(format!("{}{}", arrow(direction), String::from_utf8_lossy(bytes)));
        self.bytes[direction as usize].extend(bytes);
        match self.enough {
            Some(enough) if self.bytes[0].len() >= enough => Interest::CountOnly,
            _ => Interest::Bytes,
        }
    }

    fn event(&mut self, _: FlowId, event: FlowEvent) {
        self.events.push(match event {
            FlowEvent::Gap { direction, bytes } => format!("{}gap {bytes}", arrow(direction)),
            FlowEvent::Conflict { direction, bytes } => format!("{}conflict {bytes}", arrow(direction)),
            FlowEvent::Fin { direction } => format!("{}fin", arrow(direction)),
            FlowEvent::StrayReset { direction } => format!("{}stray reset", arrow(direction)),
            FlowEvent::Closed { end, original, reply } => {
                let end = match end {
                    End::Reset { direction } => format!("reset {}", arrow(direction)),
                    other => format!("{other:?}").to_lowercase(),
                };
                format!("closed {end} {original:?} {reply:?}")
            }
        });
    }
}

/// A capture of one pair of ports. Sequence numbers are given from each side's ISN, which is near the end
/// of the numbers, so that every test wraps.
struct Capture {
    flows: Flows,
    log: Log,
    now: Timestamp,
    isn: [u32; 2],
}

/// One segment, by who sends it and what is in it.
#[derive(Clone, Copy, Default)]
struct Tcp<'a> {
    from_server: bool,
    seq: u32,
    ack: Option<u32>,
    flags: &'a str,
    payload: &'a [u8],
    missing: usize,
}

impl Capture {
    fn new() -> Self {
        Self::with(Limits::default(), Log::default())
    }

    fn with(limits: Limits, log: Log) -> Self {
        let isn = [u32::MAX - 2, u32::MAX];
        Self { flows: Flows::new(limits), log, now: Timestamp::default(), isn }
    }

    fn counting() -> Self {
        Self::with(Limits::default(), Log { count_only: true, ..Log::default() })
    }

    fn send(&mut self, tcp: Tcp<'_>) -> &mut Self {
        let [client, server]: [SocketAddr; 2] = [CLIENT.parse().unwrap(), SERVER.parse().unwrap()];
        let (from, to) = if tcp.from_server { (server, client) } else { (client, server) };
        let (mine, theirs) =
            if tcp.from_server { (self.isn[1], self.isn[0]) } else { (self.isn[0], self.isn[1]) };
        let segment = Segment {
            from,
            to,
            seq: mine.wrapping_add(tcp.seq),
            ack: tcp.ack.map(|ack| theirs.wrapping_add(ack)),
            syn: tcp.flags.contains('S'),
            fin: tcp.flags.contains('F'),
            rst: tcp.flags.contains('R'),
            payload: tcp.payload,
            missing: tcp.missing,
        };
        self.flows.handle(self.now, &segment, &mut self.log);
        assert!(self.flows.memory() <= Limits::default().total_bytes);
        self
    }

    /// A segment of the client; an `ack` of 0 is none.
    fn client(&mut self, flags: &str, seq: u32, ack: u32, text: &str) -> &mut Self {
        let ack = (ack > 0).then_some(ack);
        self.send(Tcp { seq, ack, flags, payload: text.as_bytes(), ..Tcp::default() })
    }

    /// The same of the server.
    fn server(&mut self, flags: &str, seq: u32, ack: u32, text: &str) -> &mut Self {
        let ack = (ack > 0).then_some(ack);
        self.send(Tcp { from_server: true, seq, ack, flags, payload: text.as_bytes(), ..Tcp::default() })
    }

    fn shake_hands(&mut self) -> &mut Self {
        self.client("S", 0, 0, "").server("S", 0, 1, "").client("", 1, 1, "")
    }

    fn opened() -> Self {
        let mut capture = Self::new();
        capture.shake_hands().heard("opened by client");
        capture
    }

    /// Says what came since the last time.
    fn heard(&mut self, expected: &str) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.log.events).join("; "), expected);
        self
    }

    fn finish(&mut self) -> &mut Self {
        self.flows.finish(&mut self.log);
        assert!(self.flows.is_empty());
        assert_eq!(self.flows.memory(), 0);
        self
    }

    fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now + Duration::from_secs(seconds);
        self
    }
}

#[test]
fn a_connection_from_syn_to_fin() {
    let mut capture = Capture::opened();
    capture.server("", 1, 1, "220 hi\r\n").client("", 1, 9, "QUIT\r\n").heard("<220 hi\r\n; >QUIT\r\n");
    capture.server("F", 9, 7, "221\r\n").heard("<221\r\n; <fin");
    capture.client("F", 7, 15, "").heard(">fin; closed finished Some(6) Some(13)");
    capture.server("", 15, 8, "").server("F", 9, 7, "221\r\n").client("R", 8, 0, "").heard("");
}

#[test]
fn data_in_the_syn_is_delivered_once() {
    let mut capture = Capture::new();
    capture.client("S", 0, 0, "USER").server("S", 0, 1, "").client("", 1, 1, "USER a");
    capture.heard("opened by client; >USER; > a");
}

#[test]
fn a_capture_that_lacks_the_syn_knows_who_answered_it() {
    let mut capture = Capture::new();
    capture.server("S", 0, 1, "").client("", 1, 1, "x").heard("opened by client; >x");
    capture.client("F", 2, 1, "").server("F", 1, 3, "");
    capture.heard(">fin; <fin; closed finished None Some(0)");
}

#[test]
fn a_connection_that_began_before_the_capture_has_no_counts() {
    let mut capture = Capture::new();
    capture.client("", 100, 300, "").client("F", 100, 300, "").client("R", 100, 0, "why").heard("");
    capture.server("", 300, 100, "200 ok").heard("midstream opened by server; >200 ok");
    capture.client("", 100, 306, "NOOP").heard("<NOOP");
    capture.finish().heard("closed captureended None None");
}

#[test]
fn keepalives_and_window_probes_are_no_data() {
    let mut capture = Capture::opened();
    capture.client("", 1, 1, "NOOP").server("", 1, 5, "").heard(">NOOP");
    capture.client("", 4, 1, "").client("", 4, 1, "\0").client("", 4, 1, "?").heard("");
    capture.client("", 5, 1, "x").client("", 5, 1, "x").client("", 5, 1, "xyz").heard(">x; >yz");
    let mut idle = Capture::new();
    idle.client("", 100, 300, "\0").heard("");
}

#[test]
fn a_hole_is_a_gap_once_the_receiver_has_what_is_behind_it() {
    let mut capture = Capture::opened();
    capture.client("", 4, 1, "def").server("", 1, 1, "").heard("");
    capture.server("", 1, 7, "200").heard(">gap 3; >def; <200");
    capture.client("", 1, 4, "abc").heard("");
}

#[test]
fn an_acknowledgement_of_bytes_that_nobody_sent_is_not_believed() {
    let mut capture = Capture::opened();
    capture.client("", 1, 1, "a").server("", 1, 90_000, "").heard(">a");
    capture.client("", 5, 1, "e").client("", 2, 1, "bcd").heard(">bcd; >e");
}

#[test]
fn bytes_cut_off_by_the_capture_are_a_gap() {
    let mut capture = Capture::opened();
    let cut = Tcp { seq: 1, ack: Some(1), payload: b"USER", missing: 12, ..Tcp::default() };
    capture.send(cut).server("", 1, 17, "331").client("", 17, 4, "PASS");
    capture.heard(">USER; >gap 12; <331; >PASS");
}

#[test]
fn a_hole_before_the_fin_is_a_gap_when_the_fin_is_acknowledged_or_all_is_over() {
    let mut capture = Capture::opened();
    capture.client("F", 4, 1, "").heard("");
    capture.server("", 1, 5, "").heard(">gap 3; >fin");
    let mut capture = Capture::opened();
    capture.client("", 3, 1, "c").client("F", 9, 1, "").finish();
    capture.heard(">gap 2; >c; >gap 5; >fin; closed captureended Some(8) None");
}

#[test]
fn the_first_copy_is_kept_and_another_one_reported() {
    let mut capture = Capture::opened();
    capture.client("", 1, 1, "PORT").client("", 1, 1, "PASV\r").heard(">PORT; >conflict 3; >\r");
    capture.server("", 1, 6, "").client("", 1, 1, "LIST\r").heard("");
}

#[test]
fn only_a_reset_that_fits_is_believed() {
    let mut capture = Capture::opened();
    capture.client("", 1, 1, "abc").server("", 1, 4, "").heard(">abc");
    for seq in [0, 3, 4 + 65_536 + 100, 1 << 31] {
        capture.client("R", seq, 0, "").heard(">stray reset");
    }
    capture.client("R", 4, 0, "").heard("closed reset > None None");
    let mut refused = Capture::new();
    refused.isn[1] = 0;
    refused.client("S", 0, 0, "").server("R", 0, 9, "").heard("opened by client; <stray reset");
    let mut refused = Capture::new();
    refused.client("S", 0, 0, "").server("R", 0, 1, "").heard("opened by client; closed reset < None None");
}

#[test]
fn a_syn_begins_another_connection_when_the_old_one_is_over_or_the_syn_is_answered() {
    let mut capture = Capture::opened();
    capture.client("S", 5000, 0, "").client("", 1, 1, "still here").heard(">still here");
    let forged = Tcp { from_server: true, seq: 7000, ack: Some(4999), flags: "S", ..Tcp::default() };
    capture.send(forged).heard("");
    capture.server("S", 7000, 5001, "").client("", 5001, 7001, "new");
    capture.heard("closed replaced None None; opened by client; >new");

    let mut capture = Capture::opened();
    capture.client("R", 1, 0, "").client("S", 0, 0, "").heard("closed reset > None None");
    capture.client("S", 90, 0, "").heard("opened by client");
    capture.client("S", 900, 0, "").heard("closed replaced None None; opened by client");
}

#[test]
fn the_ports_of_a_connection_that_is_over_are_remembered_for_a_while() {
    let mut capture = Capture::opened();
    capture.client("F", 1, 1, "").server("F", 1, 2, "").wait(9).client("", 1, 1, "late");
    assert_eq!(capture.flows.len(), 1);
    capture.wait(1).client("", 1, 1, "");
    assert_eq!(capture.flows.len(), 0);
}

#[test]
fn the_connection_idle_for_longest_is_evicted() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut flows = Flows::new(limits);
    let mut log = Log::default();
    let mut syn = |port: u16| {
        let from = SocketAddr::new([192, 0, 2, 1].into(), port);
        let syn = Segment {
            from,
            to: SERVER.parse().unwrap(),
            seq: 1,
            ack: None,
            syn: true,
            fin: false,
            rst: false,
            payload: &[],
            missing: 0,
        };
        flows.handle(Timestamp::default(), &syn, &mut log);
        flows.len()
    };
    assert_eq!([1, 2, 1, 3, 1].map(&mut syn), [1, 2, 2, 2, 2]);
    let opened = "opened by server";
    assert_eq!(log.events, [opened, opened, "closed evicted None None", opened]);
}

#[test]
fn nothing_comes_behind_the_fin() {
    let mut capture = Capture::opened();
    capture.client("F", 3, 1, "cd").client("", 1, 1, "abcdef").client("", 5, 1, "ef").heard(">ab; >cd; >fin");
    capture.server("F", 1, 6, "").heard("<fin; closed finished None Some(0)");
}

#[test]
fn memory_is_bounded_by_gaps() {
    let limits = Limits { direction_bytes: 1000, total_bytes: 1500, ..Limits::default() };
    let mut capture = Capture::with(limits, Log::default());
    capture.shake_hands();
    for i in 1..200 {
        capture.client("", 1 + i * 10, 1, "x").server("", 1 + i * 10, 1, "y");
        assert!(capture.flows.memory() <= 1500);
    }
    assert!(capture.log.events.iter().any(|event| event == ">gap 10"));
}

#[test]
fn interest_ends_in_an_answer_or_by_a_call() {
    let mut capture = Capture::with(Limits::default(), Log { enough: Some(3), ..Log::default() });
    capture.shake_hands().client("", 4, 1, "def").client("", 7, 1, "ghi").client("", 1, 1, "abc");
    capture.heard("opened by client; >abc");
    assert_eq!(capture.flows.memory(), 0);
    capture.client("F", 10, 1, "").server("F", 1, 11, "");
    capture.heard(">fin; <fin; closed finished Some(9) Some(0)");

    let mut capture = Capture::opened();
    capture.client("", 3, 1, "c");
    let flow = capture.log.flows[0];
    capture.flows.count_only(flow);
    assert_eq!(capture.flows.memory(), 0);
    capture.client("F", 1, 1, "abcdef").heard(">fin");
}

#[test]
fn a_count_is_exact_or_absent() {
    // Bytes lost by the capture are counted all the same: the FIN says how many there were.
    let mut capture = Capture::counting();
    capture.shake_hands().server("F", 5001, 1, "").client("F", 1, 5002, "");
    capture.heard("opened by client; <fin; >fin; closed finished Some(0) Some(5000)");
    let mut capture = Capture::counting();
    capture.shake_hands().client("F", 1, 1, "ab").client("", 1, 1, "abcdef").server("F", 1, 4, "");
    capture.heard("opened by client; >fin; <fin; closed finished None Some(0)");
    let mut capture = Capture::counting();
    capture.shake_hands().client("", 1, 1, "ab").client("R", 3, 1, "");
    capture.heard("opened by client; closed reset > None None");
}

#[test]
fn counts_go_beyond_32_bits() {
    let mut capture = Capture::counting();
    capture.shake_hands();
    let step = 1 << 29;
    for i in 0..20_u32 {
        let seq = 1_u32.wrapping_add(i.wrapping_mul(step));
        capture.send(Tcp { seq, ack: Some(1), missing: 1 << 29, ..Tcp::default() });
    }
    let seq = 1_u32.wrapping_add(20_u32.wrapping_mul(step));
    capture.send(Tcp { seq, ack: Some(1), flags: "F", ..Tcp::default() }).server("F", 1, 1, "");
    capture.heard("opened by client; >fin; <fin; closed finished Some(10737418240) Some(0)");
}

#[test]
fn a_count_is_exact_with_a_segment_now_and_then() {
    let mut capture = Capture::counting();
    capture.shake_hands();
    let step = 1 << 28;
    for i in 1..20_u32 {
        capture.send(Tcp { seq: i.wrapping_mul(step), ack: Some(1), missing: 1460, ..Tcp::default() });
    }
    capture.send(Tcp { seq: 20_u32.wrapping_mul(step), ack: Some(1), flags: "F", ..Tcp::default() });
    capture.server("F", 1, 1, "");
    capture.heard("opened by client; >fin; <fin; closed finished Some(5368709119) Some(0)");
}

#[test]
fn what_a_reset_acknowledges_tells_where_most_segments_are_not_captured() {
    let mut capture = Capture::counting();
    capture.shake_hands().heard("opened by client");
    let far = 200 << 20;
    capture.client("R", far, 0, "").client("R", far, 9, "").heard(">stray reset; >stray reset");
    capture.client("R", far, 1, "").heard("closed reset > None None");
}

/// Pieces of a stream of `length` bytes that cover it: cut, some doubled and overlapping, shuffled within
/// a window.
fn pieces(length: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    let cuts = proptest::collection::vec(1..40_usize, length);
    let extra = proptest::collection::vec((0..length, 1..60_usize, any::<bool>()), 0..20);
    (cuts, extra, proptest::collection::vec(0..8_usize, length * 2)).prop_map(
        move |(cuts, extra, shuffle)| {
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts {
                let end = length.min(at + cut);
                if at < end {
                    pieces.push((at, end));
                }
                at = end;
            }
            let extra = extra.into_iter().filter(|(.., wanted)| *wanted);
            pieces.extend(extra.map(|(at, size, _)| (at, length.min(at + size))));
            pieces.sort_unstable();
            let keys = pieces.iter().zip(shuffle).enumerate().map(|(i, (piece, late))| (i + late, *piece));
            let mut order: Vec<_> = keys.collect();
            order.sort_by_key(|(key, _)| *key);
            order.into_iter().map(|(_, piece)| piece).collect()
        },
    )
}

fn stream_and_pieces() -> impl Strategy<Value = (Vec<u8>, Vec<(usize, usize)>)> {
    proptest::collection::vec(any::<u8>(), 1..600).prop_flat_map(|stream| {
        let pieces = pieces(stream.len());
        (Just(stream), pieces)
    })
}

impl Capture {
    /// The client sends `bytes` from place `at` of its stream.
    fn piece(&mut self, at: usize, bytes: &[u8], flags: &str) -> &mut Self {
        self.send(Tcp { seq: at as u32 + 1, ack: Some(1), flags, payload: bytes, ..Tcp::default() })
    }

    fn sum_of(&self, event: &str) -> u64 {
        let counts = self.log.events.iter().filter_map(|line| line.strip_prefix(event));
        counts.map(|count| count.trim().parse::<u64>().unwrap()).sum()
    }
}

proptest! {
    #[test]
    fn however_it_is_cut_doubled_and_reordered_the_stream_is_delivered((stream, pieces) in stream_and_pieces()) {
        let mut capture = Capture::opened();
        for (from, to) in &pieces {
            capture.piece(*from, &stream[*from..*to], "");
        }
        prop_assert_eq!(&capture.log.bytes[0], &stream);
        prop_assert_eq!(capture.sum_of(">conflict") + capture.sum_of(">gap"), 0);
        capture.piece(stream.len(), &[], "F");
        prop_assert_eq!(capture.log.events.last().unwrap(), ">fin");
    }

    #[test]
    fn copies_that_differ_are_reported_and_one_stream_is_delivered(
        (stream, pieces) in stream_and_pieces(), forged in any::<prop::sample::Index>(), first in any::<bool>(),
    ) {
        let mut capture = Capture::opened();
        let forged = forged.index(pieces.len());
        let mut kept = vec![None; stream.len()];
        let mut differing = 0;
        for (i, (from, to)) in pieces.iter().enumerate() {
            let real = stream[*from..*to].to_vec();
            let other = real.iter().map(|byte| byte ^ 0x55).collect();
            let copies = match (i == forged, first) {
                (false, _) => vec![real],
                (true, true) => vec![other, real],
                (true, false) => vec![real, other],
            };
            for copy in copies {
                // A model of bytes with one owner each: whoever comes first.
                for (place, byte) in (*from..*to).zip(&copy) {
                    differing += u64::from(*kept[place].get_or_insert(*byte) != *byte);
                }
                capture.piece(*from, &copy, "");
            }
        }
        let kept: Vec<u8> = kept.into_iter().map(Option::unwrap).collect();
        prop_assert_eq!(&capture.log.bytes[0], &kept);
        prop_assert!(differing > 0);
        let conflicts: Vec<_> = capture.log.events.iter().filter(|event| event.starts_with(">conflict")).collect();
        prop_assert!(!conflicts.is_empty());
    }

    #[test]
    fn gaps_account_for_every_byte_that_is_lost(
        (stream, pieces) in stream_and_pieces(), lost in proptest::collection::vec(any::<bool>(), 600),
    ) {
        let mut capture = Capture::opened();
        let mut there = vec![false; stream.len()];
        for ((from, to), lost) in pieces.iter().zip(lost) {
            if !lost {
                capture.piece(*from, &stream[*from..*to], "");
                there[*from..*to].fill(true);
            }
        }
        capture.piece(stream.len(), &[], "F").finish();
        let expected: Vec<u8> = stream.iter().zip(&there).filter(|(_, there)| **there).map(|(byte, _)| *byte).collect();
        prop_assert_eq!(&capture.log.bytes[0], &expected);
        let missing = there.iter().filter(|there| !**there).count() as u64;
        prop_assert_eq!(capture.sum_of(">gap"), missing);
        let closed = format!("closed captureended Some({}) None", stream.len());
        prop_assert_eq!(capture.log.events.last().unwrap(), &closed);
    }

    #[test]
    fn counts_are_exact_under_reordering((stream, pieces) in stream_and_pieces(), fin in 0..20_usize) {
        let mut capture = Capture::counting();
        capture.shake_hands();
        let fin = pieces.len().saturating_sub(fin);
        for (i, (from, to)) in pieces.iter().enumerate() {
            if i == fin {
                capture.piece(stream.len(), &[], "F");
            }
            capture.piece(*from, &stream[*from..*to], "");
        }
        if fin == pieces.len() {
            capture.piece(stream.len(), &[], "F");
        }
        capture.server("F", 1, 1, "");
        let closed = format!("closed finished Some({}) Some(0)", stream.len());
        prop_assert_eq!(capture.log.events.last().unwrap(), &closed);
    }
}
