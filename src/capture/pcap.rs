//! The pcap format: one header, then records.

use std::time::Duration;

use pcap_parser::{
    PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use super::error::CaptureError;
use super::frame::Packet;
use super::window::Window;

/// What the header says about the records.
pub(super) struct Pcap {
    header: PcapHeader,
    /// What one unit of the second half of a time stamp is.
    fraction: Duration,
    /// The lower half of the field; the upper one is about checksums behind frames.
    link_type: u32,
}

impl Pcap {
    /// Reads the header.
    pub(super) fn open(window: &mut Window) -> Result<Self, CaptureError> {
        window.require(HEADER)?;
        let Ok((_, header)) = parse_pcap_header(window.bytes()) else {
            let bytes = window.bytes();
            return Err(CaptureError::NotACapture(bytes.get(..4).unwrap_or(bytes).to_vec()));
        };
        let (major, minor) = (header.version_major, header.version_minor);
        if major != 2 {
            return Err(CaptureError::Version { format: "pcap", major, minor });
        }
        window.take(HEADER);
        let fraction = match header.is_nanosecond_precision() {
            true => Duration::from_nanos(1),
            false => Duration::from_micros(1),
        };
        let link_type = header.network.0.cast_unsigned() & 0xffff;
        Ok(Self { header, fraction, link_type })
    }

    /// The next record; `None` at the end.
    pub(super) fn next<'a>(&mut self, window: &'a mut Window) -> Result<Option<Packet<'a>>, CaptureError> {
        let header = match self.header.is_modified_format() {
            true => MODIFIED_RECORD,
            false => RECORD,
        };
        if !window.require(header)? {
            return Ok(None);
        }
        let length = header.saturating_add(self.captured(window.bytes()));
        if !window.require(length)? {
            return Ok(None);
        }
        let offset = window.offset();
        self.packet(window.take(length))
            .map(Some)
            .ok_or(CaptureError::Broken { offset, what: "a bad record" })
    }

    /// How many bytes of the frame the record has.
    fn captured(&self, record: &[u8]) -> usize {
        let field = record.get(8..12).and_then(|field| field.first_chunk()).copied().unwrap_or_default();
        let captured = match self.header.is_bigendian() {
            true => u32::from_be_bytes(field),
            false => u32::from_le_bytes(field),
        };
        usize::try_from(captured).unwrap_or(usize::MAX)
    }

    fn packet<'a>(&self, record: &'a [u8]) -> Option<Packet<'a>> {
        let parse = match (self.header.is_modified_format(), self.header.is_bigendian()) {
            (true, _) => parse_pcap_frame_modified,
            (_, true) => parse_pcap_frame_be,
            (_, false) => parse_pcap_frame,
        };
        let (_, frame) = parse(record).ok()?;
        let at = Duration::from_secs(frame.ts_sec.into()) + self.fraction * frame.ts_usec;
        Some(Packet { at, link_type: self.link_type, data: frame.data, length: frame.origlen })
    }
}

/// Lengths of headers in bytes: the file's, a record's, and a record's in Alexey Kuznetsov's variant.
const HEADER: usize = 24;
const RECORD: usize = 16;
const MODIFIED_RECORD: usize = 24;
