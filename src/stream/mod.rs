//! TCP connections out of segments: byte streams in order, what is missing from them, and how they end.
//!
//! [`Flows`] takes segments in the order of the capture and tells a [`Sink`] what they mean. A capture is
//! not the connection: it may begin late, lose packets or hold forged ones. So nothing is guessed: bytes
//! that are missing are a gap, copies that differ are a conflict, of which the first is kept, and a count
//! that is not certain is `None`. Knows no FTP and no frames. Used by the shells that read captures. RFC
//! 9293, 5961, 7413.

mod event;
mod flow;
mod flows;
mod half;
mod lru;
mod reassembly;

pub use event::{Connection, Direction, End, FlowEvent, FlowId, Interest, Sink};
pub use flows::{Flows, Limits};
