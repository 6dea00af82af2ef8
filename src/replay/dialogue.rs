//! One control connection of a capture: a session engine between what its two ends said.
//!
//! The server of a capture talked to the client itself. So what it answered to a command that the gateway would
//! have answered in its place is left out, and its answer to EPSV is turned into one to the PASV that the gateway
//! would have sent.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use super::scene::Scene;
use super::units::{Lines, Replies, code_of, text_of};
use crate::addr::Legs;
use crate::audit::SessionContext;
use crate::capture::Speaker;
use crate::ftp::{Command, Verb, emit_227, emit_line, parse_227, parse_229, parse_eprt, parse_port};
use crate::ids::PinholeId;
use crate::pinhole::DataEvent;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::session::{Output, Session};
use crate::stream::Direction;
use crate::time::Timestamp;

/// Commands or replies that may wait for the engine to take them.
const MOST_WAITING: usize = 1000;

/// Memory of a command or reply that waits, besides its bytes.
const LINE_COST: usize = 64;

/// One control connection.
#[derive(Debug)]
pub(super) struct Dialogue {
    engine: Session,
    pub(super) context: SessionContext,
    legs: Legs,
    /// The side of the flow that is the client.
    client: Direction,
    lines: Lines,
    replies: Replies,
    said: VecDeque<(Verb, Vec<u8>)>,
    replied: VecDeque<Vec<u8>>,
    /// Commands that the server has not finished with.
    asked: VecDeque<Asked>,
    /// Who has sent a FIN that the engine has not been told of.
    finished: Vec<Speaker>,
    /// What is seen of it began in the middle, and no command was seen yet: replies belong to others.
    midway: bool,
    encrypted: bool,
    /// What the engine sends the client next is a reply of the server, not an answer to the newest command.
    relaying: bool,
    pub(super) over: bool,
    /// What waited when it was counted last, in bytes.
    counted: usize,
    /// When its timer rings.
    pub(super) armed: Option<Timestamp>,
}

/// A command that the server has not finished with.
#[derive(Debug)]
struct Asked {
    verb: Verb,
    fate: Fate,
    /// An ABOR that the final reply of its transfer may have answered, too.
    settled: bool,
    /// As the client sent it, until it is known what the gateway makes of it.
    line: Vec<u8>,
}

impl Asked {
    fn new(verb: Verb, line: Vec<u8>) -> Self {
        Self { verb, fate: Fate::Held, settled: false, line }
    }
}

/// What the engine did with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It has not taken it yet.
    Held,
    /// It would have sent it to the server.
    Forwarded,
    /// It would have answered it.
    Answered,
    /// It would have answered it, and sent the server a NOOP in its place.
    Replaced,
}

impl Dialogue {
    /// A connection whose `client` side is at `legs.client`; `seen_late`: why its beginning is missing.
    pub(super) fn new(
        policy: &Arc<Policy>,
        context: SessionContext,
        legs: Legs,
        client: Direction,
        now: Timestamp,
        seen_late: Option<Reason>,
    ) -> Self {
        let policy = Arc::clone(policy);
        let engine = match seen_late {
            None => Session::new(policy, legs, now),
            Some(reason) => Session::midway(policy, legs, now, reason),
        };
        // The greeting is the reply to the connection itself.
        let connection = Asked { fate: Fate::Forwarded, ..Asked::new(Verb::Unknown, Vec::new()) };
        Self {
            engine,
            context,
            legs,
            client,
            lines: Lines::default(),
            replies: Replies::default(),
            said: VecDeque::new(),
            replied: VecDeque::new(),
            asked: seen_late.is_none().then_some(connection).into_iter().collect(),
            finished: Vec::new(),
            midway: seen_late.is_some(),
            encrypted: false,
            relaying: false,
            over: false,
            counted: 0,
            armed: None,
        }
    }

    /// Whether it still reads what is said.
    pub(super) fn reads(&self) -> bool {
        !self.encrypted
    }

    fn speaker(&self, side: Direction) -> Speaker {
        if side == self.client { Speaker::Client } else { Speaker::Server }
    }

    /// Takes bytes that an end sent.
    pub(super) fn handle_bytes(&mut self, now: Timestamp, side: Direction, bytes: &[u8], scene: &mut Scene) {
        if self.midway && is_tls(bytes) {
            self.go_dark(now, scene);
        }
        if self.encrypted {
            return self.go_on(now, scene);
        }
        let limits = self.engine.policy().limits;
        match self.speaker(side) {
            Speaker::Server if self.midway => {}
            Speaker::Client => {
                self.midway = false;
                let (lines, said, context) = (&mut self.lines, &mut self.said, &self.context);
                lines.push(bytes, limits.line_bytes, |line| {
                    let command = Command::parse(text_of(&line)).ok();
                    if let Some(command) = &command {
                        scene.summary.count_command(context, command);
                        scene.note_announced(announced_by_client(command), context);
                    }
                    said.push_back((command.map_or(Verb::Unknown, |command| command.verb), line));
                });
            }
            Speaker::Server => {
                let most = limits.line_bytes.saturating_mul(limits.reply_lines);
                let known = self.replied.len();
                self.replies.push(bytes, most, &mut self.replied);
                for reply in self.replied.iter().skip(known) {
                    scene.note_announced(announced_by_server(reply, self.legs.server.ip()), &self.context);
                }
            }
        }
        self.go_on(now, scene);
    }

    /// An end will say no more.
    pub(super) fn handle_end(&mut self, now: Timestamp, side: Direction, scene: &mut Scene) {
        self.finished.push(self.speaker(side));
        self.go_on(now, scene);
    }

    /// What else they say is not in the capture, or cannot be read.
    pub(super) fn handle_lost(&mut self, now: Timestamp, reason: Reason, scene: &mut Scene) {
        self.lines.forget();
        self.replies.forget();
        (self.said, self.replied) = Default::default();
        self.engine.handle_lost(now, reason);
        self.go_on(now, scene);
    }

    /// Nothing more will be known of it, nor of its data connections.
    pub(super) fn handle_forgotten(&mut self, now: Timestamp, reason: Reason, scene: &mut Scene) {
        self.engine.handle_forgotten(now, reason);
        self.go_on(now, scene);
    }

    pub(super) fn handle_data(&mut self, now: Timestamp, id: PinholeId, event: DataEvent, scene: &mut Scene) {
        self.engine.handle_data(now, id, event);
        self.go_on(now, scene);
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp, scene: &mut Scene) {
        self.engine.handle_timeout(now);
        self.go_on(now, scene);
    }

    /// Memory of what waits, in bytes.
    fn waiting(&self) -> usize {
        let said = self.said.iter().map(|(_, line)| line.len());
        let replied = self.replied.iter().map(Vec::len);
        let whole: usize = said.chain(replied).map(|bytes| bytes + LINE_COST).sum();
        whole + self.lines.len() + self.replies.len()
    }

    /// Counts what waits into `all`, what waits in all dialogues together.
    pub(super) fn count_waiting(&mut self, all: &mut usize) {
        *all -= self.counted;
        self.counted = if self.over { 0 } else { self.waiting() };
        *all += self.counted;
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.engine.poll_timeout()
    }

    /// Offers the engine what it is ready for.
    pub(super) fn go_on(&mut self, now: Timestamp, scene: &mut Scene) {
        self.perform(now, scene);
        while self.offer_command(now, scene) || self.offer_reply(now, scene) || self.offer_end(now, scene) {}
        if self.said.len().max(self.replied.len()) > MOST_WAITING {
            self.handle_lost(now, Reason::CaptureGap, scene);
        }
    }

    fn offer_command(&mut self, now: Timestamp, scene: &mut Scene) -> bool {
        let held = self.asked.back().is_some_and(|asked| asked.fate == Fate::Held);
        if held || !self.engine.wants_client() {
            return false;
        }
        let Some((verb, line)) = self.said.pop_front() else { return false };
        self.engine.handle_client(now, &line);
        if self.asked.len() >= MOST_WAITING {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked::new(verb, line));
        self.perform(now, scene);
        true
    }

    fn offer_reply(&mut self, now: Timestamp, scene: &mut Scene) -> bool {
        if !self.engine.wants_server() {
            return false;
        }
        let Some(reply) = self.replied.pop_front() else { return false };
        let code = code_of(&reply);
        let last = !matches!(code, Some([b'1', ..]));
        let asked = if last { self.take_asked(code) } else { None };
        let asked = asked.as_ref().or_else(|| self.asked.front());
        self.relaying = !matches!(asked, Some(Asked { fate: Fate::Answered, .. }));
        match asked {
            Some(Asked { fate, verb: Verb::Auth, .. }) if code == Some(*b"234") => {
                if *fate == Fate::Forwarded {
                    self.engine.handle_server(now, &reply);
                    self.perform(now, scene);
                }
                self.go_dark(now, scene);
            }
            Some(Asked { fate: Fate::Answered, .. }) => {}
            Some(Asked { fate: Fate::Replaced, .. }) if !last => {}
            Some(Asked { fate: Fate::Replaced, .. }) => self.engine.handle_server(now, b"200 OK\r\n"),
            Some(Asked { verb: Verb::Epsv, .. }) => {
                let reply = self.as_asked(&reply).unwrap_or(reply);
                self.engine.handle_server(now, &reply);
            }
            _ => self.engine.handle_server(now, &reply),
        }
        self.perform(now, scene);
        true
    }

    /// The command that a final reply belongs to: the first one, but for an ABOR that has had its only reply.
    fn take_asked(&mut self, code: Option<[u8; 3]>) -> Option<Asked> {
        let of_abort = matches!(code, Some([b'2', b'2', b'5' | b'6']));
        if !of_abort && self.asked.front().is_some_and(|asked| asked.settled) {
            self.asked.pop_front();
        }
        let asked = self.asked.pop_front()?;
        if of_abort && asked.verb.transfer().is_some() {
            self.asked.front_mut().into_iter().for_each(|next| next.settled = next.verb == Verb::Abor);
        }
        Some(asked)
    }

    /// The reply to PASV that says what this one to EPSV says: the gateway asks IPv4 servers so.
    fn as_asked(&self, reply: &[u8]) -> Option<Vec<u8>> {
        let IpAddr::V4(ip) = self.legs.server.ip() else { return None };
        let text = text_of(reply).strip_prefix(b"229 ")?;
        let text = emit_227(SocketAddrV4::new(ip, parse_229(text).ok()?));
        let mut line = Vec::new();
        emit_line(&mut line, &[b"227 ", text.as_bytes()]);
        Some(line)
    }

    /// The client and the server speak TLS.
    fn go_dark(&mut self, now: Timestamp, scene: &mut Scene) {
        self.encrypted = true;
        scene.summary.encrypted += 1;
        self.engine.handle_lost(now, Reason::Encrypted);
    }

    /// Tells the engine of a FIN, behind everything that was said before it.
    fn offer_end(&mut self, now: Timestamp, scene: &mut Scene) -> bool {
        let silent = |speaker: &Speaker| match speaker {
            Speaker::Client => self.said.is_empty(),
            Speaker::Server => self.replied.is_empty(),
        };
        let Some(at) = self.finished.iter().position(silent) else { return false };
        match self.finished.remove(at) {
            Speaker::Client => self.engine.handle_client_closed(now),
            Speaker::Server => self.engine.handle_server_closed(now),
        }
        self.perform(now, scene);
        true
    }

    /// Does what the engine wants done.
    fn perform(&mut self, now: Timestamp, scene: &mut Scene) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::ToClient(bytes) => {
                    if !std::mem::take(&mut self.relaying) {
                        self.write_answered(scene);
                    }
                    scene.sent(&self.legs, Speaker::Server, &bytes);
                }
                Output::ToServer(bytes) | Output::SynchToServer(bytes) => {
                    self.decide(Fate::Forwarded, Some(&bytes));
                    scene.sent(&self.legs, Speaker::Client, &bytes);
                }
                Output::Open(expectation) => {
                    let opened = scene.open(self.context.session, &expectation, self.engine.policy());
                    self.engine.handle_opened(now, opened);
                }
                Output::OpenRange(_) => {
                    let range = scene.open_range();
                    self.engine.handle_range(now, Ok(range));
                }
                Output::Order(pinhole, order) => scene.order(pinhole, order),
                Output::Record(event) => scene.record(Some(&self.context), event),
                Output::Tolerated(tolerance) => scene.summary.count_tolerance(tolerance),
                // Whether the two have it, the server's own reply to AUTH tells.
                Output::Handshake(side) => self.engine.handle_handshake(now, side, Ok(())),
                Output::HangUp => {}
                Output::Over => self.over = true,
            }
        }
        self.relaying = false;
        if self.engine.wants_client() {
            self.write_answered(scene);
            self.decide(Fate::Answered, None);
        }
    }

    /// Writes the newest command as its client sent it, unless it was forwarded or is written already.
    fn write_answered(&mut self, scene: &mut Scene) {
        if let Some(line) = self.asked.back_mut().map(|asked| std::mem::take(&mut asked.line)) {
            scene.sent(&self.legs, Speaker::Client, &line);
        }
    }

    /// The newest command has its fate, by what was `sent` for it.
    fn decide(&mut self, fate: Fate, sent: Option<&[u8]>) {
        if let Some(asked) = self.asked.back_mut()
            && asked.fate == Fate::Held
        {
            let replaced = sent == Some(b"NOOP\r\n") && asked.verb != Verb::Noop;
            asked.fate = if replaced { Fate::Replaced } else { fate };
            asked.line = Vec::new();
        }
    }
}

/// Whether these bytes begin like a record of TLS (RFC 8446 section 5.1): its type and the first half of its version.
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x14..=0x17, 0x03, ..])
}

/// Where the client of this command said that it listens, allowed or not.
fn announced_by_client(command: &Command) -> Option<SocketAddr> {
    let named = match command.verb {
        Verb::Port => parse_port(command.argument()),
        Verb::Eprt => parse_eprt(command.argument()),
        _ => return None,
    };
    named.ok().map(|named| named.0)
}

/// Where the server of this reply said that it listens, allowed or not.
fn announced_by_server(reply: &[u8], server: IpAddr) -> Option<SocketAddr> {
    match text_of(reply).split_at_checked(4)? {
        (b"227 ", text) => parse_227(text).ok().map(|named| named.0),
        (b"229 ", text) => parse_229(text).ok().map(|port| SocketAddr::new(server, port)),
        _ => None,
    }
}
