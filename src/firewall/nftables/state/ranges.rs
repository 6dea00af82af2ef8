//! Ranges of sessions that are encrypted from end to end: connections from their client to their server are
//! intercepted while they last, and the relay carries them.

use std::collections::HashSet;
use std::net::IpAddr;

use super::State;
use crate::addr::Family;
use crate::ids::PinholeId;
use crate::netlink::{Change, Data, Element};
use crate::pinhole::OpenError;

/// A client and the server whose address it dials.
pub(super) type Pair = (IpAddr, IpAddr);

impl State {
    /// Has connections of `pair` intercepted for the range `id`.
    ///
    /// # Errors
    /// The kernel did not take it.
    pub(crate) fn open_range(&mut self, id: PinholeId, pair: Pair) -> Result<(), OpenError> {
        if !self.has_range(pair) {
            self.apply(vec![Change::Add(element(pair))])?;
        }
        self.ranges.insert(id, pair);
        Ok(())
    }

    /// Ends that, unless another session of the two lasts.
    pub(super) fn close_range(&mut self, id: PinholeId) {
        let Some(pair) = self.ranges.remove(&id) else { return };
        if !self.has_range(pair) {
            self.stale.push(Change::Remove(element(pair)));
            self.flush();
        }
    }

    fn has_range(&self, pair: Pair) -> bool {
        self.ranges.values().any(|open| *open == pair)
    }

    /// The elements of all of them, for a table that is new.
    pub(super) fn range_elements(&self) -> Vec<Change> {
        let pairs: HashSet<_> = self.ranges.values().copied().collect();
        pairs.into_iter().map(|pair| Change::Add(element(pair))).collect()
    }
}

fn element((client, server): Pair) -> Element {
    let set = match Family::of(client) {
        Family::V4 => "range4",
        Family::V6 => "range6",
    };
    Element::new(set, Data::new().ip(client).ip(server))
}
