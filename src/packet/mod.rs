//! Frames of a capture to TCP segments.
//!
//! Takes link headers off, reads IPv4 and IPv6 with their options and extension headers, puts fragments
//! together and reads the fixed part of the TCP header. Frames that the capture cut short are usual, so
//! lengths come from the IP header, and a segment says how many bytes of its payload are missing. Does not
//! verify checksums (captures hold those that a network card fills in later), does not look into tunnels
//! other than PPPoE, VLAN and MPLS, and knows no connection. Used by the shells that read captures. RFC 791,
//! 8200, 5722, 9293.

mod fragments;
mod link;
mod segment;

use etherparse::{IpNumber, LaxIpSlice};

use crate::time::Timestamp;

pub use link::Link;
pub use segment::Segment;

use fragments::{Added, Fragments};
use segment::Datagram;

/// What a frame turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A TCP segment, whole or put together from fragments.
    Segment(Segment<'a>),
    /// A fragment of a TCP segment that is not complete, or a copy of one that was there already.
    Fragment,
    /// A fragment that contradicts an earlier one of its datagram. Nothing of that datagram is used, nor of
    /// its fragments to come (RFC 5722).
    Overlap,
    /// Not TCP over IP.
    Other,
    /// An IP or TCP header that cannot be read, or a fragment that the capture cut short.
    Malformed,
}

/// Takes frames apart. Holds fragments, and nothing else, between them.
#[derive(Debug, Default)]
pub struct Decoder {
    fragments: Fragments,
}

impl Decoder {
    /// What `frame`, captured at `at` with link headers of type `link`, is. `wire_length` is the frame's
    /// length in bytes before the capture cut it.
    pub fn decode<'a>(
        &'a mut self,
        link: Link,
        at: Timestamp,
        frame: &'a [u8],
        wire_length: usize,
    ) -> Decoded<'a> {
        let Some(packet) = link.packet(frame) else { return Decoded::Other };
        let Ok((ip, stopped)) = LaxIpSlice::from_slice(packet) else { return Decoded::Malformed };
        if stopped.is_some() {
            return Decoded::Malformed;
        }
        if ip.payload().ip_number != IpNumber::TCP {
            return Decoded::Other;
        }
        let cut = wire_length.saturating_sub(frame.len());
        let datagram = Datagram::new(&ip, packet.len(), cut);
        match ip.payload().fragmented {
            false => datagram.segment().map_or(Decoded::Malformed, Decoded::Segment),
            true => self.reassemble(at, &ip, datagram),
        }
    }

    fn reassemble<'a>(
        &'a mut self,
        at: Timestamp,
        ip: &LaxIpSlice<'_>,
        fragment: Datagram<'_>,
    ) -> Decoded<'a> {
        match self.fragments.add(at, ip, &fragment) {
            Added::Incomplete => Decoded::Fragment,
            Added::Overlap => Decoded::Overlap,
            Added::Unusable => Decoded::Malformed,
            Added::Complete(payload) => {
                let whole = Datagram { payload, missing: 0, ..fragment };
                whole.segment().map_or(Decoded::Malformed, Decoded::Segment)
            }
        }
    }
}
