//! One leg of a control connection: a socket and the bytes that it has not taken yet.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// How many bytes are read at a time. Bounds what a session holds of a peer that pipelines.
const READ_BYTES: usize = 4096;

/// Over this many unsent bytes nothing more is read that could add to them. What one read can add, at
/// most one reply of the largest size and its followers, comes on top.
const MOST_UNSENT: usize = 256 * 1024;

/// The first probe after this silence, the next ones in [`KEEPALIVE_INTERVAL`]: NAT boxes on the way
/// keep the control connection while only its data connection moves (P11).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A handshake under way, which has the socket.
type Handshake = Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>> + Send>>;

/// What the bytes go through.
enum Wire {
    Clear(TcpStream),
    Handshake(Handshake),
    Protected(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Gone,
}

/// A control socket.
pub(super) struct Leg {
    wire: Wire,
    unsent: Vec<u8>,
    /// TLS has taken bytes that the socket may not have yet.
    unflushed: bool,
    /// The peer takes no more; what is for it goes nowhere.
    broken: bool,
}

impl Leg {
    /// The leg over `stream`, which was [prepared](prepare).
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { wire: Wire::Clear(stream), unsent: Vec::new(), unflushed: false, broken: false }
    }

    /// Whether everything has gone out.
    pub(super) fn is_flushed(&self) -> bool {
        self.unsent.is_empty() && !self.unflushed
    }

    /// Whether a peer may be read whose bytes are answered on this leg.
    pub(super) fn has_room(&self) -> bool {
        self.unsent.len() <= MOST_UNSENT
    }

    /// Whether no handshake has begun.
    pub(super) fn is_clear(&self) -> bool {
        matches!(self.wire, Wire::Clear(_))
    }

    /// Begins a handshake; everything before it has gone out.
    pub(super) fn begin<F>(&mut self, handshake: impl FnOnce(TcpStream) -> F)
    where
        F: Future<Output = io::Result<TlsStream<TcpStream>>> + Send + 'static,
    {
        if let Wire::Clear(stream) = std::mem::replace(&mut self.wire, Wire::Gone) {
            self.wire = Wire::Handshake(Box::pin(handshake(stream)));
        }
    }

    /// How the handshake went, once.
    pub(super) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Wire::Handshake(handshake) = &mut self.wire else {
            return Poll::Pending;
        };
        match ready!(handshake.as_mut().poll(cx)) {
            Ok(stream) => {
                self.wire = Wire::Protected(Box::new(stream));
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.wire = Wire::Gone;
                Poll::Ready(Err(error))
            }
        }
    }

    pub(super) fn queue(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.unsent.extend_from_slice(bytes);
        }
    }

    /// Sends `line` behind a Telnet Synch: the second IAC of IAC IP IAC DM is the urgent byte. Where
    /// the socket has no room, the same bytes go out in line. Under TLS there is no urgent byte
    /// (RFC 4217 section 14).
    pub(super) fn queue_synch(&mut self, line: &[u8]) {
        const SYNCH: &[u8] = b"\xff\xf4\xff";
        const DATA_MARK: &[u8] = b"\xf2";
        let Wire::Clear(stream) = &self.wire else {
            return self.queue(line);
        };
        let sent = match self.unsent.is_empty() {
            true => stream.try_io(Interest::WRITABLE, || {
                Ok(send(stream, SYNCH, SendFlags::OOB | SendFlags::NOSIGNAL)?)
            }),
            false => Ok(0),
        };
        self.queue(SYNCH.get(sent.unwrap_or(0)..).unwrap_or_default());
        self.queue(DATA_MARK);
        self.queue(line);
    }

    /// Reads what is there and hands it to `take`; `Ready(false)` at the end of the stream, orderly
    /// or not.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<bool> {
        let mut space = [MaybeUninit::uninit(); READ_BYTES];
        match &mut self.wire {
            Wire::Clear(stream) => poll_read_clear(stream, cx, &mut space, take),
            Wire::Protected(stream) => {
                let mut buffer = ReadBuf::uninit(&mut space);
                let read = ready!(Pin::new(stream).poll_read(cx, &mut buffer));
                let more = read.is_ok() && !buffer.filled().is_empty();
                if more {
                    take(buffer.filled());
                }
                Poll::Ready(more)
            }
            Wire::Handshake(_) => Poll::Pending,
            Wire::Gone => Poll::Ready(false),
        }
    }

    /// Sends what is queued; `Err`, once, when the peer takes no more.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            match ready!(self.poll_send(cx)) {
                Ok(0) if !self.unsent.is_empty() => {
                    return Poll::Ready(self.give_up(io::ErrorKind::WriteZero.into()));
                }
                Ok(sent) => {
                    self.unsent.drain(..sent);
                }
                Err(error) => return Poll::Ready(self.give_up(error)),
            }
        }
        // An idle leg holds no memory.
        self.unsent = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Sends some of what is queued; when nothing is, lets TLS send what it has.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_write(cx, &self.unsent),
            Wire::Protected(stream) if self.unsent.is_empty() => {
                ready!(Pin::new(stream).poll_flush(cx))?;
                self.unflushed = false;
                Poll::Ready(Ok(0))
            }
            Wire::Protected(stream) => {
                self.unflushed = true;
                Pin::new(stream).poll_write(cx, &self.unsent)
            }
            Wire::Handshake(_) => Poll::Pending,
            Wire::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn give_up(&mut self, error: io::Error) -> io::Result<()> {
        self.broken = true;
        self.unflushed = false;
        self.unsent = Vec::new();
        Err(error)
    }

    /// Sends what is queued, then says that no more will come, under TLS by close_notify, too.
    pub(super) fn poll_shut_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.wire, Wire::Handshake(_)) {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        ready!(self.poll_flush(cx))?;
        match &mut self.wire {
            Wire::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Protected(stream) => Pin::new(stream).poll_shutdown(cx),
            Wire::Handshake(_) | Wire::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// The socket counts as readable until a read finds nothing. A short read is no sign that nothing is left, as
/// it is for `AsyncRead`: reads stop before an urgent byte (RFC 6093 section 3).
fn poll_read_clear(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    space: &mut [MaybeUninit<u8>],
    take: impl FnOnce(&[u8]),
) -> Poll<bool> {
    loop {
        if ready!(stream.poll_read_ready(cx)).is_err() {
            return Poll::Ready(false);
        }
        let read = stream.try_io(Interest::READABLE, || Ok(recv(stream, &mut *space, RecvFlags::empty())?));
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

/// Sets a control socket up, or a listener for those that it accepts: no delay for small lines, keepalive,
/// urgent bytes in their place in the stream (the Telnet Synch before ABOR).
pub(super) fn prepare(socket: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_out_of_band_inline(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))
}
