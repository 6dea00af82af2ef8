//! What a pinhole is in the kernel: elements of the sets and maps of `table.nft`.
//!
//! Pure. All are keyed by the triple of who dials, whom and which port.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::addr::Family;
use crate::netlink::{Change, Data, Element};
use crate::pinhole::{Expectation, Triple};
use crate::policy::Policy;

/// How much longer than the pinhole itself the elements live that say what becomes of its connection.
const GRACE: Duration = Duration::from_secs(60);

/// Which way payload may flow, seen from who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Neither way yet.
    Hold,
    /// As the connection was dialled.
    Original,
    /// Back.
    Reply,
    /// Both ways.
    Both,
}

impl Way {
    /// The prefix of the header copies of connections that are marked so.
    fn prefix(self) -> &'static str {
        match self {
            Way::Hold => "hold",
            Way::Original => "original",
            Way::Reply => "reply",
            Way::Both => "both",
        }
    }

    /// The one whose header copies have this prefix.
    pub(super) fn of_prefix(prefix: &[u8]) -> Option<Self> {
        let all = [Way::Hold, Way::Original, Way::Reply, Way::Both];
        all.into_iter().find(|way| way.prefix().as_bytes() == prefix)
    }
}

/// A pinhole as the kernel needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) triple: Triple,
    /// Where its connection goes on to.
    pub(super) to: SocketAddr,
    /// Whom it seems to come from, there, and from which port; `None`: as it came.
    from: Option<(IpAddr, Option<u16>)>,
}

impl Spec {
    /// The pinhole of `expectation` on the gateway port `port`.
    pub(super) fn new(expectation: &Expectation, policy: &Policy, port: u16) -> Self {
        let permit = expectation.permit();
        let fixed = policy.source_port(permit.mode());
        let from = permit.bind().filter(|bind| *bind != permit.dialler() || fixed.is_some());
        Self {
            triple: Triple { dialler: permit.dialler(), listen: permit.listen(), port },
            to: permit.to(),
            from: from.map(|ip| (ip, fixed)),
        }
    }

    /// The same on another gateway port.
    pub(super) fn on_port(mut self, port: u16) -> Self {
        self.triple.port = port;
        self
    }

    /// The address and port that the far end sees, where both are known beforehand.
    pub(super) fn fixed_source(&self) -> Option<SocketAddr> {
        let (ip, port) = self.from?;
        port.map(|port| SocketAddr::new(ip, port))
    }

    /// Opens the pinhole for `timeout`. The gate comes last; all of it is one transaction anyway.
    pub(super) fn open(&self, way: Way, timeout: Duration) -> Vec<Change> {
        let longer = timeout.saturating_add(GRACE);
        let mut changes = self.allow(way, timeout);
        if self.is_sent_on() {
            changes.push(self.add(
                self.sets().to,
                Some(Data::new().ip(self.to.ip()).port(self.to.port())),
                longer,
            ));
        }
        if let Some((set, data)) = self.seems_to_come_from() {
            changes.push(self.add(set, Some(data), longer));
        }
        changes.push(self.add(self.sets().gate, None, timeout));
        changes
    }

    /// Sets the direction for the connection that is to come, which nothing was allowed before.
    pub(super) fn allow(&self, way: Way, timeout: Duration) -> Vec<Change> {
        let longer = timeout.saturating_add(GRACE);
        self.sets().of_way(way).map(|set| self.add(set, None, longer)).into_iter().collect()
    }

    /// Shuts the gate.
    pub(super) fn shut(&self) -> Change {
        self.remove(self.sets().gate)
    }

    /// Takes out what only the first packet needs, when `way` was allowed.
    pub(super) fn clear(&self, way: Way) -> Vec<Change> {
        let mut changes: Vec<_> = self.sets().of_way(way).map(|set| self.remove(set)).into_iter().collect();
        if self.is_sent_on() {
            changes.push(self.remove(self.sets().to));
        }
        changes.extend(self.seems_to_come_from().map(|(set, _)| self.remove(set)));
        changes
    }

    /// Takes out who took the gate: the SYN of `dialler` need not come again.
    pub(super) fn settled(&self, dialler: SocketAddr) -> Change {
        let Triple { listen, port, .. } = self.triple;
        let key = Data::new().ip(dialler.ip()).port(dialler.port()).ip(listen).port(port);
        Change::Remove(Element::new(self.sets().took, key))
    }

    fn is_sent_on(&self) -> bool {
        self.to != SocketAddr::new(self.triple.listen, self.triple.port)
    }

    fn seems_to_come_from(&self) -> Option<(&'static str, Data)> {
        let (ip, port) = self.from?;
        Some(match port {
            Some(port) => (self.sets().from_port, Data::new().ip(ip).port(port)),
            None => (self.sets().from, Data::new().ip(ip)),
        })
    }

    fn add(&self, set: &'static str, value: Option<Data>, timeout: Duration) -> Change {
        Change::Add(Element { value, ..self.element(set) }.timeout(timeout))
    }

    fn remove(&self, set: &'static str) -> Change {
        Change::Remove(self.element(set))
    }

    fn element(&self, set: &'static str) -> Element {
        let Triple { dialler, listen, port } = self.triple;
        Element::new(set, Data::new().ip(dialler).ip(listen).port(port))
    }

    fn sets(&self) -> &'static Sets {
        match Family::of(self.triple.dialler) {
            Family::V4 => &V4,
            Family::V6 => &V6,
        }
    }
}

/// The names of a family's sets.
struct Sets {
    gate: &'static str,
    took: &'static str,
    original: &'static str,
    reply: &'static str,
    both: &'static str,
    to: &'static str,
    from: &'static str,
    from_port: &'static str,
}

impl Sets {
    fn of_way(&self, way: Way) -> Option<&'static str> {
        match way {
            Way::Hold => None,
            Way::Original => Some(self.original),
            Way::Reply => Some(self.reply),
            Way::Both => Some(self.both),
        }
    }
}

const V4: Sets = Sets {
    gate: "gate4",
    took: "took4",
    original: "original4",
    reply: "reply4",
    both: "both4",
    to: "to4",
    from: "from4",
    from_port: "fromport4",
};

const V6: Sets = Sets {
    gate: "gate6",
    took: "took6",
    original: "original6",
    reply: "reply6",
    both: "both6",
    to: "to6",
    from: "from6",
    from_port: "fromport6",
};
