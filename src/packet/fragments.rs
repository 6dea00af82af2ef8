//! Fragments of IP datagrams, put together in bounded memory.
//!
//! What overlaps with other bytes is dropped with its whole datagram (RFC 5722, RFC 1858, RFC 3128); an
//! exact copy, which captures on several interfaces hold, is not counted. At most [`DATAGRAMS`] of 64 KiB
//! are held, each for [`AGE`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use etherparse::defrag::IpDefragBuf;
use etherparse::{IpFragOffset, IpNumber, Ipv6ExtensionSlice, LaxIpSlice, LaxIpv6Slice};

use crate::time::Timestamp;

use super::segment::Datagram;

/// What became of a fragment.
pub(super) enum Added<'a> {
    /// The datagram has holes, or is not wanted any more.
    Incomplete,
    /// The datagram's payload, all of it.
    Complete(&'a [u8]),
    /// The fragment contradicts what is there.
    Overlap,
    /// The fragment is cut, too long, or of a length that no fragment has.
    Unusable,
}

/// The datagrams of which a part is there.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    partial: HashMap<Key, Partial>,
    /// The datagram that was completed last.
    complete: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    from: IpAddr,
    to: IpAddr,
    identification: u32,
}

#[derive(Debug)]
struct Partial {
    since: Timestamp,
    /// `None` once fragments contradicted each other.
    buffer: Option<IpDefragBuf>,
}

/// Where a fragment belongs.
struct Place {
    identification: u32,
    offset: IpFragOffset,
    more: bool,
}

impl Fragments {
    /// Adds the payload of `fragment`, whose headers are `ip`.
    pub(super) fn add(&mut self, at: Timestamp, ip: &LaxIpSlice<'_>, fragment: &Datagram<'_>) -> Added<'_> {
        let Some(place) = place(ip).filter(|_| fragment.missing == 0) else { return Added::Unusable };
        let key = Key { from: fragment.from, to: fragment.to, identification: place.identification };
        let partial = self.partial(at, key);
        let Some(buffer) = &mut partial.buffer else { return Added::Incomplete };
        match overlap(buffer, place.offset, fragment.payload) {
            Overlap::None => {}
            Overlap::Copy => return Added::Incomplete,
            Overlap::Contradiction => {
                partial.buffer = None;
                return Added::Overlap;
            }
        }
        if buffer.add(place.offset, place.more, fragment.payload).is_err() {
            partial.buffer = None;
            return Added::Unusable;
        }
        if !buffer.is_complete() {
            return Added::Incomplete;
        }
        let whole = self.partial.remove(&key).and_then(|partial| partial.buffer);
        self.complete = whole.map(|buffer| buffer.take_bufs().0).unwrap_or_default();
        Added::Complete(&self.complete)
    }

    /// The datagram `key`, made if it is new. What is too old, or the oldest when all places are taken,
    /// makes room for it.
    fn partial(&mut self, at: Timestamp, key: Key) -> &mut Partial {
        if !self.partial.contains_key(&key) {
            self.partial.retain(|_, partial| at.since(partial.since) < AGE);
            if self.partial.len() >= DATAGRAMS {
                let oldest = self.partial.iter().min_by_key(|(_, partial)| partial.since);
                if let Some(key) = oldest.map(|(key, _)| *key) {
                    self.partial.remove(&key);
                }
            }
        }
        let empty = || IpDefragBuf::new(IpNumber::TCP, Vec::new(), Vec::new());
        self.partial.entry(key).or_insert_with(|| Partial { since: at, buffer: Some(empty()) })
    }
}

/// `None` for an IPv6 packet whose fragmented part does not begin with TCP.
fn place(ip: &LaxIpSlice<'_>) -> Option<Place> {
    match ip {
        LaxIpSlice::Ipv4(ip) => Some(Place {
            identification: ip.header().identification().into(),
            offset: ip.header().fragments_offset(),
            more: ip.header().more_fragments(),
        }),
        LaxIpSlice::Ipv6(ip) => ipv6_place(ip),
    }
}

fn ipv6_place(ip: &LaxIpv6Slice<'_>) -> Option<Place> {
    ip.extensions().clone().into_iter().find_map(|extension| match extension {
        Ipv6ExtensionSlice::Fragment(header) if header.next_header() == IpNumber::TCP => Some(Place {
            identification: header.identification(),
            offset: header.fragment_offset(),
            more: header.more_fragments(),
        }),
        _ => None,
    })
}

enum Overlap {
    None,
    Copy,
    Contradiction,
}

fn overlap(buffer: &IpDefragBuf, offset: IpFragOffset, payload: &[u8]) -> Overlap {
    let start = usize::from(offset.byte_offset());
    let end = start + payload.len();
    let mut ranges =
        buffer.sections().iter().map(|section| (usize::from(section.start), usize::from(section.end)));
    match ranges.find(|(from, to)| start < *to && *from < end) {
        None => Overlap::None,
        Some((from, to)) if from <= start && end <= to && buffer.data().get(start..end) == Some(payload) => {
            Overlap::Copy
        }
        Some(_) => Overlap::Contradiction,
    }
}

/// Datagrams held at most.
const DATAGRAMS: usize = 256;

/// How long a datagram may take to come together, in capture time (RFC 791 suggests 15 s, RFC 8200 60 s).
const AGE: Duration = Duration::from_secs(30);
