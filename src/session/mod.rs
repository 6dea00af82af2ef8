//! The session engine: one control connection and all that it spawned, as a state machine.
//!
//! Bytes, data events and the time go in through the `handle_*` calls, [`Output`]s come out of
//! [`poll_output`](Session::poll_output). The engine has no socket, clock, randomness or file, so the
//! proxy and a replay of captures cannot disagree, and every rule is tested in virtual time.
//!
//! A pinhole is the effect of a transaction (P1): login first, then PASV or EPSV with its own 227 or
//! 229, or PORT or EPRT with its own 2yz, paired by a queue of commands. RFC 959, 2428,
//! 2577, 3659, 6384.

mod blind;
mod client;
mod data;
mod event;
mod login;
mod opening;
mod output;
mod queue;
mod replies;
mod rules;
mod server;
mod tls;
mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::addr::Legs;
use crate::ftp::{Command, LineReader, ReplyReader, emit_line};
use crate::ids::PinholeId;
use crate::pinhole::Order;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::time::Timestamp;

pub use event::{Event, EventKind};
pub use output::{Output, Tolerance};
pub use tls::Side;

use blind::Blind;
use data::{Pinhole, Setup};
use login::Login;
use opening::Opening;
use queue::{Pending, Queue};
use rules::Asker;
use tls::Shield;
use waiting::{Failed, Waiting};

/// Commands before the login are held to this length in bytes (RFC 959 names and passwords are short).
const LOGIN_LINE_BYTES: usize = 512;

/// Outputs that may wait for the shell; more is read only after it took them (P6).
const OUTPUTS: usize = 64;

/// Pinholes of one session, transfers included. Far above what any client does: it stops a client and a
/// server that together let every transfer linger.
const PINHOLES: usize = 1000;

/// A transfer command may stay unanswered for this many `timeouts.idle`: tape and object stores answer
/// late.
const UNANSWERED_IDLES: u32 = 8;

/// One control connection and all that it spawned.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    legs: Legs,
    phase: Phase,
    client: LineReader,
    server: ReplyReader,
    /// The next command, read but not allowed to go yet.
    held: Option<Command>,
    queue: Queue,
    login: Login,
    shield: Shield,
    asker: Asker,
    blind: Option<Box<Blind>>,
    setup: Setup,
    opening: Option<Opening>,
    waiting: Option<Waiting>,
    /// At most one for each transfer that waits for its final reply.
    failed: Vec<Failed>,
    pinholes: Vec<Pinhole>,
    outputs: VecDeque<Output>,
    /// When the last event came.
    now: Timestamp,
    started: Timestamp,
    login_since: Timestamp,
    last_activity: Timestamp,
    violations: u32,
    login_failures: u32,
    epsv_all: bool,
    client_spoke: bool,
    client_gone: bool,
    draining: bool,
}

/// Where the control connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The server has not said 220 yet; nothing of the client counts.
    Greeting,
    /// The server has; TLS towards it comes before anything of the client.
    Securing,
    Running,
    /// The control connection is over; data connections may still run.
    Ended(Reason),
    /// The last data connection is gone too.
    Over,
}

impl Session {
    /// A session whose two legs are connected; the server's greeting comes next.
    pub fn new(policy: Arc<Policy>, legs: Legs, now: Timestamp) -> Self {
        let mut session = Self::fresh(policy, legs, now);
        session.begin_upstream();
        session
    }

    /// A session whose client begins with TLS (implicit FTPS).
    pub fn implicit(policy: Arc<Policy>, legs: Legs, now: Timestamp) -> Self {
        let mut session = Self::fresh(policy, legs, now);
        session.begin_implicit();
        session
    }

    fn fresh(policy: Arc<Policy>, legs: Legs, now: Timestamp) -> Self {
        let mut session = Self {
            client: commands_of(&policy),
            server: replies_of(&policy),
            policy,
            legs,
            phase: Phase::Greeting,
            held: None,
            queue: Queue::default(),
            login: Login::Nobody,
            shield: Shield::default(),
            asker: Asker::default(),
            blind: None,
            setup: Setup::None,
            opening: None,
            waiting: None,
            failed: Vec::new(),
            pinholes: Vec::new(),
            outputs: VecDeque::new(),
            now,
            started: now,
            login_since: now,
            last_activity: now,
            violations: 0,
            login_failures: 0,
            epsv_all: false,
            client_spoke: false,
            client_gone: false,
            draining: false,
        };
        session.record(Event::new(EventKind::SessionOpened));
        session
    }

    /// A session whose beginning nobody saw: it counts as logged in, and its record says `reason`.
    pub fn midway(policy: Arc<Policy>, legs: Legs, now: Timestamp, reason: Reason) -> Self {
        let mut session = Self::fresh(policy, legs, now);
        session.phase = Phase::Running;
        session.login = Login::Unseen;
        session.client.set_limit(session.policy.limits.line_bytes);
        session.outputs.clear();
        session.record(Event { reason: Some(reason), ..Event::new(EventKind::SessionOpened) });
        session
    }

    /// The policy that the session goes by.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Takes bytes that the client sent.
    pub fn handle_client(&mut self, now: Timestamp, bytes: &[u8]) {
        if self.is_ended() || bytes.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.client_spoke, true) && bytes.first() == Some(&TLS_HANDSHAKE) {
            self.violation(Reason::NotFtp);
            return self.end(now, Reason::NotFtp, Some(replies::NOT_FTP));
        }
        let clear = self.pass_records(now, Side::Client, bytes);
        self.client.push(clear);
        self.run(now);
    }

    /// Takes bytes that the server sent.
    pub fn handle_server(&mut self, now: Timestamp, bytes: &[u8]) {
        if self.is_ended() {
            return;
        }
        let clear = self.pass_records(now, Side::Server, bytes);
        self.server.push(clear);
        self.run(now);
    }

    /// The client will send no more. What it asked before is still answered.
    pub fn handle_client_closed(&mut self, now: Timestamp) {
        self.client_gone = true;
        self.limit_pending(now);
        self.run(now);
    }

    /// The server will send no more.
    pub fn handle_server_closed(&mut self, now: Timestamp) {
        if self.queue.has_quit() {
            return self.end(now, Reason::Quit, None);
        }
        self.end(now, Reason::ServerClosed, Some(replies::SERVER_GONE));
    }

    /// The gateway is about to stop: the session ends as soon as no transfer runs.
    pub fn handle_drain(&mut self, now: Timestamp) {
        self.draining = true;
        self.run(now);
    }

    /// The gateway stops: the session ends, with its transfers.
    pub fn handle_stop(&mut self, now: Timestamp) {
        self.end(now, Reason::Draining, Some(replies::DRAINING));
        self.handle_forgotten(now, Reason::Draining);
    }

    /// Nobody will see what else is said. Transfers go on.
    pub fn handle_lost(&mut self, now: Timestamp, reason: Reason) {
        self.end(now, reason, None);
    }

    /// Nobody will see what becomes of it: the session ends, with its transfers.
    pub fn handle_forgotten(&mut self, now: Timestamp, reason: Reason) {
        self.end(now, reason, None);
        self.cut_all(reason);
        self.finish_if_over(now);
    }

    /// Something is due; see [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.expire_pinholes(now);
        self.expire_waiting(now);
        let due = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= now);
        if due(self.login_deadline()) {
            let (reason, text) = match self.is_servers_turn() {
                true => (Reason::UpstreamSilent, replies::SERVER_SILENT),
                false => (Reason::LoginTimeout, replies::LOGIN_TIMEOUT),
            };
            self.end(now, reason, Some(text));
        } else if due(self.idle_deadline()) {
            self.end(now, Reason::IdleTimeout, Some(replies::IDLE_TIMEOUT));
        }
        self.run(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called, if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let pinholes = self.pinholes.iter().filter_map(|pinhole| pinhole.deadline);
        let control = self.login_deadline().into_iter().chain(self.idle_deadline());
        pinholes.chain(control).chain(self.waiting_deadline()).min()
    }

    /// The pinholes that are pending or connected, and the range that is open.
    pub fn pinholes(&self) -> impl Iterator<Item = PinholeId> {
        self.pinholes.iter().map(Pinhole::id).chain(self.range())
    }

    /// The next thing to do. `None`: nothing, until the next `handle_*`.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.run(self.now);
        }
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            // An idle session holds no memory for outputs.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// Whether the client's bytes may be read on. Over the bounds they wait in the socket (P6).
    pub fn wants_client(&self) -> bool {
        !self.is_ended()
            && !self.client_gone
            && !self.is_paused()
            && !self.holds_client()
            && !self.passes_auth()
            && self.held.is_none()
            && self.queue.len() < self.policy.limits.pending_commands
            && !self.client.has_unread()
    }

    /// Whether the server's bytes may be read on.
    pub fn wants_server(&self) -> bool {
        !self.is_ended() && !self.is_paused() && !self.server.has_unread()
    }

    /// Does what can be done with what has been read, [`OUTPUTS`] at a time. Each reply meets what it
    /// would meet if it came alone: the commands before it are taken, and a session that is done is
    /// over (P5).
    fn run(&mut self, now: Timestamp) {
        self.now = now;
        while self.can_run() {
            if self.read_command(now) {
                continue;
            }
            self.end_if_done(now);
            if self.is_ended() || !self.read_reply(now) {
                break;
            }
        }
        if self.shakes_hands() {
            self.end_if_done(now);
        }
    }

    fn end_if_done(&mut self, now: Timestamp) {
        if self.draining && !self.is_busy() {
            self.end(now, Reason::Draining, Some(replies::DRAINING));
        } else if self.client_gone && self.nothing_left() {
            self.end(now, Reason::ClientClosed, None);
        }
    }

    fn can_run(&self) -> bool {
        !self.is_ended() && !self.is_paused() && self.outputs.len() < OUTPUTS
    }

    /// Whether everything waits for the firewall backend or for a handshake.
    fn is_paused(&self) -> bool {
        self.opening.is_some() || self.waiting.is_some() || self.shakes_hands() || self.opens_range()
    }

    fn nothing_left(&self) -> bool {
        self.queue.is_settled() && self.held.is_none() && !self.client.has_unread()
    }

    fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_) | Phase::Over)
    }

    /// Whether data moves or is about to.
    fn is_busy(&self) -> bool {
        self.queue.has_transfer() || self.has_data()
    }

    /// Whether a data connection is up: then no time-out ends the control connection (P11).
    fn has_data(&self) -> bool {
        self.pinholes.iter().any(Pinhole::is_connected)
    }

    fn login_deadline(&self) -> Option<Timestamp> {
        let waits = !self.is_ended() && !self.login.is_in() && !self.has_data();
        waits.then(|| self.login_since + self.patience(self.policy.timeouts.login))
    }

    fn idle_deadline(&self) -> Option<Timestamp> {
        let waits = !self.is_ended() && self.login.is_in() && !self.has_data();
        waits.then(|| self.last_activity + self.patience(self.policy.timeouts.idle))
    }

    /// How long to wait for something to happen: longer while a transfer is unanswered, never for ever.
    fn patience(&self, timeout: Duration) -> Duration {
        if self.queue.has_transfer() { self.answer_timeout() } else { timeout }
    }

    /// How long a transfer command may stay unanswered without a data connection.
    fn answer_timeout(&self) -> Duration {
        self.policy.timeouts.idle.saturating_mul(UNANSWERED_IDLES)
    }

    /// A transfer is over: all waiting begins anew.
    fn transfer_over(&mut self, now: Timestamp) {
        self.last_activity = now;
        self.login_since = now;
    }

    /// Ends the control connection. Transfers that the server took on go on to their end.
    fn end(&mut self, now: Timestamp, reason: Reason, farewell: Option<&str>) {
        if self.is_ended() {
            return;
        }
        if let Some(waiting) = self.waiting.take() {
            self.send(&waiting.reply);
        }
        self.tell_failures();
        let mute = self.shakes_hands_with(Side::Client) || self.is_dark_to_client();
        if let Some(text) = farewell.filter(|_| !mute) {
            self.send_reply(text.as_bytes());
        }
        self.phase = Phase::Ended(reason);
        self.queue.clear();
        self.held = None;
        self.setup = Setup::None;
        self.outputs.push_back(Output::HangUp);
        self.close_range(Reason::SessionEnded);
        self.release_without_transfer(Reason::SessionEnded);
        self.limit_pending(now);
        self.finish_if_over(now);
    }

    /// Reports the end once the last data connection is gone.
    fn finish_if_over(&mut self, now: Timestamp) {
        if let Phase::Ended(reason) = self.phase
            && self.pinholes.is_empty()
            && self.opening.is_none()
            && self.blind.is_none()
        {
            let duration = now.since(self.started);
            let event = Event::new(EventKind::SessionClosed);
            self.record(Event { reason: Some(reason), duration: Some(duration), ..event });
            self.outputs.push_back(Output::Over);
            self.phase = Phase::Over;
        }
    }

    fn record(&mut self, event: Event) {
        let user = event.user.or_else(|| self.login.user().map(str::to_owned));
        self.outputs.push_back(Output::Record(Event { user, ..event }));
    }

    fn order(&mut self, pinhole: PinholeId, order: Order) {
        self.outputs.push_back(Output::Order(pinhole, order));
    }

    /// Sends a reply of the gateway's own, now.
    fn send_reply(&mut self, text: &[u8]) {
        let mut line = Vec::with_capacity(text.len() + 2);
        emit_line(&mut line, &[text]);
        self.outputs.push_back(Output::ToClient(line));
    }

    /// Answers in the server's place, in the order of the commands.
    fn answer(&mut self, text: &str) {
        let text = text.as_bytes().to_vec();
        if self.queue.has_abort() {
            // The ABOR's reply may never come; the reply to a NOOP tells when it no longer can.
            self.queue.push(Pending::Instead(text));
            self.outputs.push_back(Output::ToServer(b"NOOP\r\n".to_vec()));
        } else {
            self.queue.push(Pending::Own(text));
            self.flush_answers();
        }
    }

    /// Sends the gateway's own answers whose turn it is. A reply that waits for the backend has its turn
    /// before them.
    fn flush_answers(&mut self) {
        while !self.is_paused()
            && let Some(text) = self.queue.pop_own()
        {
            self.send_reply(&text);
        }
    }

    /// Reports that a named leniency was used.
    fn tolerate(&mut self, tolerance: Tolerance) {
        self.outputs.push_back(Output::Tolerated(tolerance));
    }

    /// Records that a peer broke the protocol.
    fn violation(&mut self, reason: Reason) {
        self.record(Event { reason: Some(reason), ..Event::new(EventKind::Violation) });
    }

    /// Counts against `limits.violations`.
    fn count_violation(&mut self, now: Timestamp) {
        self.violations += 1;
        if self.violations > self.policy.limits.violations {
            self.end(now, Reason::TooManyViolations, Some(replies::TOO_MANY_VIOLATIONS));
        }
    }

    fn pinhole_timeout(&self) -> Duration {
        self.policy.timeouts.pinhole
    }
}

/// Reads commands. Before the login a line is short.
fn commands_of(policy: &Policy) -> LineReader {
    LineReader::new(policy.limits.line_bytes.min(LOGIN_LINE_BYTES), policy.tolerate.bare_lf)
}

fn replies_of(policy: &Policy) -> ReplyReader {
    let lines = LineReader::new(policy.limits.line_bytes, policy.tolerate.bare_lf);
    ReplyReader::new(lines, policy.limits.reply_lines, policy.tolerate.unpadded_multiline)
}

/// The first byte of a TLS record that begins a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
