//! All connections of a capture, in bounded memory.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::packet::Segment;
use crate::time::Timestamp;

use super::event::{End, FlowId, Sink};
use super::flow::{Flow, Room};
use super::lru::Lru;

/// What [`Flows`] may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; the one idle for longest leaves for a new one. At least 1.
    pub connections: usize,
    /// Bytes of one direction that wait for bytes before them, or for an acknowledgement.
    pub direction_bytes: usize,
    /// The same of all connections together.
    pub total_bytes: usize,
    /// How long the ports of a connection that is over are remembered, so that a late segment does not
    /// look like a connection without a beginning.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32_768,
            direction_bytes: 64 * 1024,
            total_bytes: 64 * 1024 * 1024,
            linger: Duration::from_secs(10),
        }
    }
}

/// The connections of a capture.
#[derive(Debug)]
pub struct Flows {
    limits: Limits,
    flows: Lru<Key, Flow>,
    /// Connections that are over, by when that was; as many as connections at most.
    over: VecDeque<(Timestamp, FlowId)>,
    /// Bytes that all connections hold.
    memory: usize,
    serial: u64,
}

/// The two ends, the lower one first.
type Key = (SocketAddr, SocketAddr);

impl Flows {
    /// No connections yet; there will be no more than `limits` allows.
    pub fn new(limits: Limits) -> Self {
        Self { limits, flows: Lru::new(), over: VecDeque::new(), memory: 0, serial: 0 }
    }

    /// Takes the next segment of the capture, of time `at`, and tells `sink` what it means.
    pub fn handle(&mut self, at: Timestamp, segment: &Segment<'_>, sink: &mut dyn Sink) {
        self.forget_over(at);
        let key = (segment.from.min(segment.to), segment.from.max(segment.to));
        let slot = match self.flows.touch(&key) {
            Some(slot) if self.is_replaced(slot, segment) => {
                self.remove(slot, End::Replaced, sink);
                Some(self.open(key, segment, sink))
            }
            Some(slot) => Some(slot),
            None if begins(segment) => Some(self.open(key, segment, sink)),
            None => None,
        };
        if let Some(slot) = slot {
            self.pass(at, slot, segment, sink);
        }
    }

    /// From now on the bytes of `flow` are only counted. Does nothing when it is over.
    pub fn count_only(&mut self, flow: FlowId) {
        if let Some(known) = self.flows.get_mut(flow.slot).filter(|known| known.id() == flow) {
            self.memory -= known.memory();
            known.count_only();
        }
    }

    /// The capture is over: gives out everything that waits and closes all connections, the one idle for
    /// longest first.
    pub fn finish(&mut self, sink: &mut dyn Sink) {
        while let Some(slot) = self.flows.oldest() {
            self.remove(slot, End::CaptureEnded, sink);
        }
        self.over.clear();
    }

    /// How many connections are known, those that ended a moment ago included.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait for others or may yet be contradicted; never more than [`Limits::total_bytes`].
    pub fn memory(&self) -> usize {
        self.memory
    }

    fn pass(&mut self, at: Timestamp, slot: usize, segment: &Segment<'_>, sink: &mut dyn Sink) {
        let Some(flow) = self.flows.get_mut(slot).filter(|flow| !flow.is_over()) else { return };
        let others = self.memory - flow.memory();
        let room = Room {
            direction: self.limits.direction_bytes,
            flow: self.limits.total_bytes.saturating_sub(others),
        };
        if let Some(end) = flow.handle(segment, room, sink) {
            flow.close(end, sink);
            self.over.push_back((at, flow.id()));
        }
        self.memory = others + flow.memory();
    }

    fn is_replaced(&mut self, slot: usize, segment: &Segment<'_>) -> bool {
        self.flows.get_mut(slot).is_some_and(|flow| flow.is_replaced_by(segment))
    }

    fn open(&mut self, key: Key, segment: &Segment<'_>, sink: &mut dyn Sink) -> usize {
        if self.flows.len() >= self.limits.connections
            && let Some(oldest) = self.flows.oldest()
        {
            self.remove(oldest, End::Evicted, sink);
        }
        self.serial += 1;
        let serial = self.serial;
        self.flows.insert(key, |slot| Flow::open(FlowId { serial, slot }, segment, sink))
    }

    fn remove(&mut self, slot: usize, end: End, sink: &mut dyn Sink) {
        let Some(mut flow) = self.flows.remove(slot) else { return };
        self.memory -= flow.memory();
        if !flow.is_over() {
            flow.close(end, sink);
        }
    }

    fn forget_over(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.over.front().copied() {
            if now.since(at) < self.limits.linger && self.over.len() <= self.limits.connections {
                break;
            }
            self.over.pop_front();
            if self.flows.get_mut(id.slot).is_some_and(|flow| flow.id() == id) {
                self.flows.remove(id.slot);
            }
        }
    }
}

/// Whether a connection can be known from `segment` on: it begins here, or carries bytes. A lone NUL is a
/// keepalive's.
fn begins(segment: &Segment<'_>) -> bool {
    let carries = segment.payload.len() + segment.missing > 0 && segment.payload != [0];
    !segment.rst && (segment.syn || carries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Connection, Direction, FlowEvent, Interest};

    struct Nobody;

    impl Sink for Nobody {
        fn opened(&mut self, _: FlowId, _: Connection) -> Interest {
            Interest::CountOnly
        }

        fn bytes(&mut self, _: FlowId, _: Direction, _: &[u8]) -> Interest {
            Interest::CountOnly
        }

        fn event(&mut self, _: FlowId, _: FlowEvent) {}
    }

    #[test]
    fn no_more_are_remembered_than_there_may_be_connections() {
        let mut flows = Flows::new(Limits { connections: 3, ..Limits::default() });
        for port in 1000..1100 {
            let [from, to] = [port, 21].map(|port| SocketAddr::from(([10, 0, 0, 5], port)));
            let syn = Segment {
                from,
                to,
                seq: 1,
                ack: None,
                syn: true,
                fin: false,
                rst: false,
                payload: &[],
                missing: 0,
            };
            let reset = Segment { seq: 2, syn: false, rst: true, ..syn };
            flows.handle(Timestamp::default(), &syn, &mut Nobody);
            flows.handle(Timestamp::default(), &reset, &mut Nobody);
            assert!(flows.over.len() <= 4);
        }
    }
}
