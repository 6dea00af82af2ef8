//! FTPS where the gateway ends TLS: AUTH, PBSZ and PROT of the client, and TLS towards the server
//! (RFC 2228, RFC 4217).
//!
//! The engine says when a leg's handshake begins and hears how it went; the shell has the keys. Nothing
//! that came in plain text before a handshake counts behind it, and nothing falls back (P7).

use super::queue::Pending;
use super::{Event, EventKind, Output, Phase, Session, Tolerance, commands_of, replies, replies_of};
use crate::ftp::{Command, Reply, Verb};
use crate::pinhole::Protected;
use crate::policy::rules;
use crate::policy::{MinProtection, Tls, UpstreamTls};
use crate::reason::Reason;
use crate::time::Timestamp;

/// One of the two legs of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// A command of the gateway's own that secures the server's leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Auth,
    Pbsz,
    Prot,
}

/// How far the session is protected.
#[derive(Debug, Default)]
pub(super) struct Shield {
    /// TLS runs on the client's leg.
    client: bool,
    /// TLS runs on the server's leg.
    server: bool,
    /// The client sent PBSZ.
    sized: bool,
    /// The client's data is protected (PROT P).
    private: bool,
    /// The shell is at the handshake of this leg.
    handshake: Option<Side>,
    /// The server's greeting waits for TLS towards it.
    greeting: Option<Reply>,
    /// The client's AUTH waits for TLS towards the server.
    asked: bool,
    /// Whether data is protected was said where nobody here heard it (blind, then CCC).
    pub(super) unseen: bool,
    /// The server heard something from the client in plain text that it may remember.
    told: bool,
}

impl Session {
    /// The client begins with TLS (implicit FTPS): its data is protected without being asked.
    pub(super) fn begin_implicit(&mut self) {
        self.shield.sized = true;
        self.shield.private = true;
        self.shake_hands(Side::Client);
    }

    /// A server with implicit FTPS is spoken to in TLS from the first byte.
    pub(super) fn begin_upstream(&mut self) {
        if self.policy.tls.upstream() == UpstreamTls::Implicit && !self.shield.server {
            self.shake_hands(Side::Server);
        }
    }

    fn shake_hands(&mut self, side: Side) {
        self.shield.handshake = Some(side);
        self.outputs.push_back(Output::Handshake(side));
    }

    /// How the handshake of [`Output::Handshake`] went.
    pub fn handle_handshake(&mut self, now: Timestamp, side: Side, result: Result<(), Reason>) {
        if self.is_ended() || self.shield.handshake.take_if(|awaited| *awaited == side).is_none() {
            return;
        }
        match (side, result) {
            (Side::Client, Err(reason)) => self.end(now, reason, None),
            (Side::Server, Err(reason)) => self.end(now, reason, Some(replies::NO_TLS_TO_SERVER)),
            (Side::Client, Ok(())) => {
                self.shield.client = true;
                self.begin_upstream();
            }
            (Side::Server, Ok(())) => {
                self.shield.server = true;
                // Before the greeting (implicit) the server is asked for nothing yet.
                if self.phase != Phase::Greeting {
                    self.secure_server(now);
                }
            }
        }
        self.run(now);
    }

    /// Whether the shell is at a handshake: nothing else is read or said.
    pub(super) fn shakes_hands(&self) -> bool {
        self.shield.handshake.is_some()
    }

    pub(super) fn shakes_hands_with(&self, side: Side) -> bool {
        self.shield.handshake == Some(side)
    }

    /// Whether it is the server whose word or handshake comes next, before anything of the client.
    pub(super) fn is_servers_turn(&self) -> bool {
        match self.shield.handshake {
            Some(side) => side == Side::Server,
            None => self.shield.asked || matches!(self.phase, Phase::Greeting | Phase::Securing),
        }
    }

    /// Whether the client's AUTH waits: what it sends meanwhile belongs to its handshake.
    pub(super) fn holds_client(&self) -> bool {
        self.shield.asked
    }

    /// The server has greeted: the greeting goes to the client, at once or behind TLS towards the server.
    pub(super) fn greet(&mut self, now: Timestamp, greeting: Reply) {
        let secured = match self.policy.tls.upstream() {
            UpstreamTls::None => false,
            UpstreamTls::AsClient => self.shield.client,
            UpstreamTls::Explicit | UpstreamTls::Implicit => true,
        };
        if secured {
            self.phase = Phase::Securing;
            self.shield.greeting = Some(greeting);
            self.secure_server(now);
        } else {
            self.phase = Phase::Running;
            self.send(&greeting);
        }
    }

    /// The next step to TLS towards the server and to protected data on that leg.
    fn secure_server(&mut self, now: Timestamp) {
        if !self.shield.server {
            self.ask_server(Step::Auth);
        } else if self.policy.tls.passes_data() && !self.shield.private {
            // The client's own PBSZ and PROT go through to the server; with implicit FTPS there are none.
            self.server_secured(now);
        } else {
            self.ask_server(Step::Pbsz);
        }
    }

    fn ask_server(&mut self, step: Step) {
        let line: &[u8] = match step {
            Step::Auth => b"AUTH TLS\r\n",
            Step::Pbsz => b"PBSZ 0\r\n",
            Step::Prot => b"PROT P\r\n",
        };
        self.queue.push(Pending::Secure(step));
        self.outputs.push_back(Output::ToServer(line.to_vec()));
    }

    /// The server's reply to a step.
    pub(super) fn step_answered(&mut self, now: Timestamp, step: Step, reply: &Reply) {
        match step {
            Step::Auth if reply.code.get() == 234 => self.server_agreed(now),
            // The client asked; it hears that there is no TLS, and decides.
            Step::Auth if self.shield.asked => {
                self.shield.asked = false;
                self.deny_auth(Reason::TlsDenied, replies::TLS_DENIED);
            }
            Step::Pbsz if reply.code.is_positive() => self.ask_server(Step::Prot),
            Step::Prot if reply.code.is_positive() => self.server_secured(now),
            _ => self.end(now, Reason::UpstreamTls, Some(replies::NO_TLS_TO_SERVER)),
        }
    }

    fn server_agreed(&mut self, now: Timestamp) {
        if self.server.has_unread() {
            // CVE-2021-22947.
            self.violation(Reason::PlaintextAfterAuth);
            return self.end(now, Reason::PlaintextAfterAuth, Some(replies::SERVER_BROKE_PROTOCOL));
        }
        self.server = replies_of(&self.policy);
        self.shake_hands(Side::Server);
    }

    fn server_secured(&mut self, now: Timestamp) {
        if let Some(greeting) = self.shield.greeting.take() {
            self.phase = Phase::Running;
            self.send(&greeting);
        }
        if std::mem::take(&mut self.shield.asked) {
            self.accept_client(now);
        }
    }

    /// AUTH (RFC 4217 section 4).
    pub(super) fn authenticate(&mut self, now: Timestamp, command: &Command) {
        self.drop_setup(Reason::Authentication);
        let terminate = match self.policy.tls {
            Tls::Deny => return self.deny_auth(Reason::TlsDenied, replies::TLS_DENIED),
            Tls::Blind(_) => return self.pass_auth(now, command),
            Tls::Terminate(terminate) => terminate,
        };
        let tls = [&b"TLS"[..], b"TLS-C"].iter().any(|name| command.argument().eq_ignore_ascii_case(name));
        let ssl = self.policy.tolerate.auth_ssl && command.argument().eq_ignore_ascii_case(b"SSL");
        if self.shield.client {
            return self.deny_auth(Reason::TlsOrder, replies::PROTECTED_ALREADY);
        }
        if self.shield.told {
            // What was said in plain text would count behind the handshake (P7).
            return self.deny_auth(Reason::TlsOrder, replies::AUTH_FIRST);
        }
        if !(tls || ssl) {
            return self.deny_auth(Reason::NotSupported, replies::OTHER_AUTH);
        }
        if ssl {
            self.tolerate(Tolerance::AuthSsl);
        }
        if self.client.has_unread() {
            return self.refuse_plaintext(now);
        }
        if terminate.upstream == UpstreamTls::AsClient {
            self.shield.asked = true;
            return self.secure_server(now);
        }
        self.accept_client(now);
    }

    /// What came in one flight with AUTH was never under TLS (D33).
    pub(super) fn refuse_plaintext(&mut self, now: Timestamp) {
        self.violation(Reason::PlaintextAfterAuth);
        self.end(now, Reason::PlaintextAfterAuth, Some(replies::PLAINTEXT_AFTER_AUTH));
    }

    fn accept_client(&mut self, now: Timestamp) {
        if self.client.has_unread() {
            return self.refuse_plaintext(now);
        }
        self.client = commands_of(&self.policy);
        self.epsv_all = false;
        self.send_reply(replies::BEGIN_TLS.as_bytes());
        self.shake_hands(Side::Client);
    }

    fn deny_auth(&mut self, reason: Reason, text: &str) {
        let command = Some(Verb::Auth.name().to_owned());
        self.record(Event { command, reason: Some(reason), ..Event::new(EventKind::CommandDenied) });
        self.answer(text);
    }

    /// PBSZ: with TLS there is one buffer size, 0 (RFC 4217 section 8).
    pub(super) fn buffer_size(&mut self, command: &Command) {
        if matches!(self.policy.tls, Tls::Blind(_)) {
            return self.forward(command, Pending::Plain, false);
        }
        if !self.shield.client {
            return self.deny_command(command, Reason::TlsOrder, replies::NO_TLS);
        }
        let digits = command.argument();
        if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
            return self.answer(replies::BAD_BUFFER_SIZE);
        }
        self.shield.sized = true;
        if self.passes_protection() {
            return self.forward(command, Pending::Plain, false);
        }
        self.answer(replies::BUFFER_SIZE);
    }

    /// PROT: C or P (RFC 4217 section 9). Whether C will do is decided at the transfer.
    pub(super) fn protect_data(&mut self, command: &Command) {
        if matches!(self.policy.tls, Tls::Blind(_)) {
            return self.forward(command, Pending::Plain, false);
        }
        if !self.shield.client {
            return self.deny_command(command, Reason::TlsOrder, replies::NO_TLS);
        }
        if !self.shield.sized {
            return self.deny_command(command, Reason::TlsOrder, replies::PBSZ_FIRST);
        }
        let private = match command.argument() {
            b"P" | b"p" => true,
            b"C" | b"c" => false,
            b"S" | b"s" | b"E" | b"e" => {
                return self.deny_command(command, Reason::NotSupported, replies::OTHER_LEVEL);
            }
            _ => return self.deny_command(command, Reason::NotSupported, replies::UNKNOWN_LEVEL),
        };
        if self.passes_protection() {
            return self.forward(command, Pending::Protection(private), false);
        }
        self.shield.private = private;
        self.answer(if private { replies::LEVEL_PRIVATE } else { replies::LEVEL_CLEAR });
    }

    /// The server's reply to a PROT that went through to it.
    pub(super) fn protection_answered(&mut self, private: bool, reply: &Reply) {
        if reply.code.is_positive() {
            self.shield.private = private;
        }
        self.send(reply);
    }

    /// Whether the level of protection is between the client and the server.
    fn passes_protection(&self) -> bool {
        self.policy.tls.passes_data() && self.shield.server
    }

    /// Whether the gateway has to see the bytes of the session's data connections.
    pub(super) fn terminates_data(&self) -> bool {
        (self.shield.client || self.shield.server) && !self.passes_protection()
    }

    /// Which legs of the next transfer are under the gateway's TLS.
    pub(super) fn protected_legs(&self) -> Protected {
        match self.terminates_data() {
            true => Protected { client: self.shield.private, server: self.shield.server },
            false => Protected::default(),
        }
    }

    /// Whether bytes pass that are encrypted from end to end.
    pub(super) fn passes_ciphertext(&self) -> bool {
        self.shield.unseen || (self.shield.private && self.passes_protection())
    }

    /// How far the client's leg is protected, as rules see it.
    pub(super) fn protection(&self) -> rules::Tls {
        match (self.shield.client, self.shield.private) {
            (false, _) => rules::Tls::None,
            (true, false) => rules::Tls::Control,
            (true, true) => rules::Tls::Private,
        }
    }

    /// Whether the client's leg is under TLS.
    pub(super) fn is_client_shielded(&self) -> bool {
        self.shield.client
    }

    /// Whether a leg is under TLS, so that REIN would have to clear it.
    pub(super) fn is_shielded(&self) -> bool {
        self.shield.client || self.shield.server
    }

    /// Whether the client has to send AUTH before `verb`.
    pub(super) fn lacks_tls(&self, verb: Verb) -> bool {
        let required = self.policy.tls.min_protection() >= MinProtection::Control;
        required && !self.shield.client && !leaves_no_trace(verb)
    }

    /// `verb` goes to the server.
    pub(super) fn tell_server(&mut self, verb: Verb) {
        self.shield.told |= !self.shield.client && !leaves_no_trace(verb);
    }

    /// The server forgot what it was told.
    pub(super) fn server_forgot(&mut self) {
        self.shield.told = false;
    }

    /// Whether the client has to send PROT P before a transfer.
    pub(super) fn lacks_privacy(&self) -> bool {
        self.policy.tls.min_protection() == MinProtection::Private && !self.shield.private
    }
}

/// Whether the server remembers nothing of `verb`: it may come in plain text before AUTH.
fn leaves_no_trace(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Abor | Verb::Feat | Verb::Help | Verb::Noop | Verb::Quit | Verb::Rein | Verb::Stat | Verb::Syst
    )
}
