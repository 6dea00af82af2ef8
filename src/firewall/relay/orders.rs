//! What the engine has ordered of one pinhole so far, and the wait for it.
//!
//! Orders only add up: a direction, once given, is never changed and a close is never taken back.
//! Written by the relay's `order`, awaited by the one task that has the data connection.

use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::pinhole::{Direction, Order, Protected};
use crate::reason::Reason;

/// The orders given to one pinhole.
#[derive(Default)]
pub(super) struct Orders {
    active: OnceLock<()>,
    protect: OnceLock<Protected>,
    flow: OnceLock<Direction>,
    close: OnceLock<()>,
    given: Notify,
}

impl Orders {
    /// Adds `order` and wakes the task that waits, if any. A second direction is ignored: it would
    /// widen the pinhole.
    pub(super) fn give(&self, order: Order) {
        let _ = match order {
            Order::Activate => self.active.set(()).is_ok(),
            Order::Protect(legs) => self.protect.set(legs).is_ok(),
            Order::Flow(direction) => self.flow.set(direction).is_ok(),
            Order::Close => self.close.set(()).is_ok(),
        };
        // One task waits; the permit is kept when it is not waiting just now.
        self.given.notify_one();
    }

    /// Waits until the pinhole may carry a connection.
    pub(super) async fn activated(&self) -> Result<(), Reason> {
        self.first(|orders| orders.active.get().copied()).await
    }

    /// Which legs are under TLS; known once bytes may flow.
    pub(super) fn protected(&self) -> Protected {
        self.protect.get().copied().unwrap_or_default()
    }

    /// Waits until bytes may flow.
    pub(super) async fn flow(&self) -> Result<Direction, Reason> {
        self.first(|orders| orders.flow.get().copied()).await
    }

    /// Waits for [`Order::Close`].
    pub(super) async fn closed(&self) -> Reason {
        match self.first(|_| None::<std::convert::Infallible>).await {
            Err(reason) => reason,
        }
    }

    /// Waits for what `find` looks for; a close comes before it.
    async fn first<T>(&self, find: impl Fn(&Self) -> Option<T>) -> Result<T, Reason> {
        loop {
            if self.close.get().is_some() {
                return Err(Reason::Aborted);
            }
            if let Some(found) = find(self) {
                return Ok(found);
            }
            self.given.notified().await;
        }
    }
}
