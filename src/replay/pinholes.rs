//! The pinholes that the gateway would have opened, by whom the capture would show dialling them.
//!
//! A capture shows connections as they were without this gateway, so a data connection goes straight to where the
//! pinhole would have led.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::addr::PortSet;
use crate::ids::{PinholeId, SessionId};
use crate::pinhole::{Direction, Expectation, Ledger, OpenError, Opened, Order, Triple};
use crate::policy::{Policy, TransferMode};
use crate::time::Timestamp;

/// A pinhole and the connection that uses it.
#[derive(Debug)]
pub(super) struct Pinhole {
    pub(super) session: SessionId,
    pub(super) mode: TransferMode,
    triple: Triple,
    way: Way,
    /// Since when it has a connection.
    connected: Option<Timestamp>,
    pub(super) direction: Option<Direction>,
}

/// Who dials whom, as a capture shows it.
type Way = (IpAddr, SocketAddr);

/// What becomes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It uses the pinhole.
    First(PinholeId, TransferMode),
    /// The pinhole has a connection already.
    Second(PinholeId),
}

/// All pinholes of a replay.
#[derive(Debug, Default)]
pub(super) struct Pinholes {
    ledger: Ledger<PinholeId>,
    pinholes: HashMap<PinholeId, Pinhole>,
    /// The newest pinhole for each way.
    ways: HashMap<Way, PinholeId>,
    /// How many wait for a connection from one address to another.
    pending: HashMap<(IpAddr, IpAddr), u32>,
    most_pending: u32,
    opened: u64,
}

impl Pinholes {
    /// A name that no other pinhole has.
    pub(super) fn name(&mut self) -> PinholeId {
        self.opened += 1;
        PinholeId(self.opened)
    }

    pub(super) fn open(
        &mut self,
        session: SessionId,
        expectation: &Expectation,
        policy: &Policy,
    ) -> Result<Opened, OpenError> {
        let permit = expectation.permit();
        let (mode, dialler, listen) = (permit.mode(), permit.dialler(), permit.listen());
        let triple = self.free(expectation, policy).ok_or(OpenError::NoFreePort { dialler, listen })?;
        let id = self.name();
        let taken = self.ledger.take(triple, id);
        debug_assert!(taken.is_ok(), "a candidate is free");
        let way = (dialler, permit.to());
        self.ways.insert(way, id);
        self.pinholes.insert(id, Pinhole { session, mode, triple, way, connected: None, direction: None });
        let pending = self.pending.entry((dialler, listen)).or_default();
        *pending += 1;
        if mode == TransferMode::Passive {
            self.most_pending = self.most_pending.max(*pending);
        }
        Ok(Opened { id, port: triple.port, relayed: None })
    }

    fn free(&self, expectation: &Expectation, policy: &Policy) -> Option<Triple> {
        let ports: &PortSet = match expectation.mode() {
            TransferMode::Active => &policy.active_ports,
            TransferMode::Passive => &policy.passive_ports,
        };
        let permit = expectation.permit();
        // Not one by one: a client may ask again and again.
        if self.pending.get(&(permit.dialler(), permit.listen())).is_some_and(|count| *count >= ports.count())
        {
            return None;
        }
        let mut free = self.ledger.candidates(permit.dialler(), permit.listen(), ports, 0);
        match expectation.port {
            Some(port) => free.find(|triple| triple.port == port),
            None => free.next(),
        }
    }

    /// Somebody dials: which pinhole lets it in?
    pub(super) fn dialled(&mut self, now: Timestamp, from: IpAddr, to: SocketAddr) -> Option<Match> {
        let id = *self.ways.get(&(from, to))?;
        let pinhole = self.pinholes.get_mut(&id)?;
        if pinhole.connected.is_some() {
            return Some(Match::Second(id));
        }
        pinhole.connected = Some(now);
        let mode = pinhole.mode;
        self.free_port(id);
        Some(Match::First(id, mode))
    }

    /// Carries out what the engine orders; `true`: a connection is to be cut.
    pub(super) fn order(&mut self, id: PinholeId, order: Order) -> bool {
        let Some(pinhole) = self.pinholes.get_mut(&id) else { return false };
        match order {
            Order::Activate | Order::Protect(_) => false,
            Order::Flow(direction) => {
                pinhole.direction = Some(direction);
                false
            }
            Order::Close if pinhole.connected.is_some() => true,
            Order::Close => {
                self.forget(id);
                false
            }
        }
    }

    pub(super) fn get(&self, id: PinholeId) -> Option<&Pinhole> {
        self.pinholes.get(&id)
    }

    /// How long its connection has been there; `None` when it has none.
    pub(super) fn connected_for(&self, id: PinholeId, now: Timestamp) -> Option<Duration> {
        Some(now.since(self.pinholes.get(&id)?.connected?))
    }

    /// The most passive pinholes that waited at one time between one pair of addresses.
    pub(super) fn most_pending(&self) -> u32 {
        self.most_pending
    }

    pub(super) fn session(&self, id: PinholeId) -> Option<SessionId> {
        self.pinholes.get(&id).map(|pinhole| pinhole.session)
    }

    pub(super) fn forget(&mut self, id: PinholeId) {
        self.free_port(id);
        let Some(pinhole) = self.pinholes.remove(&id) else { return };
        if self.ways.get(&pinhole.way) == Some(&id) {
            self.ways.remove(&pinhole.way);
        }
    }

    /// The port waits for nobody any more.
    fn free_port(&mut self, id: PinholeId) {
        let Some(pinhole) = self.pinholes.get(&id) else { return };
        if self.ledger.get(&pinhole.triple) != Some(&id) {
            return;
        }
        self.ledger.release(&pinhole.triple);
        let pair = (pinhole.triple.dialler, pinhole.triple.listen);
        if let Some(pending) = self.pending.get_mut(&pair) {
            *pending = pending.saturating_sub(1);
            if *pending == 0 {
                self.pending.remove(&pair);
            }
        }
    }
}
