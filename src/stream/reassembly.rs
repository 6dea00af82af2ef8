//! One direction's bytes, put in order.
//!
//! Places in the stream are offsets: 64 bits that do not wrap, 0 at the first byte. Of two copies of a byte
//! the one that came first is kept, whether it was delivered or waits.

use std::collections::{BTreeMap, VecDeque};

/// The next thing to tell about a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Bytes(&'a [u8]),
    Gap(u64),
    Conflict(u64),
}

/// What waits for bytes before it, and what may yet be contradicted.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    /// Everything before this was delivered or given up.
    next: i64,
    /// Bytes behind a hole, by offset; ranges do not overlap.
    held: BTreeMap<i64, Vec<u8>>,
    /// What `held` costs in bytes of memory.
    held_cost: usize,
    /// Bytes up to `next` that the receiver has not acknowledged. Another copy of these may be the one that
    /// the receiver takes; of what it acknowledged it takes none.
    unacked: VecDeque<u8>,
}

impl Reassembly {
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Bytes of memory in use.
    pub(super) fn memory(&self) -> usize {
        self.held_cost + self.unacked.len()
    }

    /// Takes the bytes at `offset`: what is old is compared, what is next delivered, the rest held.
    pub(super) fn insert(&mut self, offset: i64, bytes: &[u8], emit: &mut impl FnMut(Piece<'_>)) {
        let mut differing = self.differing_from_delivered(offset, bytes);
        let start = offset.max(self.next);
        let fresh = skip(bytes, start - offset);
        let in_order = self.held.is_empty() && start == self.next;
        if !in_order {
            differing += self.hold(start, fresh);
        }
        if differing > 0 {
            emit(Piece::Conflict(differing));
        }
        match in_order {
            true => self.deliver(fresh, emit),
            false => self.drain(emit),
        }
    }

    /// Gives up holes that can no longer be filled: the receiver has acknowledged what is behind them, or
    /// more than `limit` bytes of memory wait.
    pub(super) fn release(&mut self, acked: i64, limit: usize, emit: &mut impl FnMut(Piece<'_>)) {
        while let Some((&first, _)) = self.held.first_key_value() {
            if acked < first && self.held_cost <= limit {
                break;
            }
            self.skip_to(first, emit);
            self.drain(emit);
        }
        let acked = distance(self.next, acked);
        let kept = self.unacked.len().min(acked).min(limit.saturating_sub(self.held_cost));
        self.unacked.drain(..self.unacked.len() - kept);
        if self.unacked.capacity() > 4 * kept.max(SPARE) {
            self.unacked = self.unacked.drain(..).collect();
        }
    }

    /// Gives up what is missing before `offset`, once nothing is held.
    pub(super) fn give_up_to(&mut self, offset: i64, emit: &mut impl FnMut(Piece<'_>)) {
        if self.held.is_empty() {
            self.skip_to(offset, emit);
        }
    }

    /// How many bytes differ from those that were delivered and not acknowledged.
    fn differing_from_delivered(&self, offset: i64, bytes: &[u8]) -> u64 {
        if offset >= self.next {
            return 0;
        }
        let start = self.next - length(self.unacked.len());
        let known = self.unacked.iter().skip(distance(offset, start));
        let again = skip(bytes, start - offset);
        count(known.zip(again).filter(|(known, again)| known != again))
    }

    /// Holds those of `bytes` that are not held yet; says how many others differ.
    fn hold(&mut self, start: i64, bytes: &[u8]) -> u64 {
        let (mut at, mut rest, mut differing) = (start, bytes, 0);
        while !rest.is_empty() {
            let before = self.held.range(..=at).next_back();
            let there = before.map(|(from, piece)| skip(piece, at - from)).filter(|there| !there.is_empty());
            let taken = match there {
                Some(there) => {
                    differing += count(there.iter().zip(rest).filter(|(there, again)| there != again));
                    there.len().min(rest.len())
                }
                None => self.hold_up_to_the_next(at, rest),
            };
            rest = rest.get(taken..).unwrap_or_default();
            at += length(taken);
        }
        differing
    }

    /// Holds `bytes` as far as nothing is held; returns how many that were, at least 1.
    fn hold_up_to_the_next(&mut self, at: i64, bytes: &[u8]) -> usize {
        let room = self.held.range(at..).next().map_or(usize::MAX, |(from, _)| distance(*from, at));
        let piece = bytes.get(..room).unwrap_or(bytes);
        self.held.insert(at, piece.to_vec());
        self.held_cost += piece.len() + PIECE_COST;
        piece.len()
    }

    fn drain(&mut self, emit: &mut impl FnMut(Piece<'_>)) {
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() <= self.next) {
            let piece = first.remove();
            self.held_cost -= piece.len() + PIECE_COST;
            self.deliver(&piece, emit);
        }
    }

    fn deliver(&mut self, bytes: &[u8], emit: &mut impl FnMut(Piece<'_>)) {
        if !bytes.is_empty() {
            self.next += length(bytes.len());
            self.unacked.extend(bytes);
            emit(Piece::Bytes(bytes));
        }
    }

    fn skip_to(&mut self, offset: i64, emit: &mut impl FnMut(Piece<'_>)) {
        if let Ok(bytes @ 1..) = u64::try_from(offset - self.next) {
            self.unacked.clear();
            self.next = offset;
            emit(Piece::Gap(bytes));
        }
    }
}

/// What follows the first `count` of `bytes`; all of them when that is negative.
fn skip(bytes: &[u8], count: i64) -> &[u8] {
    bytes.get(distance(count, 0)..).unwrap_or_default()
}

/// How far `offset` is beyond `origin`; 0 when it is not.
pub(super) fn distance(offset: i64, origin: i64) -> usize {
    usize::try_from((offset - origin).max(0)).unwrap_or(usize::MAX)
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    items.fold(0, |count, _| count + 1)
}

/// A length as a step between offsets.
pub(super) fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Memory that a stream keeps for bytes to come, whatever it held before.
const SPARE: usize = 256;

/// Memory of a held piece besides its bytes, so that many small pieces are bounded too.
const PIECE_COST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Stream(Reassembly);

    impl Stream {
        fn after(&mut self, act: impl FnOnce(&mut Reassembly, &mut dyn FnMut(Piece<'_>))) -> String {
            let mut log = Vec::new();
            act(&mut self.0, &mut |piece| {
                log.push(match piece {
                    Piece::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    Piece::Gap(bytes) => format!("gap {bytes}"),
                    Piece::Conflict(bytes) => format!("conflict {bytes}"),
                });
            });
            log.join(",")
        }

        fn insert(&mut self, offset: i64, text: &str) -> String {
            self.after(|stream, mut emit| stream.insert(offset, text.as_bytes(), &mut emit))
        }

        fn release(&mut self, acked: i64, limit: usize) -> String {
            self.after(|stream, mut emit| stream.release(acked, limit, &mut emit))
        }
    }

    #[test]
    fn bytes_come_in_order_and_once() {
        let mut stream = Stream::default();
        assert_eq!(stream.insert(0, "ab"), "ab");
        assert_eq!(stream.insert(4, "ef"), "");
        assert_eq!(stream.insert(0, "abc"), "c");
        assert_eq!(stream.insert(2, "cdef"), "d,ef");
        assert_eq!(stream.insert(-1, "?abcdefg"), "g");
    }

    #[test]
    fn the_first_copy_wins_over_each_later_one() {
        let mut stream = Stream::default();
        stream.insert(0, "ab");
        assert_eq!(stream.insert(1, "XY"), "conflict 1,Y", "delivered");
        stream.insert(4, "ef");
        stream.insert(8, "ij");
        assert_eq!(stream.insert(3, "DEFGHIJ"), "conflict 4,D,ef,GH,ij", "held");
    }

    #[test]
    fn what_the_receiver_has_is_not_compared() {
        let mut stream = Stream::default();
        stream.insert(0, "abcd");
        stream.release(3, 100);
        assert_eq!(stream.insert(0, "XXXd"), "");
        assert_eq!(stream.insert(0, "XXXX"), "conflict 1");
    }

    #[test]
    fn a_hole_is_given_up_when_the_receiver_has_what_is_behind_it() {
        let mut stream = Stream::default();
        stream.insert(3, "d");
        stream.insert(7, "h");
        assert_eq!(stream.release(2, 1000), "");
        assert_eq!(stream.release(3, 1000), "gap 3,d");
        assert_eq!(stream.release(9, 1000), "gap 3,h");
        assert_eq!(stream.insert(0, "abc"), "", "too late");
    }

    #[test]
    fn memory_is_bounded_by_giving_up_the_first_holes() {
        let mut stream = Stream::default();
        for offset in 1..=3 {
            stream.insert(offset * 10, "x");
        }
        assert_eq!(stream.release(0, 2 * (1 + PIECE_COST)), "gap 10,x");
        assert!(stream.0.memory() <= 2 * (1 + PIECE_COST));
        assert_eq!(stream.release(0, 0), "gap 9,x,gap 9,x");
        assert_eq!(stream.0.memory(), 0);
    }

    #[test]
    fn memory_goes_with_the_bytes() {
        let mut stream = Stream::default();
        stream.insert(0, &"x".repeat(60_000));
        stream.release(60_000, 100_000);
        assert!(stream.0.unacked.capacity() <= 4 * SPARE);
    }
}
