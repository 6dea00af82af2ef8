//! What the kernel reports by header copies, and what becomes of pinholes by that.

use std::net::SocketAddr;
use std::time::Instant;

use super::State;
use crate::config::Mark;
use crate::firewall::nftables::connection::Connection;
use crate::firewall::nftables::elements::Way;
use crate::firewall::nftables::pinhole::{Phase, Pinhole};
use crate::ids::PinholeId;
use crate::netlink::{Flow, HeaderCopy};
use crate::pinhole::{DataEvent, Triple};
use crate::policy::TransferMode;
use crate::reason::Reason;

/// What a header copy says.
enum Heard {
    Arrived(Way, HeaderCopy),
    End(HeaderCopy),
    Against { src: SocketAddr, dst: SocketAddr },
}

impl Heard {
    fn of(prefix: &[u8], copy: HeaderCopy) -> Option<Self> {
        match prefix {
            b"end" => Some(Heard::End(copy)),
            b"against" => Some(Heard::Against { src: copy.src, dst: copy.dst }),
            _ => Way::of_prefix(prefix).map(|way| Heard::Arrived(way, copy)),
        }
    }
}

impl State {
    /// Takes in everything that the kernel has reported.
    pub(crate) fn hear(&mut self) {
        let mut heard = Vec::new();
        let lost =
            self.log.read(|prefix, copy| heard.extend(Heard::of(prefix, copy))).unwrap_or_else(|error| {
                tracing::error!(%error, "cannot hear of connections");
                true
            });
        heard.into_iter().for_each(|heard| self.take_in(heard));
        if lost {
            tracing::warn!("the kernel reported more than was read; its list of connections is compared");
            self.lost = true;
        }
    }

    fn take_in(&mut self, heard: Heard) {
        match heard {
            Heard::Arrived(way, copy) => {
                self.handle_arrival(way, Flow { src: copy.src, dst: copy.dst }, Some(&copy))
            }
            Heard::End(copy) => self.handle_segment(&copy),
            Heard::Against { src, dst } => self.handle_payload_against(src, dst),
        }
    }

    /// A connection has taken the gate of a pinhole.
    pub(super) fn handle_arrival(&mut self, way: Way, flow: Flow, copy: Option<&HeaderCopy>) {
        if let Some(&id) = self.flows.get(&flow) {
            return self.handle_repeated_syn(id, way);
        }
        let triple = Triple { dialler: flow.src.ip(), listen: flow.dst.ip(), port: flow.dst.port() };
        let found = self.gates.get(&triple).and_then(|id| Some((*id, self.pinholes.get_mut(id)?)));
        let Some((id, pinhole)) = found else {
            // Nobody's gate was open. What only the list of connections tells of may have ended long ago.
            if copy.is_some() {
                self.bury(flow);
            }
            return;
        };
        if !matches!(pinhole.phase, Phase::Open) {
            pinhole.tell(id, DataEvent::SecondConnection { from: flow.src });
            return self.bury(flow);
        }
        pinhole.phase = Phase::Connected(Connection::new(flow, way, copy, Instant::now()));
        pinhole.tell(id, DataEvent::Connected { from: flow.src });
        self.flows.insert(flow, id);
        self.mark_as_wanted(id);
    }

    /// The SYN came again, and perhaps conntrack has begun anew with it.
    fn handle_repeated_syn(&mut self, id: PinholeId, way: Way) {
        if let Some(connection) = self.pinholes.get_mut(&id).and_then(Pinhole::connection) {
            connection.marked = way;
            self.mark_as_wanted(id);
        }
    }

    /// One of the segments that begin or end a connection.
    fn handle_segment(&mut self, copy: &HeaderCopy) {
        let (flow, back) = (Flow { src: copy.src, dst: copy.dst }, Flow { src: copy.dst, dst: copy.src });
        let found = self.flows.get(&flow).or_else(|| self.flows.get(&back)).copied();
        let Some((id, connection)) =
            found.and_then(|id| Some((id, self.pinholes.get_mut(&id)?.connection()?)))
        else {
            return;
        };
        let before = connection.joined;
        connection.note(copy);
        let (joined, finished) = (connection.joined, connection.is_finished());
        let dialler = connection.flow.src;
        if joined && !before {
            self.joined(id);
        }
        if finished {
            self.finish(id);
        } else if copy.flags.rst {
            match (joined, copy.src == dialler) {
                // Cut, since the far end may not believe the reset.
                (true, _) => self.cut(id, Reason::DataReset),
                (false, false) => self.end(id, Some((0, 0)), Some(Reason::DialFailed)),
                // Whoever dials resets what an old connection of the far end answers, and dials on.
                (false, true) => {}
            }
        }
    }

    /// The far end answered: from now on the kernel knows the connection by itself.
    pub(super) fn joined(&mut self, id: PinholeId) {
        self.settle(id);
        self.mark_as_wanted(id);
        if let Some(pinhole) = self.pinholes.get(&id)
            && pinhole.mode == TransferMode::Active
        {
            pinhole.tell(id, DataEvent::Joined);
        }
    }

    /// Both ends have finished in order.
    fn finish(&mut self, id: PinholeId) {
        let Some(pinhole) = self.pinholes.get_mut(&id) else { return };
        let mode = pinhole.mode;
        let Some(connection) = pinhole.connection() else { return };
        let now = Instant::now();
        let entry = match connection.may_be_long(now) {
            true => self.conntrack.get(&connection.flow).unwrap_or_default(),
            false => None,
        };
        let payload = connection.payload(mode, entry.as_ref(), now);
        self.end(id, payload, payload.is_none().then_some(Reason::CountLost));
    }

    /// Payload came from `src` to `dst`, as the kernel forwards it, against the direction.
    fn handle_payload_against(&mut self, src: SocketAddr, dst: SocketAddr) {
        let found = self.flows.iter().find(|(flow, id)| {
            let far = self.pinholes.get(id).map(|pinhole| pinhole.spec.to);
            let (dialler, far) = (flow.src, far.unwrap_or(flow.dst));
            (src, dst) == (dialler, far) || (src, dst) == (far, dialler)
        });
        if let Some((_, &id)) = found {
            self.cut(id, Reason::WrongDirection);
        }
    }

    /// Where the payload of a connection with this mark may go.
    pub(super) fn way_of(&self, mark: u32) -> Way {
        let marked = |way: &Way| bits(self.mark, *way) == mark & self.mark.mask();
        [Way::Original, Way::Reply, Way::Both].into_iter().find(marked).unwrap_or(Way::Hold)
    }

    /// Sees to it that the connection's mark allows the direction that the transfer command gave.
    pub(super) fn mark_as_wanted(&mut self, id: PinholeId) {
        let Some(pinhole) = self.pinholes.get_mut(&id) else { return };
        let (wanted, Some(connection)) = (pinhole.wanted, pinhole.connection()) else { return };
        let Some(wanted) = wanted.filter(|wanted| *wanted != connection.marked) else { return };
        let bits = bits(self.mark, wanted);
        match self.conntrack.set_mark(&connection.flow, bits, self.mark.mask()) {
            Ok(true) => connection.marked = wanted,
            // The first packet is still on its way through the kernel; the answer to it comes here again.
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "cannot mark a connection"),
        }
    }
}

/// The bits of the mark of a connection whose payload may go `way`.
fn bits(mark: Mark, way: Way) -> u32 {
    match way {
        Way::Hold => mark.value(),
        Way::Original => mark.value() | mark.low(),
        Way::Reply => mark.value() | mark.high(),
        Way::Both => mark.mask(),
    }
}
