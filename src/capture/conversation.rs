//! Makes up the packets of a TCP connection, to write down what was said on it.

use std::net::SocketAddr;

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, TcpHeader};

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The side that opens the connection.
    Client,
    /// The other side.
    Server,
}

/// A TCP connection that only exists on paper. Its packets have right checksums and numbers; each segment
/// acknowledges all that the other side sent. The same calls give the same packets.
#[derive(Debug)]
pub struct Conversation {
    client: End,
    server: End,
}

#[derive(Debug, Clone, Copy)]
struct End {
    addr: SocketAddr,
    /// The sequence number of the next byte.
    next: u32,
}

impl Conversation {
    /// A connection from `client` to `server`; `None` when one is IPv4 and the other IPv6.
    pub fn new(client: SocketAddr, server: SocketAddr) -> Option<Self> {
        let same = client.is_ipv4() == server.is_ipv4();
        let [client, server] = [(client, 1000), (server, 2000)].map(|(addr, next)| End { addr, next });
        same.then_some(Self { client, server })
    }

    /// SYN, SYN-ACK and ACK.
    pub fn open(&mut self) -> Vec<Vec<u8>> {
        let syn = self.packet(Speaker::Client, &[], |tcp| (tcp.syn, tcp.ack) = (true, false));
        let answer = self.packet(Speaker::Server, &[], |tcp| tcp.syn = true);
        vec![syn, answer, self.packet(Speaker::Client, &[], |_| {})]
    }

    /// `bytes` as segments of at most 1460 bytes.
    pub fn say(&mut self, speaker: Speaker, bytes: &[u8]) -> Vec<Vec<u8>> {
        bytes.chunks(MAX_SEGMENT).map(|chunk| self.packet(speaker, chunk, |tcp| tcp.psh = true)).collect()
    }

    /// A FIN from each side, `first` begins, and the last ACK.
    pub fn close(&mut self, first: Speaker) -> Vec<Vec<u8>> {
        let second = match first {
            Speaker::Client => Speaker::Server,
            Speaker::Server => Speaker::Client,
        };
        let [one, two] = [first, second].map(|speaker| self.packet(speaker, &[], |tcp| tcp.fin = true));
        vec![one, two, self.packet(first, &[], |_| {})]
    }

    /// A RST.
    pub fn reset(&mut self, speaker: Speaker) -> Vec<u8> {
        self.packet(speaker, &[], |tcp| tcp.rst = true)
    }

    fn packet(&mut self, speaker: Speaker, payload: &[u8], flags: impl FnOnce(&mut TcpHeader)) -> Vec<u8> {
        let (sender, receiver) = match speaker {
            Speaker::Client => (&mut self.client, &self.server),
            Speaker::Server => (&mut self.server, &self.client),
        };
        let mut tcp = TcpHeader::new(sender.addr.port(), receiver.addr.port(), sender.next, u16::MAX);
        tcp.ack = true;
        flags(&mut tcp);
        tcp.acknowledgment_number = if tcp.ack { receiver.next } else { 0 };
        let length = u16::try_from(payload.len()).expect("a segment has at most 1460 bytes");
        sender.next = sender.next.wrapping_add(u32::from(length) + u32::from(tcp.syn) + u32::from(tcp.fin));
        let mut packet = Vec::new();
        PacketBuilder::ip(ip(sender.addr, receiver.addr))
            .tcp_header(tcp)
            .write_to_vec(&mut packet, payload)
            .expect("a segment fits into a packet");
        packet
    }
}

fn ip(from: SocketAddr, to: SocketAddr) -> IpHeaders {
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            let header = Ipv4Header::new(0, TTL, IpNumber::TCP, from.ip().octets(), to.ip().octets());
            IpHeaders::Ipv4(header.expect("an empty payload fits"), Default::default())
        }
        (from, to) => {
            let octets = |addr: SocketAddr| match addr {
                SocketAddr::V4(addr) => addr.ip().to_ipv6_mapped().octets(),
                SocketAddr::V6(addr) => addr.ip().octets(),
            };
            let header = Ipv6Header {
                next_header: IpNumber::TCP,
                hop_limit: TTL,
                source: octets(from),
                destination: octets(to),
                ..Ipv6Header::default()
            };
            IpHeaders::Ipv6(header, Default::default())
        }
    }
}

/// The payload of a full segment on Ethernet, in bytes.
const MAX_SEGMENT: usize = 1460;

const TTL: u8 = 64;
