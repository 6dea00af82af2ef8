//! The IP and TCP headers of a packet of which only the beginning is there.
//!
//! Does: find addresses, flags, numbers and lengths (RFC 791, RFC 8200, RFC 9293). Does not: check sums, or
//! read options. Written out rather than taken from a parser crate, because lengths must come from the IP
//! header and not from what was captured.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Protocol number of TCP.
const TCP: u8 = 6;
/// Extension headers of RFC 8200 that give their length in units of 8 bytes beyond the first: hop-by-hop
/// options, routing, destination options, mobility.
const EXTENSIONS: [u8; 4] = [0, 43, 60, 135];
/// The fragment header has always 8 bytes.
const FRAGMENT: u8 = 44;
/// Authentication counts in units of 4 bytes, beyond the second.
const AUTHENTICATION: u8 = 51;
/// More than any sane packet has.
const MOST_EXTENSIONS: usize = 8;
/// The fixed header of IPv6; its length field leaves it out.
const IPV6_BYTES: usize = 40;

/// The headers of one TCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderCopy {
    /// Who sent it, as the packet says where the rule saw it.
    pub src: SocketAddr,
    /// To whom.
    pub dst: SocketAddr,
    /// Its flags.
    pub flags: TcpFlags,
    /// Sequence number of its first byte, or of the SYN.
    pub seq: u32,
    /// Length of the IP and TCP headers together, with options and extension headers.
    pub header_bytes: u32,
    /// Payload of the packet by its IP header, however little was captured. `None` when the IP header gives
    /// no length: a packet of more than 65535 bytes within the kernel (BIG TCP).
    pub payload_bytes: Option<u32>,
}

/// The TCP flags that begin and end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags {
    /// A sender's first packet.
    pub syn: bool,
    /// The acknowledgement number counts.
    pub ack: bool,
    /// A sender's last byte.
    pub fin: bool,
    /// The connection is cut.
    pub rst: bool,
}

/// Where the TCP header starts, and what the IP header says.
struct Ip {
    src: IpAddr,
    dst: IpAddr,
    header_bytes: usize,
    /// Of the whole packet.
    total_bytes: Option<usize>,
}

/// The headers of `packet`, which starts with the IP header. `None`: no TCP, a fragment, or headers that
/// are not there whole.
pub(super) fn parse(packet: &[u8]) -> Option<HeaderCopy> {
    let ip = match packet.first()? >> 4 {
        4 => ipv4(packet)?,
        6 => ipv6(packet)?,
        _ => return None,
    };
    let tcp = packet.get(ip.header_bytes..)?.first_chunk::<20>()?;
    let [s0, s1, d0, d1, q0, q1, q2, q3, _, _, _, _, offset, bits, ..] = *tcp;
    let tcp_bytes = usize::from(offset >> 4) * 4;
    let header_bytes = ip.header_bytes + tcp_bytes;
    let payload_bytes = match ip.total_bytes {
        Some(total) => Some(u32::try_from(total.checked_sub(header_bytes)?).ok()?),
        None => None,
    };
    (tcp_bytes >= tcp.len()).then_some(HeaderCopy {
        src: SocketAddr::new(ip.src, u16::from_be_bytes([s0, s1])),
        dst: SocketAddr::new(ip.dst, u16::from_be_bytes([d0, d1])),
        flags: TcpFlags::of(bits),
        seq: u32::from_be_bytes([q0, q1, q2, q3]),
        header_bytes: u32::try_from(header_bytes).ok()?,
        payload_bytes,
    })
}

impl TcpFlags {
    fn of(bits: u8) -> Self {
        let has = |bit: u8| bits & bit != 0;
        Self { fin: has(0x01), syn: has(0x02), rst: has(0x04), ack: has(0x10) }
    }
}

fn ipv4(packet: &[u8]) -> Option<Ip> {
    let fixed = packet.first_chunk::<20>()?;
    let [first, _, l0, l1, _, _, f0, f1, _, protocol, _, _, src @ .., d0, d1, d2, d3] = *fixed;
    let header_bytes = usize::from(first & 0x0f) * 4;
    // More fragments, or not the first one.
    let fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
    let total = usize::from(u16::from_be_bytes([l0, l1]));
    (protocol == TCP && !fragment && header_bytes >= fixed.len()).then_some(Ip {
        src: Ipv4Addr::from(src).into(),
        dst: Ipv4Addr::from([d0, d1, d2, d3]).into(),
        header_bytes,
        total_bytes: (total != 0).then_some(total),
    })
}

fn ipv6(packet: &[u8]) -> Option<Ip> {
    let [_, _, _, _, l0, l1, next, _, ..] = *packet.first_chunk::<IPV6_BYTES>()?;
    let src = packet.get(8..)?.first_chunk::<16>()?;
    let dst = packet.get(24..)?.first_chunk::<16>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    Some(Ip {
        src: Ipv6Addr::from(*src).into(),
        dst: Ipv6Addr::from(*dst).into(),
        header_bytes: skip_extensions(packet, next)?,
        total_bytes: (length != 0).then_some(IPV6_BYTES + length),
    })
}

/// Where the TCP header starts, `next` being the protocol number in the IPv6 header.
fn skip_extensions(packet: &[u8], mut next: u8) -> Option<usize> {
    let mut at = IPV6_BYTES;
    for _ in 0..=MOST_EXTENSIONS {
        if next == TCP {
            return Some(at);
        }
        let [following, length, o0, o1] = *packet.get(at..)?.first_chunk::<4>()?;
        at += match next {
            // A whole packet in a fragment header (RFC 6946): offset and "more" are 0.
            FRAGMENT if u16::from_be_bytes([o0, o1]) & 0xfff9 == 0 => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            other if EXTENSIONS.contains(&other) => (usize::from(length) + 1) * 8,
            _ => return None,
        };
        next = following;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 1000:2000, sequence number 0x01020304, with 4 bytes of options.
    fn tcp(flags: u8) -> Vec<u8> {
        vec![3, 0xe8, 7, 0xd0, 1, 2, 3, 4, 5, 6, 7, 8, 0x60, flags, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    }

    fn ipv4_packet(total: u16, fragment: u16) -> Vec<u8> {
        let mut packet = vec![0x46, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, TCP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 1, 1, 1]);
        packet.extend(tcp(0x11));
        packet
    }

    fn ipv6_packet(length: u16, next: u8, extensions: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([next, 64]);
        packet.extend(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets());
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend(extensions);
        packet.extend(tcp(0x02));
        packet
    }

    #[test]
    fn payload_is_what_the_ip_header_says() {
        let packet = ipv4_packet(37_000, 0x4000);
        let copy = parse(&packet).unwrap();
        assert_eq!(copy.src, "192.0.2.1:1000".parse().unwrap());
        assert_eq!(copy.dst, "192.0.2.2:2000".parse().unwrap());
        assert_eq!(copy.seq, 0x0102_0304);
        assert_eq!((copy.header_bytes, copy.payload_bytes), (48, Some(37_000 - 48)));
        assert_eq!(copy.flags, TcpFlags { fin: true, ack: true, syn: false, rst: false });
    }

    #[test]
    fn length_zero_is_no_length() {
        assert_eq!(parse(&ipv4_packet(0, 0)).unwrap().payload_bytes, None);
        assert_eq!(parse(&ipv6_packet(0, TCP, &[])).unwrap().payload_bytes, None);
    }

    #[test]
    fn extension_headers_are_passed() {
        let plain = parse(&ipv6_packet(124, TCP, &[])).unwrap_or_else(|| panic!("plain"));
        assert_eq!((plain.header_bytes, plain.payload_bytes), (64, Some(100)));
        let mut extensions = vec![60, 0, 1, 4, 0, 0, 0, 0]; // hop-by-hop
        extensions.extend([FRAGMENT, 1, 1, 12]); // destination options, 16 bytes
        extensions.extend([0; 12]);
        extensions.extend([AUTHENTICATION, 0, 0, 0, 0, 0, 0, 1]); // an atomic fragment
        extensions.extend([TCP, 4, 0, 0]); // authentication, 24 bytes
        extensions.extend([0; 20]);
        let packet = ipv6_packet(180, 0, &extensions);
        let copy = parse(&packet).unwrap();
        assert_eq!((copy.header_bytes, copy.payload_bytes), (40 + 56 + 24, Some(100)));
        assert_eq!(copy.src, "[2001:db8::1]:1000".parse().unwrap());
        assert!(copy.flags.syn && !copy.flags.ack);
    }

    #[test]
    fn fragments_and_lies_are_passed_over() {
        assert_eq!(parse(&ipv4_packet(100, 0x2000)), None, "more fragments");
        assert_eq!(parse(&ipv4_packet(100, 1)), None, "not the first");
        assert_eq!(parse(&ipv4_packet(47, 0)), None, "shorter than its headers");
        assert_eq!(parse(&ipv6_packet(80, FRAGMENT, &[TCP, 0, 0, 1, 0, 0, 0, 1])), None);
        assert_eq!(parse(&ipv6_packet(80, 17, &[])), None, "UDP");
        assert_eq!(parse(&ipv6_packet(80, 0, &[0; 72])), None, "a chain without end");
    }

    proptest! {
        #[test]
        fn random_packets_never_panic(mut packet in prop::collection::vec(any::<u8>(), 0..120), v6: bool) {
            if let Some(first) = packet.first_mut() {
                *first = if v6 { 0x60 } else { 0x45 };
            }
            parse(&packet);
        }

        #[test]
        fn cut_packets_never_panic(cut in 0_usize..130) {
            let packet = ipv6_packet(80, 0, &[TCP, 0, 1, 4, 0, 0, 0, 0]);
            let cut = cut.min(packet.len());
            prop_assert_eq!(parse(&packet[..cut]).is_some(), cut >= 40 + 8 + 20);
        }
    }
}
