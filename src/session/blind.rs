//! FTPS that passes through from end to end (`tls: {mode: blind}`).
//!
//! From the server's 234 on, both directions are records that nobody here can read. So nothing dynamic
//! opens: the static range of the rules does, between the two peers of this session, while it lasts
//! (P7, D38). After CCC the bytes are clear again, and pinholes open one by one as before
//! (RFC 4217 section 6).

use std::net::{IpAddr, SocketAddr};

use super::data::Pinhole;
use super::queue::Pending;
use super::{Event, EventKind, Login, Output, PINHOLES, Session, Side, commands_of, replies, replies_of};
use crate::ftp::{Command, Records, Reply};
use crate::ids::PinholeId;
use crate::pinhole::{OpenError, Order};
use crate::policy::TransferMode;
use crate::reason::Reason;
use crate::time::Timestamp;

/// How far a session has got with TLS from end to end.
#[derive(Debug)]
pub(super) enum Blind {
    /// AUTH has gone to the server.
    Asked,
    /// The server agreed; its 234 waits for the range to open.
    Opening(Reply, Ends),
    /// Records in at least one direction.
    Dark(Dark),
}

/// Between whom the range is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    from: IpAddr,
    listen: IpAddr,
    to: IpAddr,
}

#[derive(Debug)]
pub(super) struct Dark {
    range: PinholeId,
    ends: Ends,
    /// `None`: this direction is clear again.
    client: Option<Records>,
    server: Option<Records>,
    /// Nothing of the client has come yet; its handshake begins.
    fresh: bool,
}

impl Session {
    /// AUTH goes through to the server.
    pub(super) fn pass_auth(&mut self, now: Timestamp, command: &Command) {
        let known = [&b"TLS"[..], b"TLS-C", b"SSL"];
        if !known.iter().any(|name| command.argument().eq_ignore_ascii_case(name)) {
            return self.deny_command(command, Reason::NotSupported, replies::OTHER_AUTH);
        }
        // With one direction encrypted there is TLS already, and a range that is open.
        if self.client.has_unread() || self.blind.is_some() {
            return self.refuse_plaintext(now);
        }
        self.blind = Some(Box::new(Blind::Asked));
        self.forward(command, Pending::Auth, false);
    }

    /// Whether what the client sends belongs to a handshake that has not begun.
    pub(super) fn passes_auth(&self) -> bool {
        matches!(self.blind.as_deref(), Some(Blind::Asked | Blind::Opening(..)))
    }

    /// Whether what the client hears is encrypted by the server: a word in plain text would break its TLS.
    pub(super) fn is_dark_to_client(&self) -> bool {
        matches!(self.blind.as_deref(), Some(Blind::Dark(Dark { server: Some(_), .. })))
    }

    /// The range that is open.
    pub(super) fn range(&self) -> Option<PinholeId> {
        match self.blind.as_deref() {
            Some(Blind::Dark(dark)) => Some(dark.range),
            _ => None,
        }
    }

    /// Whether the server's 234 waits for the range.
    pub(super) fn opens_range(&self) -> bool {
        matches!(self.blind.as_deref(), Some(Blind::Opening(..)))
    }

    /// The server's reply to AUTH.
    pub(super) fn auth_answered(&mut self, now: Timestamp, reply: Reply) {
        let permit = self.policy.permit_range(&self.legs).filter(|_| reply.code.get() == 234);
        let Some(permit) = permit else {
            self.blind = None;
            return self.send(&reply);
        };
        if self.server.has_unread() {
            self.violation(Reason::PlaintextAfterAuth);
            return self.end(now, Reason::PlaintextAfterAuth, Some(replies::SERVER_BROKE_PROTOCOL));
        }
        let ends = Ends { from: permit.dialler(), listen: permit.listen(), to: permit.server() };
        self.blind = Some(Box::new(Blind::Opening(reply, ends)));
        self.outputs.push_back(Output::OpenRange(permit));
    }

    /// The backend's answer to [`Output::OpenRange`].
    pub fn handle_range(&mut self, now: Timestamp, result: Result<PinholeId, OpenError>) {
        match (self.blind.take().map(|blind| *blind), result) {
            (Some(Blind::Opening(reply, ends)), Ok(range)) if !self.is_ended() => {
                self.go_dark(now, &reply, ends, range);
            }
            (Some(Blind::Opening(_, ends)), Err(error)) if !self.is_ended() => {
                self.record(Event { reason: Some(error.reason()), ..ends.event(EventKind::PinholeDenied) });
                self.end(now, error.reason(), Some(replies::NO_RANGE));
            }
            (_, Ok(range)) => self.order(range, Order::Close),
            (_, Err(_)) => {}
        }
        self.finish_if_over(now);
        self.run(now);
    }

    fn go_dark(&mut self, now: Timestamp, reply: &Reply, ends: Ends, range: PinholeId) {
        let opened = Event { pinhole: Some(range), ..ends.event(EventKind::PinholeOpened) };
        self.record(Event { reason: Some(Reason::Blind), ..opened });
        self.send(reply);
        // Who it is, is said where nobody here hears it.
        self.login = Login::Unseen;
        self.last_activity = now;
        self.client = commands_of(&self.policy);
        self.client.set_limit(self.policy.limits.line_bytes);
        self.server = replies_of(&self.policy);
        let records = Some(Records::default());
        self.blind =
            Some(Box::new(Blind::Dark(Dark { range, ends, client: records, server: records, fresh: true })));
    }

    /// Passes on what is encrypted, and gives back what is clear.
    pub(super) fn pass_records<'a>(&mut self, now: Timestamp, side: Side, bytes: &'a [u8]) -> &'a [u8] {
        let Some(Blind::Dark(dark)) = self.blind.as_deref_mut() else {
            return bytes;
        };
        let direction = match side {
            Side::Client => &mut dark.client,
            Side::Server => &mut dark.server,
        };
        let Some(records) = direction else { return bytes };
        let (encrypted, clear) = bytes.split_at_checked(records.take(bytes)).unwrap_or((bytes, &[]));
        if !clear.is_empty() {
            *direction = None;
        }
        if side == Side::Client && std::mem::take(&mut dark.fresh) && encrypted.is_empty() {
            self.refuse_plaintext(now);
            return &[];
        }
        self.last_activity = now;
        if !encrypted.is_empty() {
            self.outputs.push_back(match side {
                Side::Client => Output::ToServer(encrypted.to_vec()),
                Side::Server => Output::ToClient(encrypted.to_vec()),
            });
        }
        self.see_again();
        clear
    }

    /// After CCC both directions are clear: the range closes, and pinholes open as they are asked for.
    fn see_again(&mut self) {
        if let Some(Blind::Dark(Dark { client: None, server: None, .. })) = self.blind.as_deref() {
            self.shield.unseen = true;
            self.close_range(Reason::Ccc);
        }
    }

    /// Nobody else may come in through the range; who is in stays.
    pub(super) fn close_range(&mut self, reason: Reason) {
        // One that is being opened is closed when the backend has answered.
        let Some(blind) = self.blind.take_if(|blind| !matches!(**blind, Blind::Opening(..))) else { return };
        if let Blind::Dark(Dark { range, ends, .. }) = *blind {
            let revoked = Event { pinhole: Some(range), ..ends.event(EventKind::PinholeRevoked) };
            self.record(Event { reason: Some(reason), ..revoked });
            self.order(range, Order::Close);
        }
    }

    /// The client has come in at a port of the range.
    pub(super) fn entered(&mut self, range: PinholeId, id: PinholeId, port: u16) {
        let ends = match self.blind.as_deref() {
            Some(Blind::Dark(dark)) if dark.range == range && self.pinholes.len() < PINHOLES => dark.ends,
            // It came as the range closed.
            _ => return self.order(id, Order::Close),
        };
        let (listen, to) = (SocketAddr::new(ends.listen, port), SocketAddr::new(ends.to, port));
        let pinhole = Pinhole::in_range(id, ends.from, listen, to);
        self.record(pinhole.event(EventKind::PinholeConnected));
        self.pinholes.push(pinhole);
    }
}

impl Ends {
    /// An event of the range, which has no one port.
    fn event(&self, kind: EventKind) -> Event {
        Event {
            mode: Some(TransferMode::Passive),
            command: Some("AUTH".to_owned()),
            from: Some(self.from),
            ..Event::new(kind)
        }
    }
}
