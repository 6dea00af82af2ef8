//! Moves the bytes of one data connection and counts them.
//!
//! Does: the direction of the transfer only, half-closes passed on, the idle time-out. Does not: dial,
//! choose the direction or change a byte (P9). Called by [`connection`](super::connection).
//!
//! A byte is counted when the kernel has taken it for the far end. After an orderly end that is what
//! was sent; after a reset it is what was passed on, whether the far end read it or not.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::orders::Orders;
use super::pipe::{Load, Pipes};
use crate::pinhole::Direction;
use crate::reason::Reason;

/// What has moved so far and when. Atomic because two directions share it, not for other threads.
pub(super) struct Meter {
    started: Instant,
    /// Microseconds after `started` at which a byte last moved.
    moved: AtomicU64,
    /// Payload bytes.
    pub(super) to_server: AtomicU64,
    /// Payload bytes.
    pub(super) to_client: AtomicU64,
}

impl Meter {
    /// Nothing has moved; the connection begins now.
    pub(super) fn start() -> Self {
        let zero = || AtomicU64::new(0);
        Self { started: Instant::now(), moved: zero(), to_server: zero(), to_client: zero() }
    }

    /// Since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts `bytes` that have just moved.
    pub(super) fn count(&self, count: &AtomicU64, bytes: usize) {
        count.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
        self.touch();
    }

    pub(super) fn touch(&self) {
        self.moved.store(u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Completes when no byte has moved for `limit`. The timer runs out and looks; it is not set
    /// anew for every byte.
    async fn idle(&self, limit: Duration) -> Reason {
        loop {
            let quiet = self.elapsed().saturating_sub(Duration::from_micros(self.moved.load(Relaxed)));
            match limit.checked_sub(quiet) {
                None | Some(Duration::ZERO) => return Reason::DataIdle,
                Some(left) => sleep(left).await,
            }
        }
    }
}

/// What ends a data connection besides its peers.
pub(super) struct Watch<'a> {
    pub(super) meter: &'a Meter,
    pub(super) orders: &'a Orders,
    /// How long no byte may move.
    pub(super) idle: Duration,
}

impl Watch<'_> {
    /// Moves the `payload` and keeps an eye on the other direction with `silence`, which ends when the receiver
    /// closes; that goes on to the sender by `give_back`. Then tells that the payload is `delivered`, with what
    /// came of it, and waits for the receiver to close too, but not for long: it has its end of file and the
    /// kernel delivers what is left.
    pub(super) async fn one_way<T>(
        &self,
        payload: impl Future<Output = Result<T, Reason>>,
        silence: impl Future<Output = Result<(), Reason>>,
        give_back: impl FnOnce() -> Result<(), Reason>,
        delivered: impl FnOnce(T),
    ) -> Result<(), Reason> {
        tokio::pin!(silence);
        let transfer = async {
            tokio::pin!(payload);
            tokio::select! {
                biased;
                back = &mut silence => {
                    back?;
                    give_back()?;
                    payload.await.map(|done| (done, true))
                }
                done = &mut payload => done.map(|done| (done, false)),
            }
        };
        let (done, closed) = self.bounded(transfer).await?;
        delivered(done);
        if closed {
            return Ok(());
        }
        tokio::select! {
            biased;
            reason = self.orders.closed() => Err(reason),
            end = timeout(self.idle.min(LINGER), silence) => end.unwrap_or(Ok(())),
        }
    }

    /// `moving`, unless the engine closes the pinhole or no byte moves for too long.
    pub(super) async fn bounded<T>(
        &self,
        moving: impl Future<Output = Result<T, Reason>>,
    ) -> Result<T, Reason> {
        tokio::select! {
            biased;
            reason = self.orders.closed() => Err(reason),
            end = moving => end,
            reason = self.meter.idle(self.idle) => Err(reason),
        }
    }
}

/// The two ends of a data connection with all that moving bytes between them takes.
pub(super) struct Pump<'a> {
    pub(super) client: &'a TcpStream,
    pub(super) server: &'a TcpStream,
    pub(super) pipes: &'a Pipes,
    pub(super) watch: Watch<'a>,
}

impl Pump<'_> {
    /// Lets bytes flow in `direction` until the end.
    ///
    /// # Errors
    /// Why both ends have to be reset.
    pub(super) async fn run(&self, direction: Direction) -> Result<(), Reason> {
        self.watch.meter.touch();
        let (client, server) = (self.client, self.server);
        match direction {
            Direction::ToServer => self.one_way(self.to_server(), client, server).await,
            Direction::ToClient => self.one_way(self.to_client(), server, client).await,
            Direction::Both => {
                let meter = self.watch.meter;
                let up = self.exchange(client, server, &meter.to_server);
                let down = self.exchange(server, client, &meter.to_client);
                let both = async { tokio::try_join!(up, down).map(|_| ()) };
                self.watch.bounded(both).await
            }
        }
    }

    async fn one_way(
        &self,
        payload: impl Future<Output = Result<(), Reason>>,
        sender: &TcpStream,
        receiver: &TcpStream,
    ) -> Result<(), Reason> {
        self.watch.one_way(payload, silent_end(receiver), || half_close(sender), |()| {}).await
    }

    async fn to_server(&self) -> Result<(), Reason> {
        Ok(self.forward(self.client, self.server, &self.watch.meter.to_server).await?)
    }

    async fn to_client(&self) -> Result<(), Reason> {
        Ok(self.forward(self.server, self.client, &self.watch.meter.to_client).await?)
    }

    /// One of two directions. A client that has sent its file may be gone when the server's last TLS records come
    /// (tickets, close_notify): what it sent must still arrive, so these are dropped.
    async fn exchange(&self, from: &TcpStream, to: &TcpStream, count: &AtomicU64) -> Result<(), Reason> {
        match self.forward(from, to, count).await {
            Err(Broken::Receiver) => drop_last_words(from).await,
            end => Ok(end?),
        }
    }

    /// Moves bytes until the end of file and passes that on.
    async fn forward(&self, from: &TcpStream, to: &TcpStream, count: &AtomicU64) -> Result<(), Broken> {
        loop {
            let taken = from.async_io(Interest::READABLE, || Load::take(self.pipes, from)).await;
            let mut load = taken.map_err(Broken::sender)?;
            if load.left() == 0 {
                return half_close(to).map_err(|_| Broken::Receiver);
            }
            while load.left() > 0 {
                let given = to.async_io(Interest::WRITABLE, || load.give(to)).await;
                let given = given.map_err(Broken::receiver)?;
                self.watch.meter.count(count, given);
            }
        }
    }
}

/// Which end of a direction is gone.
#[derive(Debug, Clone, Copy)]
enum Broken {
    Sender,
    Receiver,
}

impl Broken {
    fn sender(error: io::Error) -> Self {
        reset(error);
        Self::Sender
    }

    fn receiver(error: io::Error) -> Self {
        reset(error);
        Self::Receiver
    }
}

impl From<Broken> for Reason {
    fn from(_: Broken) -> Self {
        Self::DataReset
    }
}

/// Takes what `from` says to its end, which nobody wants any more; it must not be much.
async fn drop_last_words(from: &TcpStream) -> Result<(), Reason> {
    let mut words = vec![0; LAST_WORDS];
    while !words.is_empty() {
        let take = || Ok(rustix::net::recv(from, &mut *words, RecvFlags::empty())?.0);
        match from.async_io(Interest::READABLE, take).await.map_err(reset)? {
            0 => return Ok(()),
            count => words.truncate(words.len() - count),
        }
    }
    Err(Reason::DataReset)
}

/// Waits for the end of file from the end that may send nothing. A byte from it stays unread.
pub(super) async fn silent_end(receiver: &TcpStream) -> Result<(), Reason> {
    let peek = || Ok(rustix::net::recv(receiver, &mut [0u8; 1], RecvFlags::PEEK)?.0);
    match receiver.async_io(Interest::READABLE, peek).await.map_err(reset)? {
        0 => Ok(()),
        _ => Err(Reason::WrongDirection),
    }
}

/// Passes an end of file on.
pub(super) fn half_close(to: &TcpStream) -> Result<(), Reason> {
    SockRef::from(to).shutdown(Shutdown::Write).map_err(reset)
}

pub(super) fn reset(error: io::Error) -> Reason {
    tracing::debug!(%error, "data connection broke");
    Reason::DataReset
}

/// How much a sender may say to a receiver that is gone, in bytes: more than the last records of TLS.
const LAST_WORDS: usize = 16 << 10;

/// How long the receiver of a complete transfer may take to close its half.
const LINGER: Duration = Duration::from_secs(5);
