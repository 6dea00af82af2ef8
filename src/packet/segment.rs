//! The TCP segment inside an IP datagram.
//!
//! Reads the fixed 20 bytes of the header: a capture cut at 68 bytes holds no more of a SYN. RFC 9293
//! section 3.1.

use std::net::{IpAddr, SocketAddr};

use etherparse::LaxIpSlice;

/// One TCP segment as the capture holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// The sequence number of its first byte, or of the SYN.
    pub seq: u32,
    /// The acknowledgement number; `None` without the ACK flag.
    pub ack: Option<u32>,
    /// The SYN flag.
    pub syn: bool,
    /// The FIN flag.
    pub fin: bool,
    /// The RST flag.
    pub rst: bool,
    /// The payload as far as the capture has it; link padding is not part of it.
    pub payload: &'a [u8],
    /// How many bytes the wire had behind `payload`, in the same segment.
    pub missing: usize,
}

/// The payload of an IP datagram, whole or a fragment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    pub(super) payload: &'a [u8],
    /// How many bytes of the payload the capture cut off.
    pub(super) missing: usize,
}

impl<'a> Datagram<'a> {
    /// The datagram of `ip`, whose packet has `captured` bytes here. `cut` is by how much the capture
    /// shortened the frame.
    pub(super) fn new(ip: &LaxIpSlice<'a>, captured: usize, cut: usize) -> Self {
        let total = match ip {
            LaxIpSlice::Ipv4(ip) => usize::from(ip.header().total_len()),
            LaxIpSlice::Ipv6(ip) if ip.header().payload_length() == 0 => 0,
            LaxIpSlice::Ipv6(ip) => 40 + usize::from(ip.header().payload_length()),
        };
        // No length: a large packet on its way to the network card, which will cut it up. Then the frame
        // ends where the packet does.
        let missing = if total == 0 { cut } else { total.saturating_sub(captured) };
        let payload = ip.payload().payload;
        Self { from: ip.source_addr(), to: ip.destination_addr(), payload, missing }
    }

    /// The TCP segment; `None` when its header cannot be read.
    pub(super) fn segment(&self) -> Option<Segment<'a>> {
        let header: &[u8; 20] = self.payload.first_chunk()?;
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, ..] = *header;
        let header_bytes = usize::from(offset >> 4) * 4;
        let length = (self.payload.len() + self.missing).checked_sub(header_bytes)?;
        if header_bytes < header.len() {
            return None;
        }
        let payload = self.payload.get(header_bytes..).unwrap_or_default();
        Some(Segment {
            from: SocketAddr::new(self.from, u16::from_be_bytes([s0, s1])),
            to: SocketAddr::new(self.to, u16::from_be_bytes([d0, d1])),
            seq: u32::from_be_bytes([q0, q1, q2, q3]),
            ack: (flags & ACK != 0).then_some(u32::from_be_bytes([a0, a1, a2, a3])),
            syn: flags & SYN != 0,
            fin: flags & FIN != 0,
            rst: flags & RST != 0,
            payload,
            missing: length - payload.len(),
        })
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(payload: &[u8], missing: usize) -> Datagram<'_> {
        Datagram { from: [10, 0, 0, 1].into(), to: [10, 0, 0, 2].into(), payload, missing }
    }

    /// A header with `words` as its length, the SYN and ACK flags, and `behind` bytes after 20.
    fn tcp(words: u8, behind: usize) -> Vec<u8> {
        let mut bytes = vec![0, 21, 4, 0, 0, 0, 0, 7, 0, 0, 0, 9, words << 4, SYN | ACK, 0, 0, 0, 0, 0, 0];
        bytes.resize(20 + behind, b'x');
        bytes
    }

    #[test]
    fn fields_are_read() {
        let bytes = tcp(5, 3);
        let segment = datagram(&bytes, 4).segment().unwrap();
        assert_eq!(segment.from, "10.0.0.1:21".parse().unwrap());
        assert_eq!(segment.to, "10.0.0.2:1024".parse().unwrap());
        assert_eq!((segment.seq, segment.ack), (7, Some(9)));
        assert!(segment.syn && !segment.fin && !segment.rst);
        assert_eq!((segment.payload, segment.missing), (&b"xxx"[..], 4));
    }

    #[test]
    fn options_are_not_payload_even_where_the_capture_cut_them() {
        let bytes = tcp(10, 14);
        let segment = datagram(&bytes, 16).segment().unwrap();
        assert_eq!((segment.payload.len(), segment.missing), (0, 10));
    }

    #[test]
    fn headers_that_lie_about_their_length_are_refused() {
        assert_eq!(datagram(&tcp(4, 9), 0).segment(), None, "shorter than a header");
        assert_eq!(datagram(&tcp(6, 3), 0).segment(), None, "longer than the segment");
        assert_eq!(datagram(&tcp(5, 0)[..19], 100).segment(), None, "cut");
    }
}
