//! Moves bytes from one socket to another without a copy: through a kernel pipe by splice(2), or
//! through a buffer when the kernel grants no pipe worth having.
//!
//! A pipe is held only while bytes are in it, so connections that wait for bytes share a few. Without
//! CAP_SYS_RESOURCE a user gets fs.pipe-user-pages-soft pages (64 pipes of 1 MiB) before pipes shrink
//! to 8 KiB. Called by [`pump`](super::pump).

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};
use tokio::net::TcpStream;

/// Empty pipes, shared by all data connections.
pub(super) struct Pipes {
    idle: Mutex<Vec<Pipe>>,
    /// The size to ask for, in bytes.
    wish: usize,
}

struct Pipe {
    exit: OwnedFd,
    entry: OwnedFd,
}

impl Pipes {
    /// An empty pool of pipes of `wish` bytes each, as far as the kernel grants them.
    pub(super) fn new(wish: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), wish }
    }

    fn carrier(&self) -> Carrier {
        let idle = self.idle.lock().expect("nobody panics with the lock held").pop();
        match idle.map_or_else(|| self.create(), Ok) {
            Ok(pipe) => Carrier::Pipe(pipe),
            Err(error) => {
                tracing::debug!(%error, "no pipe, bytes are copied");
                Carrier::Buffer(vec![0; LEAST_BYTES])
            }
        }
    }

    fn create(&self) -> io::Result<Pipe> {
        let (exit, entry) = rustix::pipe::pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        let size = rustix::pipe::fcntl_setpipe_size(&entry, self.wish)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&entry))?;
        if size < LEAST_BYTES {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Pipe { exit, entry })
    }

    fn keep(&self, pipe: Pipe) {
        let mut idle = self.idle.lock().expect("nobody panics with the lock held");
        if idle.len() < MOST_IDLE {
            idle.push(pipe);
        }
    }
}

/// Bytes taken from one socket and not yet given to the other. Dropping it loses them.
pub(super) struct Load<'a> {
    pipes: &'a Pipes,
    carrier: Carrier,
    left: usize,
}

enum Carrier {
    Pipe(Pipe),
    /// Filled from the front; the bytes that are left stand at its end.
    Buffer(Vec<u8>),
}

impl<'a> Load<'a> {
    /// Takes what `from` has, without waiting; an empty load is the end of the stream.
    pub(super) fn take(pipes: &'a Pipes, from: &TcpStream) -> io::Result<Self> {
        let mut load = Self { pipes, carrier: pipes.carrier(), left: 0 };
        load.left = match &mut load.carrier {
            Carrier::Pipe(pipe) => splice(from, &pipe.entry, MOST_BYTES)?,
            Carrier::Buffer(bytes) => {
                let room = bytes.as_mut_slice();
                let (got, _) = retry_on_intr(|| rustix::net::recv(from, &mut *room, RecvFlags::empty()))?;
                bytes.truncate(got);
                got
            }
        };
        Ok(load)
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Gives `to` what it takes without waiting, and tells how many bytes that were.
    ///
    /// All bytes there are go in one call, so the kernel holds none back for more to come.
    pub(super) fn give(&mut self, to: &TcpStream) -> io::Result<usize> {
        let given = match &self.carrier {
            Carrier::Pipe(pipe) => splice(&pipe.exit, to, self.left)?,
            Carrier::Buffer(bytes) => {
                let rest = bytes.get(bytes.len() - self.left..).unwrap_or_default();
                retry_on_intr(|| rustix::net::send(to, rest, SendFlags::NOSIGNAL))?
            }
        };
        self.left -= given;
        Ok(given)
    }
}

impl Drop for Load<'_> {
    /// Only an empty pipe goes back: another connection must never find these bytes.
    fn drop(&mut self) {
        let carrier = mem::replace(&mut self.carrier, Carrier::Buffer(Vec::new()));
        if let (Carrier::Pipe(pipe), 0) = (carrier, self.left) {
            self.pipes.keep(pipe);
        }
    }
}

fn splice(from: &impl std::os::fd::AsFd, to: &impl std::os::fd::AsFd, most: usize) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    Ok(retry_on_intr(|| rustix::pipe::splice(from, None, to, None, most, flags))?)
}

/// The size of a pipe, in bytes.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// A smaller pipe is worse than a buffer of this many bytes.
const LEAST_BYTES: usize = 64 << 10;
/// Pipes kept for later.
const MOST_IDLE: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (dialled, listener.accept().await.unwrap().0)
    }

    /// Moves `text` through one load, in two gives when a pipe allows it, and hands back what arrived.
    async fn carry(pipes: &Pipes, text: &[u8]) -> (Vec<u8>, bool) {
        let ((mut source, from), (to, mut sink)) = (pair().await, pair().await);
        source.write_all(text).await.unwrap();
        from.readable().await.unwrap();
        let mut load = Load::take(pipes, &from).unwrap();
        assert_eq!(load.left(), text.len());
        let copied = matches!(load.carrier, Carrier::Buffer(_));
        assert_eq!(load.give(&to).unwrap(), text.len());
        let mut got = vec![0; text.len()];
        sink.read_exact(&mut got).await.unwrap();
        (got, copied)
    }

    #[tokio::test]
    async fn an_emptied_pipe_serves_the_next_load() {
        let pipes = Pipes::new(MOST_BYTES);
        for _ in 0..3 {
            assert_eq!(carry(&pipes, b"bytes").await, (b"bytes".to_vec(), false));
            assert_eq!(pipes.idle.lock().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn bytes_are_copied_when_the_kernel_grants_small_pipes_only() {
        let pipes = Pipes::new(4096);
        assert_eq!(carry(&pipes, b"bytes").await, (b"bytes".to_vec(), true));
        assert!(pipes.idle.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_pipe_with_bytes_in_it_is_not_used_again() {
        let pipes = Pipes::new(MOST_BYTES);
        let (mut source, from) = pair().await;
        source.write_all(b"secret").await.unwrap();
        from.readable().await.unwrap();
        drop(Load::take(&pipes, &from).unwrap());
        assert!(pipes.idle.lock().unwrap().is_empty());
    }
}
