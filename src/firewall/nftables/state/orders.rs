//! What the engine's orders mean for a pinhole, by how far it has got.

use std::io;
use std::time::Instant;

use super::{State, warn};
use crate::firewall::PinholeBackend;
use crate::firewall::nftables::pinhole::Phase;
use crate::ids::PinholeId;
use crate::netlink::{Entry, Flow};
use crate::pinhole::{Direction, Order};
use crate::policy::TransferMode;
use crate::reason::Reason;

impl State {
    /// Carries out `order`; the relay's pinholes are none of ours.
    pub(crate) fn order(&mut self, id: PinholeId, order: Order) {
        self.hear();
        let phase = self.pinholes.get(&id).map(|pinhole| &pinhole.phase);
        if matches!(phase, None | Some(Phase::Reserved | Phase::Relayed)) {
            self.relay.order(id, order);
        }
        match order {
            Order::Activate => self.activate(id),
            // Only the relay's are.
            Order::Protect(_) => {}
            Order::Flow(direction) => self.narrow(id, direction),
            Order::Close => {
                self.close(id);
                self.close_range(id);
            }
        }
    }

    /// The server agreed: the kernel takes its connection from now on, if it has not come already.
    fn activate(&mut self, id: PinholeId) {
        let Some(pinhole) = self.pinholes.get(&id) else { return };
        let Phase::Reserved = pinhole.phase else { return };
        let (spec, timeout, way) = (pinhole.spec.clone(), pinhole.timeout(), pinhole.allowed());
        if let Some(source) = spec.fixed_source() {
            let earlier = Flow { src: spec.to, dst: source };
            warn(self.make_way(&earlier));
        }
        if self.apply(spec.open(way, timeout)).is_err() {
            // The relay still has the port, and carries the connection.
            return;
        }
        self.gates.insert(spec.triple, id);
        if let Some(pinhole) = self.pinholes.get_mut(&id) {
            pinhole.phase = Phase::Open;
            pinhole.set = Instant::now();
        }
    }

    /// Deletes an earlier connection with the reply tuple `flow`, over or cut, which would be in the way.
    fn make_way(&mut self, flow: &Flow) -> io::Result<()> {
        let (cut, mask) = (self.mark.low(), self.mark.mask());
        let done = |entry: Entry| entry.is_over() || entry.mark & mask == cut;
        if self.conntrack.get_by_reply(flow)?.is_some_and(done) {
            self.conntrack.delete_by_reply(flow)?;
        }
        Ok(())
    }

    /// The transfer command is about to be forwarded.
    fn narrow(&mut self, id: PinholeId, direction: Direction) {
        let Some(pinhole) = self.pinholes.get_mut(&id) else { return };
        let way = pinhole.way(direction);
        // A second direction would widen the pinhole.
        if pinhole.wanted.is_some() {
            return;
        }
        pinhole.wanted = Some(way);
        match &mut pinhole.phase {
            Phase::Reserved | Phase::Relayed => {}
            Phase::Open => {
                let changes = pinhole.spec.allow(way, pinhole.timeout());
                if pinhole.mode == TransferMode::Active {
                    self.relay.order(id, Order::Flow(direction));
                }
                // Without the change the connection is held; it is marked anew when it has come.
                let _ = self.apply(changes);
            }
            Phase::Connected(connection) => {
                connection.touch(Instant::now());
                self.mark_as_wanted(id);
            }
        }
    }

    fn close(&mut self, id: PinholeId) {
        match self.pinholes.get(&id).map(|pinhole| &pinhole.phase) {
            Some(Phase::Open) => {
                self.forget(id);
                self.flush();
            }
            Some(Phase::Connected(connection)) if self.released => {
                self.inherited.insert(connection.flow);
                self.end(id, None, Some(Reason::Draining));
            }
            Some(Phase::Connected(_)) => self.cut(id, Reason::Aborted),
            // The relay reports the end, if there is one to report.
            Some(Phase::Reserved | Phase::Relayed) => drop(self.forget(id)),
            None => {}
        }
    }
}
