//! Firewall backends: what opens, narrows and closes pinholes on behalf of the engine.
//!
//! A shell: it has sockets and tasks. The proxy calls [`PinholeBackend`] with what the engine put
//! out and hands the [`DataEvent`]s back to the session that the pinhole belongs to.

pub mod nftables;
pub mod recorder;
pub mod relay;
pub mod socket;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::ids::PinholeId;
use crate::pinhole::{DataEvent, Expectation, OpenError, Opened, Order};
use crate::policy::{Policy, RangePermit};
use crate::tls::Keys;

pub use nftables::{Nftables, NftablesError};
pub use recorder::Recorder;
pub use relay::Relay;

/// Opens pinholes. Every call but the last returns at once; nothing blocks the caller's thread.
pub trait PinholeBackend: Send + Sync {
    /// Opens the pinhole (passive) or reserves it (active, until [`Order::Activate`]), on a port of
    /// the service's range, and from then on reports to `owner`.
    ///
    /// # Errors
    /// No port is free, or the backend failed. Then nothing is open.
    fn open(
        &self,
        expectation: Expectation,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<Opened, OpenError>;

    /// Opens every port of a range, for the connections of one client until it is ordered closed, and from then
    /// on reports each to `owner` as [`DataEvent::Entered`]. Connections that have come go on after that.
    ///
    /// # Errors
    /// A port is taken, the client has a range open to another server, or the backend failed. Then nothing is
    /// open.
    fn open_range(
        &self,
        permit: RangePermit,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<PinholeId, OpenError>;

    /// Takes an intercepted connection of `from` to `dialled` that belongs to a range; gives it back when it does
    /// to none.
    fn enter_range(&self, stream: TcpStream, from: SocketAddr, dialled: SocketAddr) -> Option<TcpStream>;

    /// Carries out `order`; a pinhole that is gone already is no error.
    fn order(&self, pinhole: PinholeId, order: Order);

    /// The gateway is about to end: from now on a connection that needs no process goes on when it is
    /// ordered closed, and is reported as [`Reason::Draining`](crate::reason::Reason::Draining).
    fn release(&self) {}

    /// Takes back what the backend put into the kernel, and tells how many connections still run there. They
    /// keep what they need. The last call; it may take a while.
    fn stop(&self) -> usize {
        0
    }
}

/// Who is told what becomes of a pinhole: the session that asked for it.
pub trait DataObserver: Send + Sync {
    /// Takes the event; never blocks. It may come before [`PinholeBackend::open`] has returned.
    fn notify(&self, pinhole: PinholeId, event: DataEvent);

    /// The session's TLS, where its service has any.
    fn keys(&self) -> Option<&Keys> {
        None
    }
}
