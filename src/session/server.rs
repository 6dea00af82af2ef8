//! The server's side: each reply is paired with its command, and takes its effect before it goes on.

use std::net::{IpAddr, SocketAddrV4};

use super::queue::{Pending, Started};
use super::{Event, EventKind, Login, Output, Phase, Session, Tolerance, replies};
use crate::addr::{AdvertisedAddr, Family};
use crate::ftp::{
    AddressError, LineFault, Reply, ReplyCode, ReplyError, ReplyEvent, Verb, emit_227, emit_229, parse_227,
    parse_229,
};
use crate::ids::PinholeId;
use crate::policy::{PassivePermit, Policy, Tls, TransferMode};
use crate::reason::Reason;
use crate::time::Timestamp;

impl Session {
    /// Takes one reply, if there is one; says whether it did.
    pub(super) fn read_reply(&mut self, now: Timestamp) -> bool {
        match self.server.next_event() {
            Ok(Some(ReplyEvent::Reply(reply))) => self.take_reply(now, reply),
            Ok(Some(ReplyEvent::Unclosed(reply))) => {
                self.tolerate(Tolerance::UnpaddedMultiline);
                self.take_reply(now, reply);
            }
            Ok(Some(ReplyEvent::BareLf)) => self.tolerate(Tolerance::BareLf),
            Ok(Some(ReplyEvent::ReplyInBlock)) => self.violation(Reason::ReplyInBlock),
            Ok(Some(ReplyEvent::Refuse(answer))) => self.outputs.push_back(Output::ToServer(answer.to_vec())),
            Ok(None) => return false,
            Err(error) => self.refuse_server(now, error),
        }
        true
    }

    fn refuse_server(&mut self, now: Timestamp, error: ReplyError) {
        let reason = match error {
            ReplyError::NoCode if self.phase == Phase::Greeting => Reason::NotFtp,
            ReplyError::Line(LineFault::Nul | LineFault::BareCr) if self.phase == Phase::Greeting => {
                Reason::NotFtp
            }
            ReplyError::NoCode => Reason::BadReply,
            ReplyError::Line(fault) => fault.into(),
            ReplyError::TooManyLines => Reason::LineTooLong,
        };
        let text =
            if reason == Reason::NotFtp { replies::SERVER_NOT_FTP } else { replies::SERVER_BROKE_PROTOCOL };
        self.violation(reason);
        self.end(now, reason, Some(text));
    }

    fn take_reply(&mut self, now: Timestamp, reply: Reply) {
        match (self.phase, reply.code.get()) {
            (_, 421) => {
                self.send(&reply);
                self.end(now, Reason::ServerClosed, None);
            }
            (Phase::Greeting, 120) => self.send(&reply),
            (Phase::Greeting, 220) => self.greet(now, reply),
            (Phase::Greeting, _) if reply.code.is_negative() => {
                self.send(&reply);
                self.end(now, Reason::ServerClosed, None);
            }
            (Phase::Greeting, _) => {
                self.violation(Reason::NotFtp);
                self.end(now, Reason::NotFtp, Some(replies::SERVER_NOT_FTP));
            }
            _ if reply.code.is_preliminary() => self.preliminary(now, &reply),
            _ => self.finish_command(now, reply),
        }
    }

    fn preliminary(&mut self, now: Timestamp, reply: &Reply) {
        // The gateway's own commands have no preliminary reply that could be meant for the client.
        if self.queue.is_empty() || self.queue.secures() {
            return self.unsolicited(now);
        }
        match self.queue.start(reply.code) {
            Started::Transfer { pinhole, given_up } => {
                self.transfer_started(now, pinhole);
                if let Some(given_up) = given_up {
                    self.transfer_given_up(now, given_up);
                }
            }
            Started::Again => return self.unsolicited(now),
            Started::Nothing => {}
        }
        self.send(reply);
    }

    fn finish_command(&mut self, now: Timestamp, reply: Reply) {
        let Some((own, command)) = self.queue.take(reply.code) else {
            return self.unsolicited(now);
        };
        for text in own {
            self.send_reply(&text);
        }
        match command {
            Pending::User(user) => self.user_answered(now, user, &reply),
            Pending::Password(verb) => self.password_answered(now, verb, &reply),
            Pending::Passive(verb) => self.passive_answered(verb, &reply),
            Pending::Active(pinhole) => self.active_answered(now, pinhole, &reply),
            Pending::Transfer { pinhole, started } => {
                self.transfer_answered(now, pinhole, reply.code, started);
                if self.queue.has_abort() {
                    self.abort_transfers();
                }
                self.send_once_arrived(now, pinhole, reply);
            }
            Pending::Directory(directory) => self.directory_answered(directory, &reply),
            Pending::Whereabouts => self.whereabouts_answered(&reply),
            Pending::Auth => self.auth_answered(now, reply),
            Pending::Protection(private) => self.protection_answered(private, &reply),
            Pending::Secure(step) => self.step_answered(now, step, &reply),
            Pending::Abort { .. } => {
                self.abort_answered();
                self.send(&reply);
            }
            Pending::Reinitialize => {
                if !reply.code.is_negative() {
                    self.log_out(now);
                    self.server_forgot();
                }
                self.send(&reply);
            }
            Pending::Features => self.send(&edit_features(reply, &self.policy)),
            Pending::Instead(text) => self.send_reply(&text),
            Pending::Quit { .. } => {
                self.send(&reply);
                if !self.queue.has_quit() {
                    self.end(now, Reason::Quit, None);
                }
            }
            Pending::Plain | Pending::Own(_) => self.send(&reply),
        }
        self.reply_sent(now);
    }

    /// A reply has taken its effect; what waited behind it may go.
    pub(super) fn reply_sent(&mut self, now: Timestamp) {
        self.flush_answers();
        if !self.is_paused() && self.queue.is_over() {
            self.end(now, Reason::Quit, None);
        }
    }

    fn unsolicited(&mut self, now: Timestamp) {
        self.violation(Reason::UnsolicitedReply);
        self.end(now, Reason::UnsolicitedReply, Some(replies::SERVER_BROKE_PROTOCOL));
    }

    pub(super) fn send(&mut self, reply: &Reply) {
        let mut out = Vec::new();
        reply.emit(&mut out);
        self.outputs.push_back(Output::ToClient(out));
    }

    fn user_answered(&mut self, now: Timestamp, user: String, reply: &Reply) {
        self.send(reply);
        match reply.code.get() {
            230 | 232 => self.logged_in(user),
            331 => self.login = Login::Named(user),
            332 => self.login = Login::NeedsAccount(user),
            _ => self.login_failed(now, reply),
        }
    }

    fn password_answered(&mut self, now: Timestamp, verb: Verb, reply: &Reply) {
        self.send(reply);
        match (reply.code.get(), std::mem::replace(&mut self.login, Login::Nobody)) {
            (230 | 232, Login::Named(user) | Login::NeedsAccount(user)) => self.logged_in(user),
            // "Superfluous" is a login only to an account that the server asked for.
            (202, Login::NeedsAccount(user)) if verb == Verb::Acct => self.logged_in(user),
            (332, Login::Named(user)) => self.login = Login::NeedsAccount(user),
            // 230 without a USER that the server took names nobody.
            (_, login) => {
                self.login = login;
                self.login_failed(now, reply);
            }
        }
    }

    fn logged_in(&mut self, user: String) {
        self.login = Login::In(user);
        self.client.set_limit(self.policy.limits.line_bytes);
        self.record(Event::new(EventKind::SessionLogin));
    }

    fn login_failed(&mut self, now: Timestamp, reply: &Reply) {
        if !reply.code.is_negative() {
            return;
        }
        self.login_failures += 1;
        if self.login_failures >= self.policy.limits.login_failures {
            self.end(now, Reason::TooManyLogins, Some(replies::TOO_MANY_LOGINS));
        }
    }

    fn passive_answered(&mut self, verb: Verb, reply: &Reply) {
        if !reply.code.is_positive() {
            return self.send(reply);
        }
        let permit = self
            .read_passive(reply)
            .map_err(|_| Reason::BadPassiveReply)
            .and_then(|(port, named)| self.policy.permit_passive(&self.legs, port, named));
        match permit {
            Ok(PassivePermit { permit, address_differs }) => {
                if address_differs {
                    self.violation(Reason::ServerAddress);
                }
                self.open(verb, permit, None, None);
            }
            Err(reason) => self.deny_passive_reply(verb, reason),
        }
    }

    /// The port, and the address beside it, of a 227 or 229.
    fn read_passive(&self, reply: &Reply) -> Result<(u16, Option<IpAddr>), AddressError> {
        let text = reply.single_line().unwrap_or_default();
        match (Family::of(self.legs.server.ip()), reply.code.get()) {
            (Family::V4, 227) => parse_227(text).map(|AdvertisedAddr(addr)| (addr.port(), Some(addr.ip()))),
            (Family::V6, 229) => parse_229(text).map(|port| (port, None)),
            _ => Err(AddressError::Syntax),
        }
    }

    fn deny_passive_reply(&mut self, verb: Verb, reason: Reason) {
        self.record(Event {
            mode: Some(TransferMode::Passive),
            command: Some(verb.name().to_owned()),
            reason: Some(reason),
            ..Event::new(EventKind::PinholeDenied)
        });
        self.send_reply(replies::BAD_PASSIVE.as_bytes());
    }

    /// Tells the client where to dial; the pinhole is open.
    pub(super) fn announce_passive(&mut self, verb: Verb, port: u16) {
        let reached = self.policy.advertise.map_or(self.legs.reached.ip(), IpAddr::V4);
        let text = match (verb, reached) {
            (Verb::Pasv, IpAddr::V4(ip)) => format!("227 {}", emit_227(SocketAddrV4::new(ip, port))),
            _ => format!("229 {}", emit_229(port)),
        };
        self.send_reply(text.as_bytes());
    }

    fn active_answered(&mut self, now: Timestamp, pinhole: PinholeId, reply: &Reply) {
        if reply.code.is_positive() {
            self.activate(now, pinhole);
        } else {
            self.refuse_active(pinhole);
        }
        self.send(reply);
    }
}

/// Takes out of FEAT what the gateway does not pass (RFC 4217 section 6), and puts in what it speaks itself:
/// EPSV, EPRT where active mode is allowed, and AUTH, PBSZ and PROT where it ends TLS.
fn edit_features(reply: Reply, policy: &Policy) -> Reply {
    let [first, features @ .., last] = reply.lines.as_slice() else {
        return reply;
    };
    if !reply.code.is_positive() {
        return reply;
    }
    let tls: &[&[u8]] = match policy.tls {
        Tls::Terminate(_) => &[b" AUTH TLS", b" PBSZ", b" PROT"],
        Tls::Deny | Tls::Blind(_) => &[],
    };
    let passes_tls = matches!(policy.tls, Tls::Blind(_));
    let addresses: &[&[u8]] = if policy.active { &[b" EPRT", b" EPSV"] } else { &[b" EPSV"] };
    let kept = features.iter().filter(|line| passes(line, reply.code, passes_tls)).map(Vec::as_slice);
    let own = tls.iter().chain(addresses).copied();
    let lines = std::iter::once(first.as_slice()).chain(kept).chain(own).chain([last.as_slice()]);
    Reply { code: reply.code, lines: lines.map(<[u8]>::to_vec).collect() }
}

/// Whether a line of FEAT names a feature that goes through the gateway as it is.
fn passes(line: &[u8], code: ReplyCode, passes_tls: bool) -> bool {
    const HIDDEN: [&[u8]; 8] = [b"ADAT", b"ALGS", b"CPSV", b"EPRT", b"EPSV", b"LPRT", b"LPSV", b"SSCN"];
    const TLS: [&[u8]; 4] = [b"AUTH", b"CCC", b"PBSZ", b"PROT"];
    // Some servers put the code before every line.
    let line = line.strip_prefix(format!("{code}-").as_bytes()).unwrap_or(line).trim_ascii_start();
    let name = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let is_in = |names: &[&[u8]]| names.iter().any(|hidden| name.eq_ignore_ascii_case(hidden));
    !is_in(&HIDDEN) && (passes_tls || !is_in(&TLS))
}
