//! One connection that the kernel forwards, as far as its header copies tell: who, how far it got, how many bytes.
//!
//! Payload is the difference between the sequence numbers of SYN and FIN (RFC 9293 section 3.4), so it is
//! exact however often a segment was sent; those numbers wrap at 4 GiB, and only the number of whole turns is
//! taken from the kernel's counters, which hold headers and retransmissions as well.

use std::time::{Duration, Instant};

use super::elements::Way;
use crate::netlink::{Counter, Entry, Flow, HeaderCopy};
use crate::policy::TransferMode;

/// Below this age a connection cannot have carried 4 GiB: it would be 43 GB/s.
const TURN: Duration = Duration::from_millis(100);

/// The counters may say this much less than was sent, when headers are smaller than the last packet's, and
/// 3 GiB more, for what was sent again.
const SLACK: u64 = 1 << 30;

/// A connection through a pinhole.
#[derive(Debug)]
pub(super) struct Connection {
    /// Who dialled, with its port, and the gateway's address and port that it dialled.
    pub(super) flow: Flow,
    pub(super) began: Instant,
    /// The directions that its mark allows.
    pub(super) marked: Way,
    /// Whether the far end answered.
    pub(super) joined: bool,
    original: Stream,
    reply: Stream,
    moved: Moved,
}

/// One direction of it.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of the SYN.
    first: Option<u32>,
    /// The sequence number behind the last byte.
    end: Option<u32>,
    /// Bytes of headers of the packet that ended it.
    header: u64,
    /// Two packets said that they ended it, in different places.
    forged: bool,
}

/// What the kernel's counters said, and when they last said something new.
#[derive(Debug)]
struct Moved {
    bytes: u64,
    at: Instant,
}

impl Connection {
    /// A connection whose SYN was `copy`; `None`: nobody saw the SYN.
    pub(super) fn new(flow: Flow, marked: Way, copy: Option<&HeaderCopy>, now: Instant) -> Self {
        let first = copy.map(|copy| copy.seq);
        Self {
            flow,
            began: now,
            marked,
            joined: false,
            original: Stream { first, ..Stream::default() },
            reply: Stream::default(),
            moved: Moved { bytes: 0, at: now },
        }
    }

    /// The far end answered, though no copy of it came.
    pub(super) fn note_answer(&mut self) {
        self.joined = true;
    }

    /// Takes the copy of a SYN-ACK or FIN into account.
    pub(super) fn note(&mut self, copy: &HeaderCopy) {
        let stream = if copy.src == self.flow.src { &mut self.original } else { &mut self.reply };
        if copy.flags.syn {
            stream.first = Some(copy.seq);
            self.joined = true;
        }
        if let (true, Some(payload)) = (copy.flags.fin, copy.payload_bytes) {
            let end = copy.seq.wrapping_add(payload);
            stream.forged |= stream.end.is_some_and(|before| before != end);
            stream.end = Some(end);
            stream.header = u64::from(copy.header_bytes);
        }
    }

    /// Whether both ends have said that nothing more will come.
    pub(super) fn is_finished(&self) -> bool {
        self.original.end.is_some() && self.reply.end.is_some()
    }

    /// The payload of a finished connection, to the server and to the client; the kernel's `entry` is needed
    /// where it [may be long](Self::may_be_long).
    pub(super) fn payload(
        &self,
        mode: TransferMode,
        entry: Option<&Entry>,
        now: Instant,
    ) -> Option<(u64, u64)> {
        let long = self.may_be_long(now);
        let original = self.original.payload(entry.and_then(|entry| entry.original_counter), long)?;
        let reply = self.reply.payload(entry.and_then(|entry| entry.reply_counter), long)?;
        Some(match mode {
            TransferMode::Passive => (original, reply),
            TransferMode::Active => (reply, original),
        })
    }

    /// Whether it may have carried 4 GiB.
    pub(super) fn may_be_long(&self, now: Instant) -> bool {
        self.is_older(now, TURN)
    }

    /// Whether it began longer than `age` before `now`.
    pub(super) fn is_older(&self, now: Instant, age: Duration) -> bool {
        now.saturating_duration_since(self.began) > age
    }

    /// Takes note of the kernel's counters; says for how long nothing has moved.
    pub(super) fn idle(&mut self, bytes: u64, now: Instant) -> Duration {
        if bytes != self.moved.bytes {
            self.moved = Moved { bytes, at: now };
        }
        now.saturating_duration_since(self.moved.at)
    }

    /// From now on bytes are expected to move.
    pub(super) fn touch(&mut self, now: Instant) {
        self.moved.at = now;
    }
}

impl Stream {
    /// The payload; `counted` is what the kernel counted.
    fn payload(&self, counted: Option<Counter>, long: bool) -> Option<u64> {
        if self.forged {
            return None;
        }
        let low = u64::from(self.end?.wrapping_sub(self.first?).wrapping_sub(1));
        if !long {
            return Some(low);
        }
        let Counter { packets, bytes } = counted?;
        let estimate = bytes.saturating_sub(packets.saturating_mul(self.header));
        let turns = estimate.saturating_add(SLACK).saturating_sub(low) >> 32;
        low.checked_add(turns << 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::TcpFlags;

    fn flow() -> Flow {
        Flow { src: "198.51.100.10:40000".parse().unwrap(), dst: "203.0.113.1:50000".parse().unwrap() }
    }

    fn copy(from_dialler: bool, flags: &str, seq: u32, payload: u32) -> HeaderCopy {
        let (src, dst) = if from_dialler { (flow().src, flow().dst) } else { (flow().dst, flow().src) };
        let has = |flag| flags.contains(flag);
        let flags = TcpFlags { syn: has('s'), ack: has('a'), fin: has('f'), rst: has('r') };
        let (header_bytes, payload_bytes) = (52, Some(payload));
        HeaderCopy { src, dst, flags, seq, header_bytes, payload_bytes }
    }

    fn finished(first: u32, end: u32) -> Connection {
        let syn = copy(true, "s", 7, 0);
        let mut connection = Connection::new(flow(), Way::Hold, Some(&syn), Instant::now());
        connection.note(&copy(false, "sa", first, 0));
        assert!(connection.joined && !connection.is_finished());
        connection.note(&copy(false, "fa", end.wrapping_sub(10), 10));
        connection.note(&copy(true, "fa", 8, 0));
        assert!(connection.is_finished());
        connection
    }

    #[test]
    fn payload_is_what_lies_between_syn_and_fin() {
        let connection = finished(100, 1101);
        assert_eq!(connection.payload(TransferMode::Passive, None, connection.began), Some((0, 1000)));
        assert_eq!(connection.payload(TransferMode::Active, None, connection.began), Some((1000, 0)));
    }

    #[test]
    fn a_fin_that_another_contradicts_is_not_believed() {
        let syn = copy(true, "s", 100, 0);
        let mut connection = Connection::new(flow(), Way::Original, Some(&syn), Instant::now());
        connection.note(&copy(false, "sa", 500, 0));
        connection.note(&copy(true, "fa", 201, 0));
        // The far end never takes this one: its sequence number is in the window, but not next.
        connection.note(&copy(true, "fa", 50_201, 0));
        connection.note(&copy(false, "fa", 501, 0));
        let payload = connection.payload(TransferMode::Passive, None, connection.began);
        assert!(payload.is_none_or(|payload| payload == (100, 0)), "{payload:?}");
    }

    #[test]
    fn sequence_numbers_wrap() {
        let connection = finished(u32::MAX - 5, 10);
        assert_eq!(connection.payload(TransferMode::Passive, None, connection.began), Some((0, 15)));
    }

    #[test]
    fn whole_turns_come_from_the_counters_less_their_headers() {
        const FILE: u64 = 9_999_999_999;
        let packets = FILE / 1448;
        for resent in [0, 1 << 20, 2 << 30] {
            let counted = Counter { packets, bytes: FILE + packets * 52 + resent };
            let stream = Stream { first: Some(0), end: Some(1_410_065_408), header: 52, forged: false };
            assert_eq!(stream.payload(Some(counted), true), Some(FILE), "{resent} bytes sent again");
        }
        let stream = Stream { first: Some(0), end: Some(11), header: 52, forged: false };
        assert_eq!(stream.payload(Some(Counter { packets: 3, bytes: 166 }), true), Some(10));
    }

    #[test]
    fn what_was_not_seen_is_not_guessed() {
        let mut connection = Connection::new(flow(), Way::Hold, None, Instant::now());
        connection.note(&copy(false, "fa", 500, 0));
        connection.note(&copy(true, "fa", 600, 0));
        assert_eq!(connection.payload(TransferMode::Passive, None, connection.began), None);
        let stream = Stream { first: Some(0), end: Some(11), header: 52, forged: false };
        assert_eq!(stream.payload(None, true), None, "four gibibytes more or less");
    }
}
