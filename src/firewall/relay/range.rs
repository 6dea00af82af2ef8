//! Ranges of ports that are open to one client while its session is encrypted from end to end.
//!
//! Does: say which range a connection belongs to and make its pinhole. Does not: listen. Called by the
//! [`table`](super::table).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::connection::Pinhole;
use super::orders::Orders;
use super::{DataObserver, PinholeId};
use crate::pinhole::{DataEvent, Direction, Expectation, Order, Triple};
use crate::policy::{Policy, RangePermit};

/// One session's range.
pub(super) struct Range {
    pub(super) id: PinholeId,
    pub(super) permit: RangePermit,
    pub(super) policy: Arc<Policy>,
    pub(super) owner: Arc<dyn DataObserver>,
}

impl Range {
    /// Whether its connections come by the control connections' listener.
    pub(super) fn is_intercepted(&self) -> bool {
        self.policy.intercepted
    }

    /// Where it listens, unless its connections are intercepted.
    pub(super) fn addrs(&self) -> impl Iterator<Item = SocketAddr> {
        let (listen, ports) = (self.permit.listen(), self.permit.ports());
        (0..ports.count()).filter_map(|index| ports.nth(index)).map(move |port| SocketAddr::new(listen, port))
    }

    /// Whether `triple` lies within.
    fn holds(&self, triple: &Triple) -> bool {
        self.is_between(triple.dialler, triple.listen) && self.permit.ports().contains(triple.port)
    }

    fn is_between(&self, dialler: IpAddr, listen: IpAddr) -> bool {
        (self.permit.dialler(), self.permit.listen()) == (dialler, listen)
    }

    /// The pinhole of a connection at `triple`, which goes to the same port of the server at once.
    fn pinhole(&self, id: PinholeId, triple: Triple) -> Option<Pinhole> {
        let expectation = Expectation::new(self.permit.at(triple.port)?, None);
        let orders = Orders::default();
        orders.give(Order::Flow(Direction::Both));
        let (policy, owner) = (Arc::clone(&self.policy), Arc::clone(&self.owner));
        Some(Pinhole { id, triple, expectation, policy, owner, orders })
    }
}

/// The ranges that are open.
#[derive(Default)]
pub(super) struct Ranges(Vec<Arc<Range>>);

impl Ranges {
    /// Whether the client of `range` has one to another server at some of its ports: nobody could tell whose a
    /// connection is.
    pub(super) fn contradict(&self, range: &Range) -> bool {
        let permit = &range.permit;
        let mut same = self.0.iter().filter(|open| open.is_between(permit.dialler(), permit.listen()));
        same.any(|open| open.permit.server() != permit.server() && open.permit.ports().meets(permit.ports()))
    }

    pub(super) fn add(&mut self, range: Arc<Range>) {
        self.0.push(range);
    }

    pub(super) fn remove(&mut self, id: PinholeId) -> Option<Arc<Range>> {
        let index = self.0.iter().position(|range| range.id == id)?;
        Some(self.0.swap_remove(index))
    }

    /// The pinhole `id` for a connection at `triple`. Its session is told; where the client has several, any
    /// of them is as good, as all lead to one server.
    pub(super) fn enter(&self, id: PinholeId, triple: &Triple) -> Option<Arc<Pinhole>> {
        let range = self.0.iter().rev().find(|range| range.holds(triple))?;
        let pinhole = Arc::new(range.pinhole(id, *triple)?);
        range.owner.notify(range.id, DataEvent::Entered { pinhole: id, port: triple.port });
        Some(pinhole)
    }
}
