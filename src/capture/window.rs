//! A window onto the bytes of a capture, so that a frame is handed out where it was read.

use std::io::{self, ErrorKind, Read};

use super::error::CaptureError;
use super::source::Source;

/// Holds the bytes from the next block on. It has 1 MiB, and grows for a larger block only.
pub(super) struct Window {
    source: Source,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` is in the capture.
    offset: u64,
    ended: bool,
    cut: bool,
}

impl Window {
    pub(super) fn new(source: Source) -> Self {
        let buffer = vec![0; SIZE];
        Self { source, buffer, start: 0, end: 0, offset: 0, ended: false, cut: false }
    }

    /// The bytes that are there and not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Where the next byte is in the capture.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether the capture ended inside a block.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Reads until `count` bytes are there; `false` when the capture ends before.
    pub(super) fn require(&mut self, count: usize) -> Result<bool, CaptureError> {
        if count > MAX_BLOCK {
            return Err(CaptureError::TooLarge { offset: self.offset, bytes: count, limit: MAX_BLOCK });
        }
        if self.start + count > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            self.buffer.resize(self.buffer.len().max(count), 0);
        }
        while self.end - self.start < count && !self.ended {
            self.read()?;
        }
        let is_there = self.end - self.start >= count;
        self.cut |= !is_there && self.end > self.start;
        Ok(is_there)
    }

    /// Takes `count` bytes, which were required.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let taken = self.start;
        self.start = self.end.min(self.start + count);
        self.offset += u64::try_from(self.start - taken).unwrap_or(u64::MAX);
        self.buffer.get(taken..self.start).unwrap_or_default()
    }

    fn read(&mut self) -> io::Result<()> {
        match self.source.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
            Ok(0) => self.ended = true,
            Ok(bytes) => self.end += bytes,
            // The compressed data stops short.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => (self.ended, self.cut) = (true, true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

const SIZE: usize = 1 << 20;

/// The largest block that is read, in bytes. Frames have at most 256 KiB; blocks of comments and secrets
/// have more.
const MAX_BLOCK: usize = 16 << 20;
