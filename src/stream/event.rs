//! What connections tell the caller, and what it answers.

use std::net::SocketAddr;

/// Names one connection; never used twice by one [`Flows`](super::Flows).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    pub(super) serial: u64,
    pub(super) slot: usize,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From [`Connection::from`] to [`Connection::to`].
    Original,
    /// The other way.
    Reply,
}

impl Direction {
    /// The other way.
    pub fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }
}

/// The ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Who sent the SYN; with `midstream`, who sent the first segment that is there.
    pub from: SocketAddr,
    /// The other end.
    pub to: SocketAddr,
    /// Whether the capture begins after the connection did, so that nobody knows who opened it.
    pub midstream: bool,
}

/// What the caller wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Its bytes, in order.
    Bytes,
    /// Only how many bytes there were. Final: a connection does not become interesting again.
    CountOnly,
}

/// What happened on a connection besides bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEvent {
    /// The capture lost bytes here; the next bytes are those behind them.
    Gap {
        /// Whose bytes are lost.
        direction: Direction,
        /// How many, at least 1.
        bytes: u64,
    },
    /// A segment brought other bytes for a place of the stream that had bytes. They were dropped.
    Conflict {
        /// Who sent both.
        direction: Direction,
        /// In how many bytes they differ, at least 1.
        bytes: u64,
    },
    /// One side sends no more.
    Fin {
        /// Which side.
        direction: Direction,
    },
    /// A RST that the receiver could not have believed; it was not acted on.
    StrayReset {
        /// Who seems to have sent it.
        direction: Direction,
    },
    /// The connection is over. Always the last event of a connection.
    Closed {
        /// How it ended.
        end: End,
        /// Payload bytes in direction [`Direction::Original`]; `None` unless the SYN and the FIN are there
        /// and agree with all between them.
        original: Option<u64>,
        /// The same for [`Direction::Reply`].
        reply: Option<u64>,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides sent a FIN.
    Finished,
    /// A RST.
    Reset {
        /// Who sent it.
        direction: Direction,
    },
    /// Its ports began another connection; the capture lacks the end.
    Replaced,
    /// There were too many connections, and this one was idle for longest.
    Evicted,
    /// The capture ended first.
    CaptureEnded,
}

/// Where events go.
pub trait Sink {
    /// A connection was seen for the first time; the answer says what is wanted of it.
    fn opened(&mut self, flow: FlowId, connection: Connection) -> Interest;

    /// The next bytes of one direction, in order; the answer says what is wanted from here on.
    fn bytes(&mut self, flow: FlowId, direction: Direction, bytes: &[u8]) -> Interest;

    /// Something else happened.
    fn event(&mut self, flow: FlowId, event: FlowEvent);
}
