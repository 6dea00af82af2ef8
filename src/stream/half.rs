//! One direction of a connection: sequence numbers, counts, and its bytes if they are wanted.

use crate::packet::Segment;

use super::reassembly::{Piece, Reassembly, distance, length};

/// One direction. Offsets are places in its stream, 0 at the first byte; the SYN is at -1.
#[derive(Debug)]
pub(super) struct Half {
    /// The sequence number of offset 0, once it is known.
    origin: Option<u32>,
    /// Whether offset 0 is where the stream began: its SYN is there.
    complete: bool,
    /// Whether segments contradict each other about the length.
    doubtful: bool,
    /// The end of what was sent, a FIN included, as far as it was seen.
    high: i64,
    /// The end of what the other side has acknowledged.
    acked: i64,
    /// The end of the stream.
    fin: Option<i64>,
    /// Whether everything up to the FIN is dealt with.
    over: bool,
    /// `None` when bytes are only counted.
    bytes: Option<Reassembly>,
}

impl Half {
    pub(super) fn new() -> Self {
        Self {
            origin: None,
            complete: false,
            doubtful: false,
            high: 0,
            acked: 0,
            fin: None,
            over: false,
            bytes: Some(Reassembly::default()),
        }
    }

    /// Where `seq` is in the stream; `None` while nothing is known of it.
    fn offset(&self, seq: u32) -> Option<i64> {
        let near = self.bytes.as_ref().map_or(self.high, Reassembly::next);
        let step = seq.wrapping_sub(self.origin?).wrapping_sub(low_bits(near));
        Some(near + i64::from(step.cast_signed()))
    }

    /// Whether this stream begins with `syn`; `None` while nothing is known of it.
    pub(super) fn begins_with(&self, syn: &Segment<'_>) -> Option<bool> {
        self.offset(first_byte(syn)).map(|offset| offset == 0)
    }

    /// Whether anything but a SYN was sent.
    pub(super) fn has_begun(&self) -> bool {
        self.origin.is_some() && self.high > 0
    }

    /// Whether a sequence number of this stream was seen.
    pub(super) fn is_known(&self) -> bool {
        self.origin.is_some()
    }

    /// Whether everything up to the FIN is dealt with.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Bytes of memory in use.
    pub(super) fn memory(&self) -> usize {
        self.bytes.as_ref().map_or(0, Reassembly::memory)
    }

    /// Payload bytes; `None` when that is not certain.
    pub(super) fn count(&self) -> Option<u64> {
        self.fin.filter(|_| self.complete && !self.doubtful).and_then(|fin| u64::try_from(fin).ok())
    }

    pub(super) fn count_only(&mut self) {
        self.bytes = None;
    }

    /// The other side acknowledges what is before `ack`. What it could not have seen, it cannot
    /// acknowledge: such a number is forged, or the capture lost a packet. The latter is believed of a segment
    /// that `answers`: its bytes are taken for real, and so is what they answer.
    pub(super) fn acknowledge(&mut self, ack: u32, answers: bool) {
        self.origin.get_or_insert(ack);
        let farthest = self.high.saturating_add(if answers { MAX_WINDOW } else { 0 });
        if let Some(offset) = self.offset(ack).filter(|offset| *offset <= farthest) {
            self.acked = self.acked.max(offset);
            self.high = self.high.max(offset);
        }
    }

    /// Whether `segment` brings the bytes that come next.
    pub(super) fn continues_with(&self, segment: &Segment<'_>) -> bool {
        let next = self.bytes.as_ref().map(Reassembly::next);
        !segment.payload.is_empty() && next.is_some() && self.offset(first_byte(segment)) == next
    }

    /// Whether `segment` brings bytes right behind all that were sent.
    pub(super) fn goes_on_with(&self, segment: &Segment<'_>) -> bool {
        !segment.payload.is_empty() && self.offset(first_byte(segment)) == Some(self.high)
    }

    /// Takes a segment of this direction.
    pub(super) fn receive(&mut self, segment: &Segment<'_>, emit: &mut impl FnMut(Piece<'_>)) {
        self.origin.get_or_insert(first_byte(segment));
        let Some(offset) = self.offset(first_byte(segment)) else { return };
        self.complete |= segment.syn;
        let end = offset + length(segment.payload.len() + segment.missing);
        self.note_end(end, segment.fin);
        let room = self.fin.map_or(usize::MAX, |fin| distance(fin, offset));
        let payload = segment.payload.get(..room).unwrap_or(segment.payload);
        if let Some(bytes) = self.bytes.as_mut().filter(|_| !payload.is_empty()) {
            bytes.insert(offset, payload, emit);
        }
    }

    fn note_end(&mut self, end: i64, is_fin: bool) {
        // Bytes behind the end, two ends, or a step that no window allows: somebody lies about one of them.
        let beyond = self.fin.is_some_and(|fin| end > fin || is_fin && end != fin);
        let early = is_fin && self.fin.is_none() && end < self.high;
        self.doubtful |= beyond || early || end > self.high.saturating_add(MAX_WINDOW);
        if is_fin {
            self.fin.get_or_insert(end);
        }
        self.high = self.high.max(end + i64::from(is_fin));
    }

    /// Gives out what can be given out, within `limit` bytes of memory; `true` when that reaches the FIN.
    pub(super) fn settle(&mut self, limit: usize, emit: &mut impl FnMut(Piece<'_>)) -> bool {
        if let Some(bytes) = &mut self.bytes {
            bytes.release(self.acked, limit, emit);
            bytes.give_up_to(self.fin.map_or(self.acked, |fin| self.acked.min(fin)), emit);
        }
        let Some(fin) = self.fin.filter(|_| !self.over) else { return false };
        if let Some(bytes) = self.bytes.as_mut().filter(|_| self.acked >= fin) {
            bytes.give_up_to(fin, emit);
        }
        self.over = self.bytes.as_ref().is_none_or(|bytes| bytes.next() >= fin);
        self.over
    }

    /// Gives out everything that waits; `true` when that reaches the FIN.
    pub(super) fn give_up(&mut self, emit: &mut impl FnMut(Piece<'_>)) -> bool {
        self.acked = self.high;
        self.settle(0, emit)
    }

    /// Whether a RST at `seq` can be real: between what is acknowledged and what was sent, or a little
    /// behind that, where the capture may have lost a packet. `None` when it is not known where the stream is: it
    /// was never seen, or bytes are only counted and the capture may leave most of them out.
    pub(super) fn accepts_reset(&self, seq: u32) -> Option<bool> {
        let (offset, near) = (self.offset(seq)?, self.high + RESET_SLACK);
        let beyond = self.bytes.is_none() && offset > near && offset <= self.high + MAX_WINDOW;
        (!beyond).then(|| (self.acked..=near).contains(&offset))
    }

    /// Whether `ack` acknowledges what this side sent.
    pub(super) fn has_sent(&self, ack: u32) -> bool {
        self.offset(ack).is_some_and(|offset| (self.acked..=self.high).contains(&offset))
    }
}

/// The sequence number of the first byte, which a SYN precedes.
fn first_byte(segment: &Segment<'_>) -> u32 {
    segment.seq.wrapping_add(u32::from(segment.syn))
}

/// The low 32 bits, by which offsets and sequence numbers agree.
fn low_bits(offset: i64) -> u32 {
    let [_, _, _, _, low @ ..] = offset.to_be_bytes();
    u32::from_be_bytes(low)
}

/// The largest window that TCP allows, in bytes (RFC 7323 section 2.3).
const MAX_WINDOW: i64 = 1 << 30;

/// The largest window without scaling, in bytes.
const RESET_SLACK: i64 = 65_535;
