//! Frames of a capture, one after the other.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::CaptureError;
use super::frame::{Frame, Packet};
use super::pcap::Pcap;
use super::pcapng::PcapNg;
use super::source::{self, Source};
use super::window::Window;

/// Reads a capture in bounded memory: 1 MiB, and up to 16 MiB for a block that is larger.
pub struct Reader {
    window: Window,
    format: Format,
    frames: u64,
    read: Arc<AtomicU64>,
    size: Option<u64>,
}

enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

impl Reader {
    /// Opens the capture at `path`, or on standard input for `-`.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let (source, size) = source::open(path)?;
        Self::of(source, size)
    }

    /// Reads the capture that `source` yields.
    pub fn new(source: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        Self::of(Box::new(source), None)
    }

    fn of(raw: Source, size: Option<u64>) -> Result<Self, CaptureError> {
        let (source, read) = source::uncompressed(raw)?;
        let mut window = Window::new(source);
        let format = Format::detect(&mut window)?;
        Ok(Self { window, format, frames: 0, read, size })
    }

    /// The next frame; `None` at the end of the capture, also where it ends inside a block.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend its items")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        let packet = match &mut self.format {
            Format::Pcap(format) => format.next(&mut self.window)?,
            Format::PcapNg(format) => format.next(&mut self.window)?,
        };
        let Some(Packet { at, link_type, data, length }) = packet else { return Ok(None) };
        self.frames += 1;
        let length = usize::try_from(length).unwrap_or(usize::MAX).max(data.len());
        Ok(Some(Frame { number: self.frames, at, link_type, data, length }))
    }

    /// How many bytes of the file were read so far; of a compressed one, compressed bytes.
    pub fn position(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The size of the file in bytes, in the same measure; `None` when it is not a regular file.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Whether the end of the capture, once it is reached, was inside a block: it was cut short.
    pub fn is_truncated(&self) -> bool {
        self.window.is_cut()
    }
}

impl Format {
    fn detect(window: &mut Window) -> Result<Self, CaptureError> {
        if !window.require(4)? && window.bytes().is_empty() {
            return Err(CaptureError::Empty);
        }
        if window.bytes().starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            return Ok(Self::PcapNg(PcapNg::default()));
        }
        Pcap::open(window).map(Self::Pcap)
    }
}
