//! What the kernel says about one connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{DST_PORT, IP_V4_DST, IP_V4_SRC, IP_V6_DST, IP_V6_SRC, MARK, PROTOCOL, SRC_PORT, TCP};
use super::{Flow, TUPLE_IP, TUPLE_ORIGINAL, TUPLE_PROTOCOL, TUPLE_REPLY};
use crate::netlink::message::Attributes;

/// `CTA_PROTOINFO`, `CTA_PROTOINFO_TCP`, `CTA_PROTOINFO_TCP_STATE`.
const TCP_STATE: [u16; 3] = [4, 1, 1];
/// `CTA_COUNTERS_ORIG`, `_REPLY`, and in them `CTA_COUNTERS_PACKETS`, `_BYTES`.
const COUNTERS_ORIGINAL: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const PACKETS: u16 = 1;
const BYTES: u16 = 2;

/// A TCP connection in the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The tuple of its first packet.
    pub original: Flow,
    /// The tuple of the answers: the original turned round, after address translation.
    pub reply: Flow,
    /// The mark.
    pub mark: u32,
    /// What went in the direction of `original`; `None` when `nf_conntrack_acct` was off as the connection
    /// began.
    pub original_counter: Option<Counter>,
    /// What came back; `None` likewise.
    pub reply_counter: Option<Counter>,
    /// How far the connection is; `None` for a state that has no name here.
    pub tcp_state: Option<TcpState>,
}

/// Packets as conntrack counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Packets, those of the handshake too.
    pub packets: u64,
    /// Bytes with IP and TCP headers and with what was sent twice: no measure of payload.
    pub bytes: u64,
}

/// `TCP_CONNTRACK_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpState {
    /// Nothing was seen.
    None,
    /// A SYN.
    SynSent,
    /// SYN and SYN-ACK.
    SynReceived,
    /// The handshake is done.
    Established,
    /// The first FIN.
    FinWait,
    /// The FIN is acknowledged.
    CloseWait,
    /// The second FIN.
    LastAck,
    /// Both FINs are acknowledged.
    TimeWait,
    /// A RST.
    Close,
    /// SYNs from both sides at once.
    SimultaneousOpen,
}

impl Entry {
    /// Whether nothing more can come on the connection.
    pub fn is_over(&self) -> bool {
        matches!(self.tcp_state, Some(TcpState::LastAck | TcpState::TimeWait | TcpState::Close))
    }

    /// Whether both ends have agreed on the connection.
    pub fn is_established(&self) -> bool {
        use TcpState::{CloseWait, Established, FinWait, LastAck, TimeWait};
        matches!(self.tcp_state, Some(Established | FinWait | CloseWait | LastAck | TimeWait))
    }

    /// From the attributes of a CT_NEW message; `None` when it is not TCP or a tuple is missing.
    pub(super) fn parse(attributes: Attributes<'_>) -> Option<Self> {
        Some(Self {
            original: flow(attributes.find(TUPLE_ORIGINAL)?.nested())?,
            reply: flow(attributes.find(TUPLE_REPLY)?.nested())?,
            mark: attributes.find(MARK).and_then(|mark| mark.be32()).unwrap_or(0),
            original_counter: counter(&attributes, COUNTERS_ORIGINAL),
            reply_counter: counter(&attributes, COUNTERS_REPLY),
            tcp_state: attributes.at(&TCP_STATE).and_then(|state| tcp_state(state.byte()?)),
        })
    }
}

fn flow(tuple: Attributes<'_>) -> Option<Flow> {
    let protocol = tuple.find(TUPLE_PROTOCOL)?.nested();
    if protocol.find(PROTOCOL)?.byte()? != TCP {
        return None;
    }
    let ip = tuple.find(TUPLE_IP)?.nested();
    let src = (address(&ip, IP_V4_SRC, IP_V6_SRC)?, protocol.find(SRC_PORT)?.be16()?);
    let dst = (address(&ip, IP_V4_DST, IP_V6_DST)?, protocol.find(DST_PORT)?.be16()?);
    Some(Flow { src: SocketAddr::from(src), dst: SocketAddr::from(dst) })
}

fn address(ip: &Attributes<'_>, v4: u16, v6: u16) -> Option<IpAddr> {
    if let Some(found) = ip.find(v4) {
        return found.value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into());
    }
    ip.find(v6)?.value.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into())
}

fn counter(attributes: &Attributes<'_>, direction: u16) -> Option<Counter> {
    let counters = attributes.find(direction)?.nested();
    Some(Counter { packets: counters.find(PACKETS)?.be64()?, bytes: counters.find(BYTES)?.be64()? })
}

fn tcp_state(code: u8) -> Option<TcpState> {
    Some(match code {
        0 => TcpState::None,
        1 => TcpState::SynSent,
        2 => TcpState::SynReceived,
        3 => TcpState::Established,
        4 => TcpState::FinWait,
        5 => TcpState::CloseWait,
        6 => TcpState::LastAck,
        7 => TcpState::TimeWait,
        8 => TcpState::Close,
        9 => TcpState::SimultaneousOpen,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Tuple;
    use super::*;
    use crate::netlink::message::{Builder, Header, Messages};
    use proptest::prelude::*;

    fn flow_of(src: &str, dst: &str) -> Flow {
        Flow { src: src.parse().unwrap(), dst: dst.parse().unwrap() }
    }

    fn message(original: Flow, reply: Flow, rest: impl FnOnce(&mut Builder)) -> Vec<u8> {
        let mut builder = Builder::default();
        let header = Header { kind: 0x100, flags: 0, sequence: 1, family: 2, resource: 0 };
        builder.message(header, |m| {
            original.encode(Tuple::Original, m);
            reply.encode(Tuple::Reply, m);
            rest(m);
        });
        builder.finished().unwrap().to_vec()
    }

    fn parse(bytes: &[u8]) -> Option<Entry> {
        Messages::of(bytes).next().and_then(|message| Entry::parse(message.attributes()))
    }

    #[test]
    fn entry_is_read_as_it_is_written() {
        for (original, reply) in [
            (flow_of("192.0.2.1:4000", "192.0.2.2:21"), flow_of("10.0.0.2:21", "192.0.2.1:4000")),
            (flow_of("[2001:db8::1]:4000", "[2001:db8::2]:21"), flow_of("[::2]:21", "[2001:db8::1]:4000")),
        ] {
            let bytes = message(original, reply, |m| {
                m.be32(MARK, 0x8000_0001);
                m.nested(COUNTERS_REPLY, |c| {
                    c.be64(PACKETS, 3);
                    c.be64(BYTES, 1 << 40);
                });
                m.nested(4, |info| info.nested(1, |tcp| tcp.byte(1, 7)));
            });
            let entry = parse(&bytes).unwrap();
            assert_eq!((entry.original, entry.reply, entry.mark), (original, reply, 0x8000_0001));
            assert_eq!(entry.original_counter, None);
            assert_eq!(entry.reply_counter, Some(Counter { packets: 3, bytes: 1 << 40 }));
            assert_eq!(entry.tcp_state, Some(TcpState::TimeWait));
        }
    }

    proptest! {
        #[test]
        fn damaged_entries_never_panic(at in 0_usize..200, value: u8, cut in 0_usize..=200) {
            let original = flow_of("[2001:db8::1]:4000", "[2001:db8::2]:21");
            let mut bytes = message(original, original, |m| m.nested(9, |c| c.be64(1, 3)));
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(cut);
            parse(&bytes);
        }
    }
}
