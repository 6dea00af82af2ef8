//! A NETLINK_NETFILTER socket: sends requests, collects the answers.
//!
//! Does: buffers, sequence numbers, acknowledgements, dumps. Does not: know what is asked. Called by the
//! clients of this module, each with a socket of its own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::message::{Builder, DUMP_INTERRUPTED, ERROR, Message, Messages};

/// The kernel fills datagrams of a dump up to 32 KiB when the reader has shown such a buffer.
const INBOX_BYTES: usize = 32 << 10;
/// Room for the answers to one transaction: each refused message comes back whole.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// The socket, with the buffer that answers are read into.
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    send_buffer_bytes: usize,
    inbox: Vec<u8>,
}

/// How a request went that the kernel did not refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    /// A dump that is not of one moment: what it lists changed meanwhile.
    pub(super) interrupted: bool,
}

impl Socket {
    /// Opens a socket that only the kernel can write to: other processes may send to a netlink socket
    /// that is not connected.
    pub(super) fn open() -> io::Result<Self> {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let protocol = Some(netlink::NETFILTER);
        let fd = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
        rustix::net::connect(&fd, &SocketAddrNetlink::new(0, 0))?;
        let send_buffer_bytes = sockopt::socket_send_buffer_size(&fd)?;
        let mut socket = Self { fd, sequence: 0, send_buffer_bytes, inbox: vec![0; INBOX_BYTES] };
        socket.enlarge_receive_buffer(RECEIVE_BUFFER_BYTES)?;
        Ok(socket)
    }

    /// Asks for a receive buffer of `bytes`: beyond the system's limit with CAP_NET_ADMIN in the first
    /// user namespace, up to the limit elsewhere.
    pub(super) fn enlarge_receive_buffer(&mut self, bytes: usize) -> io::Result<()> {
        match sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes) {
            Err(Errno::PERM) => Ok(sockopt::set_socket_recv_buffer_size(&self.fd, bytes)?),
            other => Ok(other?),
        }
    }

    /// Reads datagrams of up to `bytes`, if that is more than before.
    pub(super) fn enlarge_inbox(&mut self, bytes: usize) {
        self.inbox.resize(bytes.max(self.inbox.len()), 0);
    }

    /// The first of `count` sequence numbers that no request has used lately; never 0, which is the
    /// number of what nobody asked for.
    pub(super) fn sequences(&mut self, count: u32) -> u32 {
        if self.sequence.checked_add(count).is_none() {
            self.sequence = 0;
        }
        let first = self.sequence.saturating_add(1);
        self.sequence = self.sequence.saturating_add(count);
        first
    }

    /// Sends what `builder` holds, as one datagram: one transaction.
    pub(super) fn send(&mut self, builder: &Builder) -> io::Result<()> {
        let bytes = builder.finished()?;
        self.make_room(bytes.len());
        rustix::net::send(&self.fd, bytes, SendFlags::empty())?;
        Ok(())
    }

    /// A datagram, or `WouldBlock` when there is none. Those longer than the buffer are cut.
    pub(super) fn receive(&mut self) -> io::Result<&[u8]> {
        let (read, _) = rustix::net::recv(&self.fd, self.inbox.as_mut_slice(), RecvFlags::DONTWAIT)?;
        Ok(self.inbox.get(..read).unwrap_or_default())
    }

    /// Sends a request with the number `sequence` (flagged ACK or DUMP) and hands `visit` what comes before
    /// the acknowledgement or the end of the dump. `None` when the kernel says ENOENT.
    pub(super) fn request(
        &mut self,
        builder: &Builder,
        sequence: u32,
        mut visit: impl FnMut(Message<'_>),
    ) -> io::Result<Option<Answered>> {
        self.send(builder)?;
        let mut answered = Answered { interrupted: false };
        loop {
            // The acknowledgement is there, or the next part of the dump: the kernel made it in the call
            // before. Nothing there is an error, never a reason to wait.
            for message in Messages::of(self.receive()?).filter(|m| m.sequence == sequence) {
                answered.interrupted |= message.flags & DUMP_INTERRUPTED != 0;
                match message.errno() {
                    None if message.kind == ERROR => return Err(io::ErrorKind::InvalidData.into()),
                    None => visit(message),
                    Some(0) => return Ok(Some(answered)),
                    Some(errno) if errno == Errno::NOENT.raw_os_error() => return Ok(None),
                    Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
                }
            }
        }
    }

    /// A datagram that is larger than the send buffer is refused, and big transactions are.
    fn make_room(&mut self, bytes: usize) {
        // The buffer also holds the kernel's own bookkeeping.
        let needed = bytes.saturating_mul(2);
        if needed > self.send_buffer_bytes {
            let forced = sockopt::set_socket_send_buffer_size_force(&self.fd, needed);
            // Without the right to it sending tells: EMSGSIZE.
            let _ = forced.or_else(|_| sockopt::set_socket_send_buffer_size(&self.fd, needed));
            self.send_buffer_bytes = needed;
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
