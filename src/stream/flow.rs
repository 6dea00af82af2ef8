//! One connection: its two directions and what its segments mean together.

use crate::packet::Segment;

use super::event::{Connection, Direction, End, FlowEvent, FlowId, Interest, Sink};
use super::half::Half;
use super::reassembly::Piece;

/// One connection.
#[derive(Debug)]
pub(super) struct Flow {
    id: FlowId,
    connection: Connection,
    original: Half,
    reply: Half,
    interest: Interest,
    over: bool,
    /// Whose RST ended it.
    reset: Option<Direction>,
    /// A SYN that is not this connection's: who sent it, and its sequence number. If it is answered, these
    /// ports have begun another connection.
    successor: Option<(Direction, u32)>,
}

/// Bytes of memory that a connection may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// In each direction.
    pub(super) direction: usize,
    /// In both together.
    pub(super) flow: usize,
}

impl Flow {
    /// The connection that `segment` begins, or is the first known segment of.
    pub(super) fn open(id: FlowId, segment: &Segment<'_>, sink: &mut dyn Sink) -> Self {
        // Whoever answers a SYN did not send it.
        let (from, to) = match segment.syn && segment.ack.is_some() {
            true => (segment.to, segment.from),
            false => (segment.from, segment.to),
        };
        let connection = Connection { from, to, midstream: !segment.syn };
        let interest = sink.opened(id, connection);
        let mut flow = Self {
            id,
            connection,
            original: Half::new(),
            reply: Half::new(),
            interest: Interest::Bytes,
            over: false,
            reset: None,
            successor: None,
        };
        if interest == Interest::CountOnly {
            flow.count_only();
        }
        flow
    }

    pub(super) fn id(&self) -> FlowId {
        self.id
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Bytes of memory that wait for others, or may yet be contradicted.
    pub(super) fn memory(&self) -> usize {
        self.original.memory() + self.reply.memory()
    }

    pub(super) fn count_only(&mut self) {
        self.interest = Interest::CountOnly;
        self.original.count_only();
        self.reply.count_only();
    }

    /// Whether `segment` shows that another connection has the ports of this one. A SYN alone does that
    /// only when this one is over or was never answered: anybody can forge a SYN, but not its answer.
    pub(super) fn is_replaced_by(&mut self, segment: &Segment<'_>) -> bool {
        let direction = self.direction(segment);
        let reset = self.reset;
        let (sender, receiver) = self.halves(direction);
        let same = sender.begins_with(segment);
        let (another, unanswered) = (same == Some(false), !receiver.is_known() && !sender.has_begun());
        if reset == Some(direction) && sender.goes_on_with(segment) {
            // Nobody sends more after its own RST: that one was forged, or not believed.
            return true;
        }
        if self.over || !segment.syn {
            return segment.syn && same != Some(true);
        }
        match segment.ack {
            None if another && unanswered => true,
            None if another => {
                self.successor = Some((direction, segment.seq));
                false
            }
            None => false,
            Some(ack) => self.successor == Some((direction.opposite(), ack.wrapping_sub(1))),
        }
    }

    /// Takes a segment; `room` is what this connection may hold. Returns how it ended, if it did.
    pub(super) fn handle(&mut self, segment: &Segment<'_>, room: Room, sink: &mut dyn Sink) -> Option<End> {
        let direction = self.direction(segment);
        if segment.rst {
            return self.reset(direction, segment, sink);
        }
        let (sender, receiver) = self.halves(direction);
        if segment.syn && sender.begins_with(segment) == Some(false) {
            return None;
        }
        // First the acknowledgement: what the sender has received comes before what it answers.
        if let Some(ack) = segment.ack {
            receiver.acknowledge(ack, sender.continues_with(segment));
            let limit = room.beside(sender.memory());
            self.with(direction.opposite(), sink, |half, mut emit| half.settle(limit, &mut emit));
        }
        let limit = room.beside(self.halves(direction).1.memory());
        self.with(direction, sink, |half, mut emit| {
            half.receive(segment, &mut emit);
            half.settle(limit, &mut emit)
        });
        (self.original.is_over() && self.reply.is_over()).then_some(End::Finished)
    }

    /// Gives out everything that waits and reports the end.
    pub(super) fn close(&mut self, end: End, sink: &mut dyn Sink) {
        for direction in [Direction::Original, Direction::Reply] {
            self.with(direction, sink, |half, mut emit| half.give_up(&mut emit));
        }
        let (original, reply) = (self.original.count(), self.reply.count());
        sink.event(self.id, FlowEvent::Closed { end, original, reply });
        self.over = true;
        if let End::Reset { direction } = end {
            self.reset = Some(direction);
        }
        self.count_only();
    }

    fn reset(&mut self, direction: Direction, segment: &Segment<'_>, sink: &mut dyn Sink) -> Option<End> {
        let (sender, receiver) = self.halves(direction);
        // A RST that refuses a connection has no sequence number of its own; it acknowledges the SYN. One of a
        // stream whose place is not known can only be believed by what it acknowledges.
        let answers = || segment.ack.is_some_and(|ack| receiver.has_sent(ack));
        if sender.accepts_reset(segment.seq).unwrap_or_else(answers) {
            return Some(End::Reset { direction });
        }
        sink.event(self.id, FlowEvent::StrayReset { direction });
        None
    }

    /// Lets `act` work on one direction and passes on what it gives out, and its FIN if it returns `true`.
    fn with(
        &mut self,
        direction: Direction,
        sink: &mut dyn Sink,
        act: impl FnOnce(&mut Half, &mut dyn FnMut(Piece<'_>)) -> bool,
    ) {
        let (id, mut interest) = (self.id, self.interest);
        let (half, _) = self.halves(direction);
        let fin = act(half, &mut |piece| {
            if interest == Interest::Bytes {
                interest = pass_on(id, direction, piece, sink);
            }
        });
        if interest != self.interest {
            self.count_only();
        }
        if fin {
            sink.event(id, FlowEvent::Fin { direction });
        }
    }

    fn direction(&self, segment: &Segment<'_>) -> Direction {
        match segment.from == self.connection.from && segment.to == self.connection.to {
            true => Direction::Original,
            false => Direction::Reply,
        }
    }

    /// The direction itself and the other one.
    fn halves(&mut self, direction: Direction) -> (&mut Half, &mut Half) {
        match direction {
            Direction::Original => (&mut self.original, &mut self.reply),
            Direction::Reply => (&mut self.reply, &mut self.original),
        }
    }
}

impl Room {
    /// What one direction may hold when the other one holds `other` bytes.
    fn beside(self, other: usize) -> usize {
        self.direction.min(self.flow.saturating_sub(other))
    }
}

fn pass_on(id: FlowId, direction: Direction, piece: Piece<'_>, sink: &mut dyn Sink) -> Interest {
    match piece {
        Piece::Bytes(bytes) => return sink.bytes(id, direction, bytes),
        Piece::Gap(bytes) => sink.event(id, FlowEvent::Gap { direction, bytes }),
        Piece::Conflict(bytes) => sink.event(id, FlowEvent::Conflict { direction, bytes }),
    }
    Interest::Bytes
}
