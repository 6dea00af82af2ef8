//! Entries of the kernel's connection table: TCP, IPv4 and IPv6, in the default zone.
//!
//! Does: look up, mark, delete and list entries. Does not: create entries, listen to events. Called by
//! the nftables backend.
//!
//! The table is one hash of both directions' tuples. So a look-up by a tuple also finds the entry that has
//! it as the other direction's; every method here says which direction it means and compares.

mod entry;

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::message::{ACK, Builder, DUMP, Header, Message};
use super::socket::Socket;

pub use entry::{Counter, Entry, TcpState};

/// `NFNL_SUBSYS_CTNETLINK`.
const SUBSYSTEM: u16 = 1;
/// `IPCTNL_MSG_CT_*`.
const NEW: u16 = SUBSYSTEM << 8;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
/// `CTA_TUPLE_ORIG`, `_REPLY`, `CTA_MARK`, `CTA_MARK_MASK`.
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const MARK: u16 = 8;
const MARK_MASK: u16 = 21;
/// `CTA_TUPLE_IP`, `CTA_TUPLE_PROTO`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
/// `CTA_IP_V4_SRC` and so on.
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
/// `CTA_PROTO_NUM`, `_SRC_PORT`, `_DST_PORT`.
const PROTOCOL: u16 = 1;
const SRC_PORT: u16 = 2;
const DST_PORT: u16 = 3;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `AF_INET`, `AF_INET6`, and any.
const INET: u8 = 2;
const INET6: u8 = 10;
const UNSPECIFIED: u8 = 0;

/// One direction of a TCP connection as conntrack sees it: who sends, and to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Where its packets come from.
    pub src: SocketAddr,
    /// Where its packets go to; of the same family.
    pub dst: SocketAddr,
}

/// Which of an entry's two tuples a [`Flow`] is.
#[derive(Debug, Clone, Copy)]
enum Tuple {
    Original,
    Reply,
}

/// A connection to the kernel about its connection table.
pub struct Conntrack {
    socket: Socket,
    builder: Builder,
}

impl Conntrack {
    /// Opens the socket.
    ///
    /// # Errors
    /// The kernel has no netlink for netfilter, or no descriptor is free. That CAP_NET_ADMIN is missing
    /// shows with the first request.
    pub fn connect() -> io::Result<Self> {
        Ok(Self { socket: Socket::open()?, builder: Builder::default() })
    }

    /// The entry whose original tuple is `flow`.
    ///
    /// # Errors
    /// The kernel refused to answer; `InvalidInput` for addresses of two families.
    pub fn get(&mut self, flow: &Flow) -> io::Result<Option<Entry>> {
        Ok(self.find(Tuple::Original, flow)?.filter(|entry| entry.original.is(flow)))
    }

    /// The entry whose reply tuple is `flow`.
    ///
    /// # Errors
    /// As [`Conntrack::get`].
    pub fn get_by_reply(&mut self, flow: &Flow) -> io::Result<Option<Entry>> {
        Ok(self.find(Tuple::Reply, flow)?.filter(|entry| entry.reply.is(flow)))
    }

    /// Sets the bits of `mask` in the mark of the entry that has the tuple `flow` to those of `value`; other
    /// bits stay. False when there is no such entry. One message, unlike deletion: who was told of a flow knows
    /// that it is an original tuple.
    ///
    /// # Errors
    /// As [`Conntrack::get`].
    pub fn set_mark(&mut self, flow: &Flow, value: u32, mask: u32) -> io::Result<bool> {
        // The kernel keeps what is outside the mask and then flips what is in the value.
        let value = value & mask;
        self.ask(NEW, Tuple::Original, flow, |message| {
            message.be32(MARK, value);
            message.be32(MARK_MASK, mask);
        })
    }

    /// Deletes the entry whose original tuple is `flow`; false when there is none.
    ///
    /// # Errors
    /// As [`Conntrack::get`].
    pub fn delete(&mut self, flow: &Flow) -> io::Result<bool> {
        Ok(self.get(flow)?.is_some() && self.ask(DELETE, Tuple::Original, flow, |_| {})?)
    }

    /// Deletes the entry whose reply tuple is `flow`; false when there is none.
    ///
    /// # Errors
    /// As [`Conntrack::get`].
    pub fn delete_by_reply(&mut self, flow: &Flow) -> io::Result<bool> {
        Ok(self.get_by_reply(flow)?.is_some() && self.ask(DELETE, Tuple::Reply, flow, |_| {})?)
    }

    /// Hands `visit` the TCP entries of both families whose mark has, in the bits of `mask`, those of
    /// `mark`. The kernel filters. An entry that comes or goes meanwhile may be missing, and one may come
    /// twice.
    ///
    /// # Errors
    /// The kernel refused to answer; some entries may have been visited.
    pub fn dump(&mut self, mark: u32, mask: u32, mut visit: impl FnMut(Entry)) -> io::Result<()> {
        let sequence = self.socket.sequences(1);
        let header = Header { kind: GET, flags: DUMP, sequence, family: UNSPECIFIED, resource: 0 };
        self.builder.clear();
        self.builder.message(header, |message| {
            message.be32(MARK, mark & mask);
            message.be32(MARK_MASK, mask);
        });
        let visit =
            |message: Message<'_>| Entry::parse(message.attributes()).into_iter().for_each(&mut visit);
        self.socket.request(&self.builder, sequence, visit)?;
        Ok(())
    }

    fn find(&mut self, tuple: Tuple, flow: &Flow) -> io::Result<Option<Entry>> {
        let mut found = None;
        let visit = |message: Message<'_>| found = Entry::parse(message.attributes());
        self.request(GET, tuple, flow, |_| {}, visit)?;
        Ok(found)
    }

    fn ask(
        &mut self,
        kind: u16,
        tuple: Tuple,
        flow: &Flow,
        rest: impl FnOnce(&mut Builder),
    ) -> io::Result<bool> {
        self.request(kind, tuple, flow, rest, |_| {})
    }

    /// A request about one entry; false when the kernel has none with that tuple.
    fn request(
        &mut self,
        kind: u16,
        tuple: Tuple,
        flow: &Flow,
        rest: impl FnOnce(&mut Builder),
        visit: impl FnMut(Message<'_>),
    ) -> io::Result<bool> {
        let sequence = self.socket.sequences(1);
        let header = Header { kind, flags: ACK, sequence, family: flow.family()?, resource: 0 };
        self.builder.clear();
        self.builder.message(header, |message| {
            // A DELETE without a tuple would empty the whole table.
            flow.encode(tuple, message);
            rest(message);
        });
        Ok(self.socket.request(&self.builder, sequence, visit)?.is_some())
    }
}

impl Flow {
    fn family(&self) -> io::Result<u8> {
        match (self.src, self.dst) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) => Ok(INET),
            (SocketAddr::V6(_), SocketAddr::V6(_)) => Ok(INET6),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a flow with addresses of two families")),
        }
    }

    /// Addresses and ports alone: conntrack knows no scope of a link-local address.
    fn is(&self, other: &Self) -> bool {
        let ends = |flow: &Self| (flow.src.ip(), flow.src.port(), flow.dst.ip(), flow.dst.port());
        ends(self) == ends(other)
    }

    fn encode(&self, tuple: Tuple, message: &mut Builder) {
        let kind = match tuple {
            Tuple::Original => TUPLE_ORIGINAL,
            Tuple::Reply => TUPLE_REPLY,
        };
        message.nested(kind, |tuple| {
            tuple.nested(TUPLE_IP, |ip| {
                put_ip(ip, self.src.ip(), IP_V4_SRC, IP_V6_SRC);
                put_ip(ip, self.dst.ip(), IP_V4_DST, IP_V6_DST);
            });
            tuple.nested(TUPLE_PROTOCOL, |protocol| {
                protocol.byte(PROTOCOL, TCP);
                protocol.be16(SRC_PORT, self.src.port());
                protocol.be16(DST_PORT, self.dst.port());
            });
        });
    }
}

fn put_ip(message: &mut Builder, ip: IpAddr, v4: u16, v6: u16) {
    match ip {
        IpAddr::V4(ip) => message.bytes(v4, &ip.octets()),
        IpAddr::V6(ip) => message.bytes(v6, &ip.octets()),
    }
}
