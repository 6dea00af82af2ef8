//! One pinhole, and the data connection that it becomes: held, dialled, pumped, closed.
//!
//! Does: wait for the engine's orders, dial the far end, report [`DataEvent::Closed`] once. Does not:
//! accept or decide who may connect. Called by [`listener`](super::listener), one task per data
//! connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::orders::Orders;
use super::pump::{Meter, Pump};
use super::{DataObserver, Shared};
use crate::ids::PinholeId;
use crate::pinhole::{Closed, DataEvent, Expectation, Triple};
use crate::policy::{Policy, TransferMode};
use crate::reason::Reason;

/// A pinhole from its opening to its end.
pub(super) struct Pinhole {
    pub(super) id: PinholeId,
    pub(super) triple: Triple,
    pub(super) expectation: Expectation,
    pub(super) policy: Arc<Policy>,
    pub(super) owner: Arc<dyn DataObserver>,
    pub(super) orders: Orders,
}

impl Pinhole {
    /// Tells the session.
    pub(super) fn tell(&self, event: DataEvent) {
        self.owner.notify(self.id, event);
    }

    /// Has the data connection whose dialling side is `near` to its end.
    pub(super) async fn carry(self: Arc<Self>, shared: Arc<Shared>, near: TcpStream) {
        let meter = Meter::start();
        let end = self.connect(&shared, &near, &meter).await;
        if end.is_err() {
            cut(&near);
        }
        drop(near);
        shared.table().forget(self.id);
        self.tell(DataEvent::Closed(Closed {
            bytes_to_server: Some(meter.to_server.load(Relaxed)),
            bytes_to_client: Some(meter.to_client.load(Relaxed)),
            duration: meter.elapsed(),
            reason: end.err(),
        }));
    }

    /// Dials the far end once that is allowed; what goes wrong from then on resets both ends.
    async fn connect(&self, shared: &Shared, near: &TcpStream, meter: &Meter) -> Result<(), Reason> {
        if self.expectation.mode() == TransferMode::Active {
            self.orders.activated().await?;
        }
        let far = self.dial().map_err(|error| self.dial_failed(&error))?;
        let end = self.converse(shared, near, &far, meter).await;
        if end.is_err() {
            cut(&far);
        }
        end
    }

    /// Lets the bytes flow once `far` answered and the transfer command came.
    async fn converse(
        &self,
        shared: &Shared,
        near: &TcpStream,
        far: &TcpStream,
        meter: &Meter,
    ) -> Result<(), Reason> {
        tokio::select! {
            biased;
            reason = self.orders.closed() => return Err(reason),
            dialled = timeout(self.policy.timeouts.connect, established(far)) => {
                dialled.unwrap_or_else(|late| Err(late.into())).map_err(|error| self.dial_failed(&error))?;
            }
        }
        if self.expectation.mode() == TransferMode::Active {
            self.tell(DataEvent::Joined);
        }
        let direction = self.orders.flow().await?;
        let (client, server) = match self.expectation.mode() {
            TransferMode::Active => (far, near),
            TransferMode::Passive => (near, far),
        };
        let (pipes, orders, idle) = (&shared.pipes, &self.orders, self.policy.timeouts.data_idle);
        Pump { client, server, meter, pipes, orders, idle }.run(direction).await
    }

    /// Begins to connect to the far end, from the address and, in active mode, the port that it expects.
    fn dial(&self) -> io::Result<TcpStream> {
        let permit = self.expectation.permit();
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(permit.to()), kind, Some(Protocol::TCP))?;
        let fixed = match permit.mode() {
            TransferMode::Active => self.policy.active_source_port,
            TransferMode::Passive => None,
        };
        if let Some(ip) = permit.bind() {
            match fixed {
                Some(_) => socket.set_reuse_address(true)?,
                // The kernel picks the port when it connects, when it knows the far end and can use a
                // port again; picking at bind runs out of ports and searches long before it does.
                None => setsockopt(&socket, IpBindAddressNoPort, &true)?,
            }
            socket.bind(&SocketAddr::new(ip, fixed.unwrap_or(0)).into())?;
        }
        match rustix::net::connect(&socket, &permit.to()) {
            Ok(()) | Err(Errno::INPROGRESS) => TcpStream::from_std(socket.into()),
            Err(error) => Err(error.into()),
        }
    }

    fn dial_failed(&self, error: &io::Error) -> Reason {
        tracing::debug!(pinhole = %self.id, to = %self.expectation.permit().to(), %error, "cannot dial");
        Reason::DialFailed
    }
}

/// Waits until a connect that was begun has come to its end.
async fn established(stream: &TcpStream) -> io::Result<()> {
    stream.writable().await?;
    stream.take_error()?.map_or(Ok(()), Err)
}

/// Makes the close of `stream` a reset, so that its peer cannot take it for an orderly end.
pub(super) fn cut(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "cannot reset");
    }
}
