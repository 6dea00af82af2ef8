//! Header copies of packets: the reader of an NFLOG group.
//!
//! Does: take the group, read the copies that `log group N` rules make, parse their IP and TCP headers.
//! Does not: wait, or remember anything of a connection. Called by the nftables backend, which learns the
//! exact payload of a forwarded connection from its SYN and FIN packets.

mod packet;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::message::{ACK, Builder, Header, Messages};
use super::socket::Socket;

pub use packet::{HeaderCopy, TcpFlags};

/// `NFNL_SUBSYS_ULOG`, with the operations `NFULNL_MSG_PACKET` and `NFULNL_MSG_CONFIG`.
const PACKET: u16 = 4 << 8;
const CONFIG: u16 = 4 << 8 | 1;
/// `NFULA_CFG_*`.
const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const CONFIG_BUFFER: u16 = 3;
const CONFIG_TIMEOUT: u16 = 4;
const CONFIG_THRESHOLD: u16 = 5;
/// `NFULNL_CFG_CMD_BIND`, `NFULNL_COPY_PACKET`.
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
/// `NFULA_PAYLOAD`, `NFULA_PREFIX`.
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;
/// Room for some thousand copies while the reader is busy.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;
/// What the kernel sets aside for each copy, which counts against the receive buffer: by default a page, which
/// 120 bytes of headers do not need.
const BUFFER_BYTES: u32 = 512;
/// Room for what the kernel tells about a packet besides the copy itself.
const ENVELOPE_BYTES: usize = 4 << 10;

/// A group's copies. Readable, for poll(2), when there are some; never blocks.
pub struct HeaderLog {
    socket: Socket,
}

impl HeaderLog {
    /// Takes NFLOG group `group` of this network namespace and asks for the first `capture` bytes of each
    /// packet; 120 hold the headers of nearly all, a rule's `snaplen` may ask for less.
    ///
    /// # Errors
    /// `ResourceBusy` (EBUSY): another socket has the group. `PermissionDenied`: CAP_NET_ADMIN is missing.
    pub fn bind(group: u16, capture: u32) -> io::Result<Self> {
        let mut socket = Socket::open()?;
        socket.enlarge_receive_buffer(RECEIVE_BUFFER_BYTES)?;
        socket.enlarge_inbox(usize::try_from(capture).unwrap_or(usize::MAX).saturating_add(ENVELOPE_BYTES));
        match configure(&mut socket, group, capture) {
            // Two things are EPERM: a group of another socket, and the lack of the capability.
            Err(error) if is(&error, Errno::PERM) && is_permitted(&mut socket)? => Err(Errno::BUSY.into()),
            other => other.map(|()| Self { socket }),
        }
    }

    /// Hands `visit` all copies that are there, each with the text of the rule's `log prefix`, without waiting;
    /// true: the kernel dropped others, because they came faster than they were read. What is no TCP, a
    /// fragment, or cut short within the TCP header is passed over.
    ///
    /// # Errors
    /// The socket failed.
    pub fn read(&mut self, mut visit: impl FnMut(&[u8], HeaderCopy)) -> io::Result<bool> {
        let mut lost = false;
        loop {
            match self.socket.receive() {
                Ok(datagram) => visit_copies(datagram, &mut visit),
                // The kernel says once that the buffer was full; what was in it is still to be read.
                Err(error) if is(&error, Errno::NOBUFS) => lost = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lost),
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for HeaderLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// All settings at once, so that there is no moment with the group bound and the kernel's defaults: copies
/// held back until there are 100 or a second has passed.
fn configure(socket: &mut Socket, group: u16, capture: u32) -> io::Result<()> {
    let sequence = socket.sequences(1);
    let mut builder = Builder::default();
    let header = Header { kind: CONFIG, flags: ACK, sequence, family: 0, resource: group };
    builder.message(header, |message| {
        message.byte(CONFIG_COMMAND, BIND);
        let [a, b, c, d] = capture.to_be_bytes();
        message.bytes(CONFIG_MODE, &[a, b, c, d, COPY_PACKET, 0]);
        message.be32(CONFIG_BUFFER, BUFFER_BYTES);
        message.be32(CONFIG_THRESHOLD, 1);
        message.be32(CONFIG_TIMEOUT, 1); // hundredths of a second
    });
    match socket.request(&builder, sequence, |_| {})? {
        Some(_) => Ok(()),
        None => Err(Errno::NOENT.into()),
    }
}

/// Whether this process may configure groups at all: sends a message that the kernel knows and never
/// carries out, after it has checked the capability.
fn is_permitted(socket: &mut Socket) -> io::Result<bool> {
    let sequence = socket.sequences(1);
    let mut builder = Builder::default();
    let header = Header { kind: PACKET, flags: ACK, sequence, family: 0, resource: 0 };
    builder.message(header, |_| {});
    match socket.request(&builder, sequence, |_| {}) {
        Err(error) if is(&error, Errno::PERM) => Ok(false),
        _ => Ok(true),
    }
}

fn visit_copies(datagram: &[u8], visit: &mut impl FnMut(&[u8], HeaderCopy)) {
    for message in Messages::of(datagram).filter(|message| message.kind == PACKET) {
        let attributes = message.attributes();
        let prefix = attributes.find(PREFIX).map(|prefix| prefix.string()).unwrap_or_default();
        let payload = attributes.find(PAYLOAD).map(|payload| payload.value).unwrap_or_default();
        if let Some(copy) = packet::parse(payload) {
            visit(prefix, copy);
        }
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A SYN of 192.0.2.1:4000 to 192.0.2.2:21.
    const SYN: [u8; 40] = [
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, // IPv4
        0x0f, 0xa0, 0, 21, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0, // TCP
    ];

    fn datagram(payload: &[u8]) -> Vec<u8> {
        let mut builder = Builder::default();
        let header = Header { kind: PACKET, flags: 0, sequence: 0, family: 2, resource: 7 };
        for prefix in ["first", "second"] {
            builder.message(header, |message| {
                message.bytes(PAYLOAD, payload);
                message.string(PREFIX, prefix);
            });
        }
        builder.finished().unwrap().to_vec()
    }

    #[test]
    fn each_copy_of_a_datagram_is_visited() {
        let mut seen = Vec::new();
        visit_copies(&datagram(&SYN), &mut |prefix, copy| {
            seen.push((prefix.to_vec(), copy.seq, copy.flags.syn));
        });
        assert_eq!(seen, [(b"first".to_vec(), 9, true), (b"second".to_vec(), 9, true)]);
    }

    #[test]
    fn copies_that_are_no_tcp_are_passed_over() {
        visit_copies(&datagram(&SYN[..39]), &mut |_, _| panic!("cut within the header"));
    }

    proptest! {
        #[test]
        fn damaged_copies_never_panic(at in 0_usize..200, value: u8, cut in 0_usize..=200) {
            let mut bytes = datagram(&SYN);
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(cut);
            visit_copies(&bytes, &mut |_, _| {});
        }
    }
}
