//! The session's pinholes: the transfer that each carries, time-outs and ends.

use std::net::{IpAddr, SocketAddr};

use super::opening::Opening;
use super::queue::Pending;
use super::{Event, EventKind, Session, replies};
use crate::addr::AdvertisedAddr;
use crate::ftp::{Command, ReplyCode, Transfer, Verb, printable};
use crate::ids::PinholeId;
use crate::pinhole::{Closed, DataEvent, Direction, Opened, Order};
use crate::policy::{DataPath, TransferMode};
use crate::reason::Reason;
use crate::time::Timestamp;

/// What the next transfer command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setup {
    None,
    /// An open pinhole that no transfer has used.
    Ready(PinholeId),
    /// `tolerate: [reused-port]` lets it serve again.
    Used(UsedPort),
}

/// A PORT or EPRT that was used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsedPort {
    pub(super) verb: Verb,
    pub(super) named: AdvertisedAddr,
    pub(super) port: u16,
}

/// A pinhole of this session.
#[derive(Debug)]
pub(super) struct Pinhole {
    id: PinholeId,
    verb: Verb,
    mode: TransferMode,
    from: IpAddr,
    listen: SocketAddr,
    to: SocketAddr,
    state: State,
    /// Who asked for it; a later USER does not change that.
    user: Option<String>,
    transfer: Option<String>,
    /// The server reported the transfer complete before any ABOR: what is on its way arrives.
    complete: bool,
    /// When it expires if nothing happens.
    pub(super) deadline: Option<Timestamp>,
    /// A leg of its transfer is under the gateway's TLS.
    protected: bool,
    /// Its transfer may be reported complete: the other side of the connection stands, too, and protected
    /// bytes have all gone out.
    pub(super) arrived: bool,
    /// Why the engine had its connection cut.
    cut: Option<Reason>,
    /// Why it is opened in another way than the service asks for.
    relayed: Option<Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Active: the port is held, the server has not replied to PORT or EPRT yet.
    Reserved {
        /// The server dialled before it replied.
        early: bool,
    },
    Pending,
    Connected,
}

impl Pinhole {
    pub(super) fn id(&self) -> PinholeId {
        self.id
    }

    /// Whether its data connection has not reached the client yet (active mode), or protected bytes have not
    /// reached their receiver.
    pub(super) fn is_on_its_way(&self) -> bool {
        (self.mode == TransferMode::Active || self.protected) && !self.arrived
    }

    /// Whether its transfer is under the gateway's TLS, so that its end tells whether it is whole.
    pub(super) fn is_protected(&self) -> bool {
        self.protected
    }

    pub(super) fn new(opening: &Opening, opened: Opened, user: Option<&str>) -> Self {
        Self {
            id: opened.id,
            verb: opening.verb,
            mode: opening.mode,
            from: opening.from,
            listen: SocketAddr::new(opening.listen, opened.port),
            to: opening.to,
            state: match opening.mode {
                TransferMode::Active => State::Reserved { early: false },
                TransferMode::Passive => State::Pending,
            },
            user: user.map(str::to_owned),
            transfer: None,
            complete: false,
            deadline: None,
            protected: false,
            arrived: false,
            cut: None,
            relayed: opened.relayed,
        }
    }

    /// A connection within the range of a session that is encrypted from end to end: its transfer is not seen.
    pub(super) fn in_range(id: PinholeId, from: IpAddr, listen: SocketAddr, to: SocketAddr) -> Self {
        Self {
            id,
            verb: Verb::Auth,
            mode: TransferMode::Passive,
            from,
            listen,
            to,
            state: State::Connected,
            user: None,
            transfer: None,
            complete: true,
            deadline: None,
            protected: false,
            arrived: true,
            cut: None,
            relayed: None,
        }
    }

    /// Whether no transfer may use it and none ever will: its command was not heard and may be running.
    fn is_idle(&self) -> bool {
        self.transfer.is_none() && self.verb != Verb::Auth
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    pub(super) fn event(&self, kind: EventKind) -> Event {
        Event {
            user: self.user.clone(),
            pinhole: Some(self.id),
            mode: Some(self.mode),
            command: Some(self.verb.name().to_owned()),
            from: Some(self.from),
            listen: Some(self.listen),
            to: Some(self.to),
            transfer: self.transfer.clone(),
            ..Event::new(kind)
        }
    }
}

impl Session {
    /// What became of a pinhole. Events of pinholes that are gone are ignored (D41).
    pub fn handle_data(&mut self, now: Timestamp, id: PinholeId, event: DataEvent) {
        if let DataEvent::Entered { pinhole, port } = event {
            self.entered(id, pinhole, port);
        }
        if self.pinhole(id).is_none() {
            return;
        }
        match event {
            DataEvent::Entered { .. } => {}
            DataEvent::Connected { .. } => self.connected(now, id),
            DataEvent::Joined => self.joined(now, id),
            DataEvent::Delivered { notified } => self.delivered(now, id, notified),
            DataEvent::SecondConnection { from } => self.second_connection(id, from),
            DataEvent::Closed(closed) => self.closed(now, id, closed),
        }
        self.run(now);
    }

    /// The server agreed to PORT or EPRT.
    pub(super) fn activate(&mut self, now: Timestamp, id: PinholeId) {
        let kernel = self.policy.data_path == DataPath::Nftables;
        let Some(pinhole) = self.pinhole(id) else {
            return;
        };
        let early = pinhole.state == State::Reserved { early: true };
        if early && kernel {
            pinhole.relayed.get_or_insert(Reason::RelayedEarly);
        }
        self.ready(now, id);
        self.order(id, Order::Activate);
        if early {
            self.connected(now, id);
        }
    }

    /// The server refused PORT or EPRT: nothing was opened, and nothing will be.
    pub(super) fn refuse_active(&mut self, id: PinholeId) {
        if let Some(pinhole) = self.remove(id) {
            let event = pinhole.event(EventKind::PinholeDenied);
            self.record(Event { reason: Some(Reason::RefusedByServer), pinhole: None, ..event });
            self.order(id, Order::Close);
        }
    }

    /// The pinhole is open and waits for its connection and its transfer command.
    pub(super) fn ready(&mut self, now: Timestamp, id: PinholeId) {
        let deadline = now + self.pinhole_timeout();
        let Some(pinhole) = self.pinhole(id) else {
            return;
        };
        pinhole.state = State::Pending;
        pinhole.deadline = Some(deadline);
        let event = Event { reason: pinhole.relayed, ..pinhole.event(EventKind::PinholeOpened) };
        self.record(event);
        self.setup = Setup::Ready(id);
    }

    /// Lets the bytes flow the way that the command says, then sends it.
    pub(super) fn begin_transfer(&mut self, now: Timestamp, command: &Command, id: PinholeId) {
        let legs = self.protected_legs();
        // The gateway's own TLS goes one way in any case; bytes that are encrypted from end to end go both.
        let enforce = legs.any() || (self.policy.enforce_direction && !self.passes_ciphertext());
        let direction = match command.verb.transfer() {
            Some(Transfer::Retrieve) if enforce => Direction::ToClient,
            Some(Transfer::Store) if enforce => Direction::ToServer,
            _ => Direction::Both,
        };
        let deadline = now + self.answer_timeout();
        let Some(pinhole) = self.pinhole(id) else {
            return self.deny_command(command, Reason::NoSetup, replies::NO_SETUP);
        };
        pinhole.protected = legs.any();
        // A server that dialled early is joined by now, but its bytes have yet to go out.
        pinhole.arrived &= !legs.any();
        let path = printable(command.argument());
        pinhole.transfer =
            Some(if path.is_empty() { command.name.clone() } else { format!("{} {path}", command.name) });
        // The server may take its time (tape, object stores); its reply sets the next deadline.
        pinhole.deadline = (!pinhole.is_connected()).then_some(deadline);
        self.setup = match pinhole.mode {
            TransferMode::Active => Setup::Used(UsedPort {
                verb: pinhole.verb,
                named: AdvertisedAddr(pinhole.to),
                port: pinhole.listen.port(),
            }),
            TransferMode::Passive => Setup::None,
        };
        if legs.any() {
            self.order(id, Order::Protect(legs));
        }
        self.order(id, Order::Flow(direction));
        self.forward(command, Pending::Transfer { pinhole: id, started: false }, false);
    }

    /// The server's 1yz: the connection has to come now, if it has not.
    pub(super) fn transfer_started(&mut self, now: Timestamp, id: PinholeId) {
        let deadline = now + self.pinhole_timeout();
        if let Some(pinhole) = self.pinhole(id).filter(|pinhole| !pinhole.is_connected()) {
            pinhole.deadline = Some(deadline);
        }
    }

    /// The server's final reply. What it sent or took may still be on its way.
    pub(super) fn transfer_answered(
        &mut self,
        now: Timestamp,
        id: PinholeId,
        code: ReplyCode,
        started: bool,
    ) {
        let deadline = now + self.pinhole_timeout();
        let refused = code.is_negative();
        let complete = code.is_positive() && !self.queue.has_abort();
        self.transfer_over(now);
        let Some(pinhole) = self.pinhole(id) else {
            return;
        };
        pinhole.complete = complete;
        if pinhole.is_connected() {
            // A server that refused closes its end; one that does not is cut. Behind a 1yz the reply may
            // be that of another command (550 to SIZE), and the end is the data connection's own.
            pinhole.deadline = (refused && !started).then_some(deadline);
        } else if refused {
            self.revoke(id, Reason::RefusedByServer);
        } else {
            pinhole.deadline = Some(deadline);
        }
    }

    fn connected(&mut self, now: Timestamp, id: PinholeId) {
        let deadline = now + self.pinhole_timeout();
        let Some(pinhole) = self.pinhole(id) else {
            return;
        };
        match &mut pinhole.state {
            State::Reserved { early } => {
                *early = true;
                return;
            }
            State::Connected => return,
            State::Pending => {}
        }
        pinhole.state = State::Connected;
        pinhole.deadline = pinhole.transfer.is_none().then_some(deadline);
        let event = pinhole.event(EventKind::PinholeConnected);
        self.record(event);
    }

    fn second_connection(&mut self, id: PinholeId, from: SocketAddr) {
        if let Some(pinhole) = self.pinhole(id) {
            let event = Event { from: Some(from.ip()), ..pinhole.event(EventKind::Violation) };
            self.record(Event { reason: Some(Reason::SecondConnection), ..event });
        }
    }

    fn closed(&mut self, now: Timestamp, id: PinholeId, closed: Closed) {
        let Some(pinhole) = self.remove(id) else {
            return;
        };
        self.transfer_over(now);
        let kind = match pinhole.state {
            State::Reserved { .. } => EventKind::PinholeDenied,
            State::Pending => EventKind::PinholeRevoked,
            State::Connected => EventKind::PinholeClosed,
        };
        self.record(Event {
            reason: pinhole.cut.or(closed.reason),
            bytes_to_server: closed.bytes_to_server,
            bytes_to_client: closed.bytes_to_client,
            duration: Some(closed.duration),
            ..pinhole.event(kind)
        });
        let broken = pinhole.protected && !pinhole.arrived && pinhole.cut.is_none();
        if let Some(text) = closed.reason.and_then(|reason| replies::failure(reason, broken)) {
            self.fail_transfer(id, text);
        }
        self.stop_waiting(now, id);
        self.finish_if_over(now);
    }

    /// What was set up before counts no more.
    pub(super) fn drop_setup(&mut self, reason: Reason) {
        self.release_without_transfer(reason);
        self.setup = Setup::None;
    }

    /// Takes back what no transfer has used: pending pinholes and connections without a command.
    pub(super) fn release_without_transfer(&mut self, reason: Reason) {
        let idle: Vec<_> =
            self.pinholes.iter().filter(|pinhole| pinhole.is_idle()).map(|pinhole| pinhole.id).collect();
        for id in idle {
            self.release(id, reason);
        }
    }

    /// The server answered ABOR. What it ended is cut, what a PASV before it set up is taken back.
    pub(super) fn abort_answered(&mut self) {
        self.abort_transfers();
        if let Setup::Ready(id) = self.setup {
            self.release(id, Reason::Aborted);
        }
    }

    /// Cuts the transfers that the server has answered, but for those that were complete before.
    pub(super) fn abort_transfers(&mut self) {
        let aborted = |pinhole: &&Pinhole| {
            pinhole.transfer.is_some() && !pinhole.complete && !self.queue.has_transfer_of(pinhole.id)
        };
        let aborted: Vec<_> = self.pinholes.iter().filter(aborted).map(|pinhole| pinhole.id).collect();
        for id in aborted {
            self.release(id, Reason::Aborted);
        }
    }

    /// The server began another transfer without a reply to this one.
    pub(super) fn transfer_given_up(&mut self, now: Timestamp, id: PinholeId) {
        let deadline = now + self.pinhole_timeout();
        if let Some(pinhole) = self.pinhole(id) {
            pinhole.deadline = Some(deadline);
        }
    }

    /// No reply will come any more: what has not connected yet has to, soon.
    pub(super) fn limit_pending(&mut self, now: Timestamp) {
        let deadline = now + self.pinhole_timeout();
        for pinhole in self.pinholes.iter_mut().filter(|pinhole| !pinhole.is_connected()) {
            pinhole.deadline = Some(pinhole.deadline.map_or(deadline, |before| before.min(deadline)));
        }
    }

    pub(super) fn cut_all(&mut self, reason: Reason) {
        let all: Vec<_> = self.pinholes.iter().map(|pinhole| pinhole.id).collect();
        for id in all {
            self.release(id, reason);
        }
    }

    pub(super) fn expire_pinholes(&mut self, now: Timestamp) {
        let due = |pinhole: &&Pinhole| pinhole.deadline.is_some_and(|deadline| deadline <= now);
        let expired: Vec<_> = self.pinholes.iter().filter(due).map(|pinhole| pinhole.id).collect();
        for id in expired {
            self.release(id, Reason::PinholeTimeout);
        }
        self.finish_if_over(now);
    }

    /// Cuts the pinhole's connection, or takes the pinhole back when there is none.
    fn release(&mut self, id: PinholeId, reason: Reason) {
        let Some(pinhole) = self.pinhole(id) else {
            return;
        };
        if pinhole.is_connected() {
            pinhole.deadline = None;
            if pinhole.cut.is_none() {
                pinhole.cut = Some(reason);
                self.order(id, Order::Close);
            }
        } else {
            self.revoke(id, reason);
        }
        if self.setup == Setup::Ready(id) {
            self.setup = Setup::None;
        }
    }

    fn revoke(&mut self, id: PinholeId, reason: Reason) {
        if let Some(pinhole) = self.remove(id) {
            let kind = match (reason, pinhole.state) {
                (Reason::PinholeTimeout, _) => EventKind::PinholeExpired,
                // Never opened: the server had not agreed yet.
                (_, State::Reserved { .. }) => EventKind::PinholeDenied,
                _ => EventKind::PinholeRevoked,
            };
            self.record(Event { reason: Some(reason), ..pinhole.event(kind) });
            self.order(id, Order::Close);
        }
    }

    pub(super) fn mode_of_pinhole(&self, id: PinholeId) -> Option<TransferMode> {
        self.pinholes.iter().find(|pinhole| pinhole.id == id).map(|pinhole| pinhole.mode)
    }

    pub(super) fn pinhole(&mut self, id: PinholeId) -> Option<&mut Pinhole> {
        self.pinholes.iter_mut().find(|pinhole| pinhole.id == id)
    }

    fn remove(&mut self, id: PinholeId) -> Option<Pinhole> {
        let index = self.pinholes.iter().position(|pinhole| pinhole.id == id)?;
        if self.setup == Setup::Ready(id) {
            self.setup = Setup::None;
        }
        let pinhole = self.pinholes.swap_remove(index);
        if self.pinholes.is_empty() {
            // An idle session holds no memory for pinholes.
            self.pinholes = Vec::new();
        }
        Some(pinhole)
    }
}
