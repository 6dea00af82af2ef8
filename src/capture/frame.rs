//! One frame of a capture.

use std::time::Duration;

/// One frame, valid until the next one is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number in this capture; the first one is 1.
    pub number: u64,
    /// When it was captured, since 1970 UTC. Captures need not be in order of time.
    pub at: Duration,
    /// The type of its link headers (tcpdump.org/linktypes.html).
    pub link_type: u32,
    /// The bytes that were captured.
    pub data: &'a [u8],
    /// How many bytes the frame had on the wire, at least those of `data`.
    pub length: usize,
}

/// A frame as its format has it.
pub(super) struct Packet<'a> {
    pub(super) at: Duration,
    pub(super) link_type: u32,
    pub(super) data: &'a [u8],
    pub(super) length: u32,
}
