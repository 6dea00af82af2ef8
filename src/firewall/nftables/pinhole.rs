//! One pinhole of the nftables backend: what it is in the kernel, and how far it has got.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::elements::{Spec, Way};
use crate::firewall::DataObserver;
use crate::ids::PinholeId;
use crate::pinhole::{Closed, DataEvent, Direction};
use crate::policy::{Policy, TransferMode};
use crate::reason::Reason;

/// A pinhole from its opening to its end.
pub(super) struct Pinhole {
    pub(super) spec: Spec,
    pub(super) mode: TransferMode,
    pub(super) policy: Arc<Policy>,
    owner: Arc<dyn DataObserver>,
    pub(super) phase: Phase,
    /// The direction that the transfer command gave.
    pub(super) wanted: Option<Way>,
    /// When its gate was set, last.
    pub(super) set: Instant,
}

/// How far a pinhole has got.
#[derive(Debug)]
pub(super) enum Phase {
    /// Active mode: the relay holds the port until the server has agreed.
    Reserved,
    /// The relay has its connection; the kernel has no part in it any more.
    Relayed,
    /// Its gate is open in the kernel.
    Open,
    /// The kernel forwards its connection.
    Connected(Connection),
}

impl Pinhole {
    /// A pinhole whose gate opens now.
    pub(super) fn open(spec: Spec, policy: &Arc<Policy>, owner: Arc<dyn DataObserver>) -> Self {
        Self::new(spec, TransferMode::Passive, Phase::Open, policy, owner)
    }

    /// A pinhole whose port the relay holds.
    pub(super) fn reserved(spec: Spec, policy: &Arc<Policy>, owner: Arc<dyn DataObserver>) -> Self {
        Self::new(spec, TransferMode::Active, Phase::Reserved, policy, owner)
    }

    fn new(
        spec: Spec,
        mode: TransferMode,
        phase: Phase,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Self {
        let policy = Arc::clone(policy);
        Self { spec, mode, policy, owner, phase, wanted: None, set: Instant::now() }
    }

    /// Its connection, if it has one in the kernel.
    pub(super) fn connection(&mut self) -> Option<&mut Connection> {
        match &mut self.phase {
            Phase::Connected(connection) => Some(connection),
            _ => None,
        }
    }

    /// Whether its gate is open and has been for half its time.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Open) && now.duration_since(self.set) > self.timeout() / 2
    }

    /// How long its gate stays open unless it is set anew.
    pub(super) fn timeout(&self) -> Duration {
        self.policy.timeouts.pinhole
    }

    /// The direction that its connection gets.
    pub(super) fn allowed(&self) -> Way {
        self.wanted.unwrap_or(Way::Hold)
    }

    /// `direction`, seen from who dials.
    pub(super) fn way(&self, direction: Direction) -> Way {
        match (direction, self.mode) {
            (Direction::Both, _) => Way::Both,
            (Direction::ToServer, TransferMode::Passive) | (Direction::ToClient, TransferMode::Active) => {
                Way::Original
            }
            (Direction::ToClient, TransferMode::Passive) | (Direction::ToServer, TransferMode::Active) => {
                Way::Reply
            }
        }
    }

    /// Tells the session.
    pub(super) fn tell(&self, id: PinholeId, event: DataEvent) {
        self.owner.notify(id, event);
    }

    /// Tells the session that the connection is over; `payload` is to the server and to the client.
    pub(super) fn tell_closed(&mut self, id: PinholeId, payload: Option<(u64, u64)>, reason: Option<Reason>) {
        let duration = self.connection().map(|connection| connection.began.elapsed()).unwrap_or_default();
        let (bytes_to_server, bytes_to_client) = payload.unzip();
        self.tell(id, DataEvent::Closed(Closed { bytes_to_server, bytes_to_client, duration, reason }));
    }
}
