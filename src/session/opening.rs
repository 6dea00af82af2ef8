//! Asking the backend for pinholes, and what follows from its answer.

use std::net::{IpAddr, SocketAddr};

use super::data::{Pinhole, UsedPort};
use super::queue::Pending;
use super::{Event, EventKind, Output, Session, Tolerance, replies};
use crate::addr::Family;
use crate::ftp::{Command, Verb, emit_eprt, emit_port};
use crate::pinhole::{Expectation, OpenError, Opened, Order};
use crate::policy::{Permit, TransferMode};
use crate::time::Timestamp;

/// A pinhole that the backend was asked for and has not answered yet.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) verb: Verb,
    pub(super) mode: TransferMode,
    pub(super) from: IpAddr,
    pub(super) listen: IpAddr,
    pub(super) to: SocketAddr,
    /// The transfer command that waits for a PORT to be used again.
    again: Option<Command>,
}

impl Session {
    /// The backend's answer to [`Output::Open`].
    pub fn handle_opened(&mut self, now: Timestamp, result: Result<Opened, OpenError>) {
        match (self.opening.take(), result) {
            (Some(opening), Ok(opened)) if !self.is_ended() => self.opened(now, opening, opened),
            (_, Ok(opened)) => self.order(opened.id, Order::Close),
            (Some(opening), Err(error)) if !self.is_ended() => self.not_opened(&opening, error),
            (_, Err(_)) => {}
        }
        self.flush_answers();
        self.finish_if_over(now);
        self.run(now);
    }

    /// Opens the same PORT once more for `command`.
    pub(super) fn open_again(&mut self, command: Command, used: UsedPort) {
        if let Err((reason, text)) = self.may_set_up(used.verb) {
            return self.deny_command(&command, reason, text);
        }
        match self.policy.permit_active(&self.legs, used.named) {
            Ok(permit) => {
                self.tolerate(Tolerance::ReusedPort);
                self.open(used.verb, permit, Some(used.port), Some(command));
            }
            Err(reason) => self.deny_command(&command, reason, replies::NO_SETUP),
        }
    }

    /// Asks the backend for a pinhole: on `port`, if it has to be that one, and for the transfer command
    /// `again`, if one waits for it.
    pub(super) fn open(&mut self, verb: Verb, permit: Permit, port: Option<u16>, again: Option<Command>) {
        self.opening = Some(Opening {
            verb,
            mode: permit.mode(),
            from: permit.dialler(),
            listen: permit.listen(),
            to: permit.to(),
            again,
        });
        let mut expectation = Expectation::new(permit, port);
        expectation.terminated = self.terminates_data();
        self.outputs.push_back(Output::Open(expectation));
    }

    fn opened(&mut self, now: Timestamp, opening: Opening, opened: Opened) {
        let active = opening.mode == TransferMode::Active;
        self.pinholes.push(Pinhole::new(&opening, opened, self.login.user()));
        if let Some(command) = opening.again {
            self.activate(now, opened.id);
            self.begin_transfer(now, &command, opened.id);
        } else if active {
            self.forward_active(opened);
        } else {
            self.ready(now, opened.id);
            self.announce_passive(opening.verb, opened.port);
        }
    }

    fn not_opened(&mut self, opening: &Opening, error: OpenError) {
        self.record(Event {
            mode: Some(opening.mode),
            command: Some(opening.verb.name().to_owned()),
            from: Some(opening.from),
            to: Some(opening.to),
            reason: Some(error.reason()),
            ..Event::new(EventKind::PinholeDenied)
        });
        match opening.mode {
            // The 227 or 229 that this takes the place of is the reply to the oldest command.
            TransferMode::Passive => self.send_reply(replies::CANNOT_OPEN.as_bytes()),
            TransferMode::Active => self.answer(replies::CANNOT_OPEN),
        }
    }

    /// PORT or EPRT with the gateway's own address and the reserved port.
    fn forward_active(&mut self, opened: Opened) {
        let addr = SocketAddr::new(self.legs.source.ip(), opened.port);
        let line = match addr {
            SocketAddr::V4(addr) if Family::of(self.legs.server.ip()) == Family::V4 => {
                format!("PORT {}\r\n", emit_port(addr))
            }
            addr => format!("EPRT {}\r\n", emit_eprt(addr)),
        };
        self.queue.push(Pending::Active(opened.id));
        self.outputs.push_back(Output::ToServer(line.into_bytes()));
    }
}
