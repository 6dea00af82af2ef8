//! Moves the bytes of a data connection with the gateway's TLS on one leg or on both.
//!
//! Does: the handshakes, the direction of the transfer only, close_notify passed on as the end of file and
//! demanded of the sender. Does not: dial, choose the direction or change a byte (P9). Called by
//! [`connection`](super::connection). RFC 4217 sections 7 and 12.
//!
//! A byte is counted when the kernel has taken its ciphertext, or the byte itself, for the far end.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::pump::{Watch, half_close, reset, silent_end};
use crate::pinhole::{Direction, Protected};
use crate::reason::Reason;
use crate::tls::Keys;

/// Payload that is read and encrypted, or decrypted and written, at a time.
const CHUNK: usize = 256 * 1024;

/// The two ends of a data connection, and the TLS between them.
pub(super) struct Terminator<'a> {
    pub(super) client: &'a TcpStream,
    pub(super) server: &'a TcpStream,
    pub(super) keys: &'a Keys,
    pub(super) legs: Protected,
    /// `tolerate: [missing-close-notify]`.
    pub(super) unclosed: bool,
    pub(super) watch: Watch<'a>,
}

impl Terminator<'_> {
    /// Has the handshakes, then lets bytes flow in `direction` until the end; tells `delivered` whether the
    /// sender's close_notify came once everything has gone out.
    ///
    /// # Errors
    /// Why both ends have to be reset.
    pub(super) async fn run(&self, direction: Direction, delivered: impl FnOnce(bool)) -> Result<(), Reason> {
        // At the same time: either peer may wait for the other.
        let handshakes = async { tokio::try_join!(self.client_end(direction), self.server_end()) };
        let (client, server) = tokio::select! {
            biased;
            reason = self.watch.orders.closed() => return Err(reason),
            ends = handshakes => ends?,
        };
        let meter = self.watch.meter;
        meter.touch();
        match direction {
            Direction::ToServer => self.move_bytes(client, server, &meter.to_server, delivered).await,
            // A protected transfer has a direction in any case.
            Direction::ToClient | Direction::Both => {
                self.move_bytes(server, client, &meter.to_client, delivered).await
            }
        }
    }

    async fn client_end(&self, direction: Direction) -> Result<End<'_>, Reason> {
        if !self.legs.client {
            return Ok(End::clear(self.client));
        }
        let handshake = self.keys.accept_data(Wire::new(self.client), direction);
        self.in_time(handshake, Reason::DataTls).await
    }

    async fn server_end(&self) -> Result<End<'_>, Reason> {
        if !self.legs.server {
            return Ok(End::clear(self.server));
        }
        self.in_time(self.keys.dial_data(Wire::new(self.server)), Reason::UpstreamDataTls).await
    }

    /// The end that `handshake` leads to; `late`, if it takes as long as a data connection may be idle.
    async fn in_time<'a>(
        &self,
        handshake: impl Future<Output = Result<TlsStream<Wire<'a>>, Reason>>,
        late: Reason,
    ) -> Result<End<'a>, Reason> {
        Ok(End::protected(timeout(self.watch.idle, handshake).await.unwrap_or(Err(late))?))
    }

    async fn move_bytes(
        &self,
        sender: End<'_>,
        receiver: End<'_>,
        count: &AtomicU64,
        delivered: impl FnOnce(bool),
    ) -> Result<(), Reason> {
        let End { mut source, sink: mut back } = sender;
        let End { source: mut silent, mut sink } = receiver;
        let payload = async {
            let mut chunk = vec![0; CHUNK];
            let notified = loop {
                match source.read(&mut chunk).await {
                    Ok([]) => break true,
                    Err(Reason::DataTruncated) if self.unclosed => break false,
                    bytes => {
                        let bytes = bytes?;
                        sink.write(bytes).await?;
                        self.watch.meter.count(count, bytes.len());
                    }
                }
            };
            sink.close().await?;
            // TLS answers a close with a close; a sender that is gone does not miss it.
            let _ = back.close().await;
            Ok(notified)
        };
        // A receiver that closes early makes the next write fail.
        self.watch.one_way(payload, silent.silence(), || Ok(()), delivered).await
    }
}

/// One end of a data connection: what is read from it and what is written to it.
struct End<'a> {
    source: Source<'a>,
    sink: Sink<'a>,
}

enum Source<'a> {
    Clear(&'a TcpStream),
    Protected(ReadHalf<TlsStream<Wire<'a>>>),
}

enum Sink<'a> {
    Clear(&'a TcpStream),
    Protected(WriteHalf<TlsStream<Wire<'a>>>),
}

impl<'a> End<'a> {
    fn clear(stream: &'a TcpStream) -> Self {
        Self { source: Source::Clear(stream), sink: Sink::Clear(stream) }
    }

    fn protected(stream: TlsStream<Wire<'a>>) -> Self {
        let (source, sink) = split(stream);
        Self { source: Source::Protected(source), sink: Sink::Protected(sink) }
    }
}

impl Source<'_> {
    /// The next payload; empty at an orderly end.
    async fn read<'b>(&mut self, space: &'b mut [u8]) -> Result<&'b [u8], Reason> {
        let got = match self {
            Source::Clear(stream) => read_clear(stream, space).await.map_err(reset)?,
            Source::Protected(stream) => stream.read(space).await.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Reason::DataTruncated,
                _ => reset(error),
            })?,
        };
        Ok(space.get(..got).unwrap_or_default())
    }

    /// Waits for the end of a peer that may send nothing. It need not be orderly: nothing can be missing.
    async fn silence(&mut self) -> Result<(), Reason> {
        match self {
            Source::Clear(stream) => silent_end(stream).await,
            Source::Protected(_) => match self.read(&mut [0]).await {
                Ok([]) | Err(Reason::DataTruncated) => Ok(()),
                Ok(_) => Err(Reason::WrongDirection),
                Err(reason) => Err(reason),
            },
        }
    }
}

async fn read_clear(stream: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(space) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

impl Sink<'_> {
    /// Hands all of `bytes` to the kernel.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        match self {
            Sink::Clear(stream) => Wire::new(stream).write_all(bytes).await.map_err(reset),
            Sink::Protected(stream) => {
                stream.write_all(bytes).await.map_err(reset)?;
                stream.flush().await.map_err(reset)
            }
        }
    }

    /// Says that no more will come.
    async fn close(&mut self) -> Result<(), Reason> {
        match self {
            Sink::Clear(stream) => half_close(stream),
            Sink::Protected(stream) => stream.shutdown().await.map_err(reset),
        }
    }
}

/// A socket under TLS, read in large pieces: rustls asks for 4 KiB at a time.
struct Wire<'a> {
    stream: &'a TcpStream,
    input: Vec<u8>,
    /// How much of `input` is taken.
    taken: usize,
}

impl<'a> Wire<'a> {
    fn new(stream: &'a TcpStream) -> Self {
        Self { stream, input: Vec::new(), taken: 0 }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            self.input.resize(CHUNK, 0);
            let read = self.stream.try_read(&mut self.input);
            self.taken = 0;
            self.input.truncate(*read.as_ref().unwrap_or(&0));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|_| ())),
            }
        }
    }
}

impl AsyncRead for Wire<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken == self.input.len() {
            ready!(self.poll_fill(cx))?;
        }
        let rest = self.input.get(self.taken..).unwrap_or_default();
        let bytes = rest.get(..into.remaining()).unwrap_or(rest);
        into.put_slice(bytes);
        self.taken += bytes.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write_vectored(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(self.stream).shutdown(Shutdown::Write))
    }
}
