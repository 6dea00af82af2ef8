//! Writes IP packets to a pcapng file.

use std::io::{self, Write};
use std::time::Duration;

/// Writes IPv4 and IPv6 packets, without link headers, as pcapng with time stamps in nanoseconds.
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes the headers of the file to `out`; wants a buffer, as each packet is several writes.
    pub fn new(mut out: W) -> io::Result<Self> {
        // Byte order, version 1.0, a section of unknown length.
        let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        block(&mut out, 0x0a0d_0d0a, &[&section])?;
        // Link type 101 (raw IP), frames of any length, option if_tsresol: 10^-9 s.
        let interface = [101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
        block(&mut out, 1, &[&interface])?;
        Ok(Self { out })
    }

    /// Writes an IP packet that was seen at `at` since 1970 UTC, with a comment that viewers show.
    pub fn write(&mut self, at: Duration, packet: &[u8], comment: Option<&str>) -> io::Result<()> {
        let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).to_be_bytes();
        let [h3, h2, h1, h0, l3, l2, l1, l0] = nanoseconds;
        let length = length(packet.len())?.to_le_bytes();
        let header = [[0; 4], [h0, h1, h2, h3], [l0, l1, l2, l3], length, length].concat();
        let comment = comment.map(option_comment).unwrap_or_default();
        block(&mut self.out, 6, &[&header, packet, padding(packet.len()), &comment])
    }

    /// Writes what is in the buffer, and hands it back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The option opt_comment, cut to what its length can say, and the end of options.
fn option_comment(text: &str) -> Vec<u8> {
    let text: String = text.chars().take(MAX_COMMENT).collect();
    let length = u16::try_from(text.len()).unwrap_or(0);
    [&[1, 0], &length.to_le_bytes()[..], text.as_bytes(), padding(text.len()), &[0; 4]].concat()
}

/// Writes a block; its parts fill whole words together.
fn block(out: &mut impl Write, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
    let body: usize = parts.iter().map(|part| part.len()).sum();
    let length = length(body + 12)?.to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    parts.iter().try_for_each(|part| out.write_all(part))?;
    out.write_all(&length)
}

/// What fills `length` bytes up to a multiple of four.
fn padding(length: usize) -> &'static [u8] {
    match length % 4 {
        0 => &[],
        1 => &[0; 3],
        2 => &[0; 2],
        _ => &[0; 1],
    }
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a packet over 4 GiB"))
}

/// The longest comment, in characters of up to four bytes; the length of an option has 16 bits.
const MAX_COMMENT: usize = 16_000;
