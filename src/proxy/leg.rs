//! One leg of a control connection: a socket and the bytes that it has not taken yet.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncWrite, Interest};
use tokio::net::TcpStream;

use crate::addr::canonical;

/// How many bytes are read at a time. Bounds what a session holds of a peer that pipelines.
const READ_BYTES: usize = 4096;

/// Over this many unsent bytes nothing more is read that could add to them. What one read can add, at
/// most one reply of the largest size and its followers, comes on top.
const MOST_UNSENT: usize = 256 * 1024;

/// The first probe after this silence, the next ones in [`KEEPALIVE_INTERVAL`]: NAT boxes on the way
/// keep the control connection while only its data connection moves (P11).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A control socket.
#[derive(Debug)]
pub(super) struct Leg {
    stream: TcpStream,
    unsent: Vec<u8>,
    /// The peer takes no more; what is for it goes nowhere.
    broken: bool,
}

impl Leg {
    /// The leg over `stream`, which was [prepared](prepare).
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, unsent: Vec::new(), broken: false }
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr().map(canonical)
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr().map(canonical)
    }

    /// Whether everything has gone out.
    pub(super) fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Whether a peer may be read whose bytes are answered on this leg.
    pub(super) fn has_room(&self) -> bool {
        self.unsent.len() <= MOST_UNSENT
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.unsent.extend_from_slice(bytes);
        }
    }

    /// Sends `line` behind a Telnet Synch: the second IAC of IAC IP IAC DM is the urgent byte. Where
    /// the socket has no room, the same bytes go out in line.
    pub(super) fn queue_synch(&mut self, line: &[u8]) {
        const SYNCH: &[u8] = b"\xff\xf4\xff";
        const DATA_MARK: &[u8] = b"\xf2";
        let sent = match self.is_flushed() {
            true => self.stream.try_io(Interest::WRITABLE, || {
                Ok(send(&self.stream, SYNCH, SendFlags::OOB | SendFlags::NOSIGNAL)?)
            }),
            false => Ok(0),
        };
        self.queue(SYNCH.get(sent.unwrap_or(0)..).unwrap_or_default());
        self.queue(DATA_MARK);
        self.queue(line);
    }

    /// Reads what is there and hands it to `take`; `Ready(false)` at the end of the stream, orderly
    /// or not.
    ///
    /// The socket counts as readable until a read finds nothing. A short read is no sign that nothing
    /// is left, as it is for `AsyncRead`: reads stop before an urgent byte (RFC 6093 section 3).
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<bool> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        loop {
            if ready!(self.stream.poll_read_ready(cx)).is_err() {
                return Poll::Ready(false);
            }
            let read = self.stream.try_io(Interest::READABLE, || {
                Ok(recv(&self.stream, space.as_mut_slice(), RecvFlags::empty())?)
            });
            match read {
                Ok(((bytes, _), _)) if !bytes.is_empty() => {
                    take(bytes);
                    return Poll::Ready(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// Sends what is queued; `Err`, once, when the peer takes no more.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent)) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) => {
                    self.broken = true;
                    self.unsent = Vec::new();
                    return Poll::Ready(Err(error));
                }
            }
        }
        // An idle leg holds no memory.
        self.unsent = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Says that no more will come.
    pub(super) fn shut_down(&self) {
        // The peer may be gone already; there is nobody left to tell.
        let _ = SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
    }
}

/// Sets a control socket up, or a listener for those that it accepts: no delay for small lines, keepalive,
/// urgent bytes in their place in the stream (the Telnet Synch before ABOR).
pub(super) fn prepare(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))
}
