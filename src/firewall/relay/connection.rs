//! One pinhole, and the data connection that it becomes: held, dialled, pumped, closed.
//!
//! Does: wait for the engine's orders, dial the far end, report [`DataEvent::Closed`] once. Does not:
//! accept or decide who may connect. Called by [`listener`](super::listener), one task per data
//! connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::orders::Orders;
use super::protected::Terminator;
use super::pump::{Meter, Pump, Watch};
use super::{DataObserver, Shared};
use crate::firewall::socket::{Origin, connect, established};
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
        let far = self.dial(shared.mark).map_err(|error| self.dial_failed(&error))?;
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
        let watch = Watch { meter, orders: &self.orders, idle: self.policy.timeouts.data_idle };
        let legs = self.orders.protected();
        if !legs.any() {
            return Pump { client, server, pipes: &shared.pipes, watch }.run(direction).await;
        }
        // A session without keys has no TLS to promise.
        let keys = self.owner.keys().ok_or(Reason::DataTls)?;
        let unclosed = self.policy.tolerate.missing_close_notify;
        let terminator = Terminator { client, server, keys, legs, unclosed, watch };
        terminator.run(direction, |notified| self.tell(DataEvent::Delivered { notified })).await
    }

    /// Begins to connect to the far end, from the address and, in active mode, the port that it expects.
    fn dial(&self, mark: u32) -> io::Result<TcpStream> {
        let permit = self.expectation.permit();
        let port = self.policy.source_port(permit.mode());
        let transparent = self.policy.transparent.then_some(mark);
        connect(permit.to(), &Origin { ip: permit.bind(), port, transparent })
    }

    fn dial_failed(&self, error: &io::Error) -> Reason {
        tracing::debug!(pinhole = %self.id, to = %self.expectation.permit().to(), %error, "cannot dial");
        Reason::DialFailed
    }
}

/// Makes the close of `stream` a reset, so that its peer cannot take it for an orderly end.
pub(super) fn cut(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "cannot reset");
    }
}
