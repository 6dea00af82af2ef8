//! Link headers: from a frame to the IP packet inside it.
//!
//! VLAN tags (802.1Q, 802.1ad) to any depth, PPPoE sessions (RFC 2516) and MPLS (RFC 3032) count as part of
//! the link.

/// The kind of link that frames come from, as far as it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// Linux "any" interface, version 1.
    LinuxSll,
    /// Linux "any" interface, version 2.
    LinuxSll2,
    /// No link header: IPv4 or IPv6.
    Raw,
    /// BSD loopback: an address family of four bytes, in either byte order.
    Loopback,
    /// PPP, with or without the bytes of HDLC framing.
    Ppp,
}

impl Link {
    /// The link of a type number as captures hold it (tcpdump.org/linktypes.html, with the old numbers of
    /// raw IP); `None` when frames of that type cannot be read.
    pub fn from_dlt(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            113 => Some(Self::LinuxSll),
            276 => Some(Self::LinuxSll2),
            12 | 14 | 101 | 228 | 229 => Some(Self::Raw),
            0 | 108 => Some(Self::Loopback),
            9 | 50 => Some(Self::Ppp),
            _ => None,
        }
    }

    /// The packet inside `frame`, with whatever padding follows it; `None` when it is not IP.
    pub(super) fn packet(self, frame: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Ethernet => by_ether_type(frame.get(12..)?),
            Self::LinuxSll => by_ether_type(frame.get(14..)?),
            Self::LinuxSll2 => {
                let (ether_type, _) = frame.split_first_chunk()?;
                by_ether_type_of(*ether_type, frame.get(20..)?)
            }
            Self::Raw => Some(frame),
            Self::Loopback => loopback(frame),
            Self::Ppp => ppp(frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame)),
        }
    }
}

/// `bytes` begin with an EtherType.
fn by_ether_type(bytes: &[u8]) -> Option<&[u8]> {
    let (ether_type, rest) = bytes.split_first_chunk()?;
    by_ether_type_of(*ether_type, rest)
}

fn by_ether_type_of(mut ether_type: [u8; 2], mut bytes: &[u8]) -> Option<&[u8]> {
    // A VLAN tag: two bytes of priority and number, then the next type.
    while let [0x81, 0x00] | [0x88, 0xa8] | [0x91, 0x00] = ether_type {
        let ([_, _, next @ ..], rest) = bytes.split_first_chunk::<4>()?;
        (ether_type, bytes) = (*next, rest);
    }
    match ether_type {
        [0x08, 0x00] | [0x86, 0xdd] => Some(bytes),
        [0x88, 0x64] => ppp(bytes.get(6..)?),
        [0x88, 0x47] => mpls(bytes),
        _ => None,
    }
}

fn ppp(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first_chunk()? {
        ([0x00, 0x21] | [0x00, 0x57], packet) => Some(packet),
        _ => None,
    }
}

/// Labels of four bytes, the last one marked; below them is IP if the first four bits say so.
fn mpls(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let ([_, _, bottom, _], rest) = bytes.split_first_chunk::<4>()?;
        bytes = rest;
        if bottom & 1 == 1 {
            return bytes.first().filter(|first| matches!(*first >> 4, 4 | 6)).map(|_| rest);
        }
    }
}

/// IPv4 is family 2 everywhere; IPv6 is 10, 24, 28 or 30.
fn loopback(frame: &[u8]) -> Option<&[u8]> {
    match frame.split_first_chunk()? {
        ([0, 0, 0, 2 | 10 | 24 | 28 | 30] | [2 | 10 | 24 | 28 | 30, 0, 0, 0], packet) => Some(packet),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACS: [u8; 12] = [2; 12];

    fn ethernet(headers: &[u8]) -> Vec<u8> {
        [&MACS, headers, &[0x45, 0x00]].concat()
    }

    #[test]
    fn the_packet_is_found_below_tags_sessions_and_labels() {
        for headers in [
            &[0x08, 0x00][..],
            &[0x86, 0xdd],
            &[0x81, 0x00, 0, 7, 0x08, 0x00],
            &[0x88, 0xa8, 0, 7, 0x81, 0x00, 0, 8, 0x91, 0x00, 0, 9, 0x81, 0x00, 0, 1, 0x08, 0x00],
            &[0x88, 0x64, 0x11, 0, 0, 1, 0, 4, 0x00, 0x21],
            &[0x81, 0x00, 0, 7, 0x88, 0x64, 0x11, 0, 0, 1, 0, 4, 0x00, 0x57],
            &[0x88, 0x47, 0, 0, 0, 64, 0, 0, 1, 64],
        ] {
            let frame = ethernet(headers);
            assert_eq!(Link::Ethernet.packet(&frame), Some(&[0x45, 0x00][..]), "{headers:?}");
        }
    }

    #[test]
    fn what_is_not_ip_or_cut_is_no_packet() {
        for headers in [
            &[][..],
            &[0x08],
            &[0x08, 0x06],
            &[0x81, 0x00, 0],
            &[0x88, 0x64, 0x11, 0, 0, 1],
            &[0x88, 0x64, 0x11, 0, 0, 1, 0, 4, 0xc0, 0x21],
            &[0x88, 0x47, 0, 0, 0, 64],
        ] {
            let frame = [&MACS, headers].concat();
            assert_eq!(Link::Ethernet.packet(&frame), None, "{headers:?}");
        }
        assert_eq!(Link::Ethernet.packet(&ethernet(&[0x88, 0x47, 0, 0, 1, 64, 0x00])), None);
    }

    #[test]
    fn other_links_are_read() {
        let cooked = [&[0; 14][..], &[0x08, 0x00, 0x45]].concat();
        assert_eq!(Link::LinuxSll.packet(&cooked), Some(&[0x45][..]));
        let cooked = [&[0x08, 0x00][..], &[0; 18], &[0x45]].concat();
        assert_eq!(Link::LinuxSll2.packet(&cooked), Some(&[0x45][..]));
        for family in [[2, 0, 0, 0], [0, 0, 0, 2], [30, 0, 0, 0], [0, 0, 0, 24]] {
            assert_eq!(Link::Loopback.packet(&[&family[..], &[0x45]].concat()), Some(&[0x45][..]));
        }
        assert_eq!(Link::Loopback.packet(&[7, 0, 0, 0, 0x45]), None);
        assert_eq!(Link::Ppp.packet(&[0xff, 0x03, 0x00, 0x21, 0x45]), Some(&[0x45][..]));
        assert_eq!(Link::Ppp.packet(&[0x00, 0x57, 0x60]), Some(&[0x60][..]));
    }

    #[test]
    fn unknown_numbers_are_none() {
        assert_eq!(Link::from_dlt(101), Some(Link::Raw));
        assert_eq!(Link::from_dlt(105), None, "802.11");
    }
}
