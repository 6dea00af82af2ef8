//! All pinholes of the backend and the sockets to the kernel, under one lock.
//!
//! Does: carry out [`orders`]; make of header copies ([`hear`]) and of the kernel's list of connections ([`sweep`])
//! what became of each pinhole; see to what is due ([`upkeep`]). Does not: wait. Everything that has come from
//! the kernel is heard before an order is carried out, so that an order never acts on what was true before.

mod hear;
mod orders;
mod ranges;
mod sweep;
mod upkeep;

use std::collections::{HashMap, HashSet, VecDeque};
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use ranges::Pair;

use super::NftablesError;
use super::elements::Way;
use super::pinhole::{Phase, Pinhole};
use crate::config::Mark;
use crate::firewall::{PinholeBackend, Relay};
use crate::ids::PinholeId;
use crate::netlink::{Change, Conntrack, Flow, HeaderLog, Nft, NftError, TableState};
use crate::pinhole::{OpenError, Order, Triple};
use crate::policy::TransferMode;
use crate::reason::Reason;

/// All pinholes and the sockets to the kernel.
pub(super) struct State {
    nft: Nft,
    conntrack: Conntrack,
    log: HeaderLog,
    mark: Mark,
    relay: Arc<Relay>,
    pinholes: HashMap<PinholeId, Pinhole>,
    /// Pinholes that have elements in the kernel, by what their gates are keyed with.
    gates: HashMap<Triple, PinholeId>,
    /// Ranges of sessions that are encrypted from end to end.
    ranges: HashMap<PinholeId, Pair>,
    /// Connections by who dialled whom.
    flows: HashMap<Flow, PinholeId>,
    /// Connections that an earlier gateway has left to the kernel.
    inherited: HashSet<Flow>,
    /// Connections that ended while the kernel's list was read, in which they may still be.
    ended: Option<HashSet<Flow>>,
    /// Elements of no use any more, taken out with the next change.
    stale: Vec<Change>,
    /// Connections that were cut, and when.
    graves: VecDeque<(Instant, Flow)>,
    /// Whether the table is in the kernel as it was put there.
    intact: bool,
    /// Whether copies were lost: then a sweep has to find out what they would have said.
    lost: bool,
    /// Whether connections go on without us from now on.
    released: bool,
}

impl State {
    /// Nothing is open.
    pub(super) fn new(
        table: &str,
        mark: Mark,
        log: HeaderLog,
        relay: Arc<Relay>,
    ) -> Result<Self, NftablesError> {
        let mut conntrack = Conntrack::connect()?;
        let mut inherited = HashSet::new();
        conntrack.dump(mark.value(), mark.value(), |entry| inherited.extend([entry.original]))?;
        // Nobody else remembers those that an earlier gateway has cut.
        let mut cut = Vec::new();
        conntrack.dump(mark.low(), mark.mask(), |entry| cut.push(entry.original))?;
        cut.iter().for_each(|flow| warn(conntrack.delete(flow)));
        Ok(Self {
            nft: Nft::connect(table)?,
            conntrack,
            inherited,
            ended: None,
            log,
            mark,
            relay,
            pinholes: HashMap::new(),
            gates: HashMap::new(),
            ranges: HashMap::new(),
            flows: HashMap::new(),
            stale: Vec::new(),
            graves: VecDeque::new(),
            intact: true,
            lost: false,
            released: false,
        })
    }

    /// The gateway's bits.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// What becomes readable when the kernel reports something.
    pub(super) fn log(&self) -> BorrowedFd<'_> {
        self.log.as_fd()
    }

    /// What the table is in the kernel; `None` when it is gone.
    pub(super) fn table(&mut self) -> io::Result<Option<TableState>> {
        self.nft.state()
    }

    /// Opens the gate of a new pinhole.
    ///
    /// # Errors
    /// The kernel took no part of it.
    pub(super) fn open(&mut self, id: PinholeId, pinhole: Pinhole) -> Result<(), OpenError> {
        self.apply(pinhole.spec.open(Way::Hold, pinhole.timeout()))?;
        // Whoever took an earlier gate of the same triple did not take this one: nobody knows of it yet.
        self.hear();
        self.gates.insert(pinhole.spec.triple, id);
        self.pinholes.insert(id, pinhole);
        Ok(())
    }

    /// Enters a pinhole whose port the relay holds.
    pub(super) fn enter(&mut self, id: PinholeId, pinhole: Pinhole) {
        self.pinholes.insert(id, pinhole);
    }

    /// The relay has a connection for the pinhole `id`, which is the relay's from now on; false: the kernel came
    /// first, and the relay may not keep it.
    pub(super) fn hand_to_relay(&mut self, id: PinholeId) -> bool {
        self.hear();
        let Some(pinhole) = self.pinholes.get_mut(&id) else { return true };
        match pinhole.phase {
            Phase::Connected(_) => return false,
            Phase::Reserved | Phase::Relayed => pinhole.phase = Phase::Relayed,
            Phase::Open => {
                pinhole.phase = Phase::Relayed;
                self.gates.remove(&pinhole.spec.triple);
                self.stale.push(pinhole.spec.shut());
                self.stale.extend(pinhole.spec.clear(pinhole.allowed()));
                let _ = self.apply(Vec::new());
            }
        }
        true
    }

    /// Whether the relay carries the pinhole `id`.
    pub(super) fn is_relayed(&self, id: PinholeId) -> bool {
        let kernel = |pinhole: &Pinhole| matches!(pinhole.phase, Phase::Connected(_));
        !self.pinholes.get(&id).is_some_and(kernel)
    }

    /// Has the connection's next packets answered with resets, and reports its end.
    fn cut(&mut self, id: PinholeId, reason: Reason) {
        if let Some(flow) = self.pinholes.get_mut(&id).and_then(|pinhole| Some(pinhole.connection()?.flow)) {
            self.bury(flow);
        }
        self.end(id, None, Some(reason));
    }

    /// Reports the end of a connection.
    fn end(&mut self, id: PinholeId, payload: Option<(u64, u64)>, reason: Option<Reason>) {
        if let Some(mut pinhole) = self.forget(id) {
            pinhole.tell_closed(id, payload, reason);
        }
    }

    /// Marks `flow` as one that is to end; its entry is kept for a while.
    fn bury(&mut self, flow: Flow) {
        let (cut, mask) = (self.mark.low(), self.mark.mask());
        warn(self.conntrack.set_mark(&flow, cut, mask));
        self.graves.push_back((Instant::now(), flow));
    }

    /// Forgets a pinhole and what it has in the kernel.
    pub(super) fn forget(&mut self, id: PinholeId) -> Option<Pinhole> {
        self.settle(id);
        let mut pinhole = self.pinholes.remove(&id)?;
        if let Some(connection) = pinhole.connection() {
            self.flows.remove(&connection.flow);
            self.ended.as_mut().map(|ended| ended.insert(connection.flow));
        }
        Some(pinhole)
    }

    /// Gives up the elements that only a first packet needs, and the port; they go with the next change.
    fn settle(&mut self, id: PinholeId) {
        let Some(pinhole) = self.pinholes.get_mut(&id) else { return };
        // Once is enough: another pinhole may have the triple by now.
        if self.gates.get(&pinhole.spec.triple) != Some(&id) {
            return;
        }
        self.gates.remove(&pinhole.spec.triple);
        // The gate as well: it may have been set anew just when somebody took it.
        self.stale.push(pinhole.spec.shut());
        self.stale.extend(pinhole.spec.clear(pinhole.allowed()));
        if let Some(dialler) = pinhole.connection().map(|connection| connection.flow.src) {
            self.stale.push(pinhole.spec.settled(dialler));
        }
        match pinhole.mode {
            TransferMode::Active => self.relay.order(id, Order::Close),
            TransferMode::Passive => self.relay.unclaim(&pinhole.spec.triple),
        }
    }

    /// From now on connections are left to the kernel when they are ordered closed.
    pub(super) fn release(&mut self) {
        self.hear();
        self.released = true;
    }

    /// One transaction, with what is of no use any more.
    fn apply(&mut self, changes: Vec<Change>) -> Result<(), OpenError> {
        if !self.intact {
            return Err(OpenError::Backend);
        }
        let old = self.stale.len();
        self.stale.extend(changes);
        let result = self.nft.apply(&self.stale);
        if result.is_ok() {
            self.stale.clear();
        } else {
            self.stale.truncate(old);
        }
        result.map_err(|error| {
            tracing::error!(error = &error as &(dyn Error + 'static), "cannot change pinholes");
            self.intact &= !matches!(error, NftError::Gone { .. });
            OpenError::Backend
        })
    }
}

/// What fails without harm leaves a line in the log.
fn warn<T>(result: io::Result<T>) {
    if let Err(error) = result {
        tracing::warn!(%error, "cannot change a connection");
    }
}
