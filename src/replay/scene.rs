//! What all dialogues of a replay share: the pinholes, the records, what was announced, the time.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::pinholes::Pinholes;
use super::summary::Summary;
use super::units::text_of;
use crate::addr::Legs;
use crate::audit::{Record, SessionContext};
use crate::capture::Speaker;
use crate::ftp::{Command, Verb};
use crate::ids::{PinholeId, SessionId};
use crate::pinhole::{Expectation, OpenError, Opened, Order};
use crate::policy::Policy;
use crate::session::Event;

/// A record and the frame that led to it.
#[derive(Debug)]
pub struct Seen {
    /// The record, with the time of the capture.
    pub record: Record,
    /// The frame, counted from 1 in its capture.
    pub frame: u64,
}

/// Bytes of a control connection, as the gateway would have sent them.
#[derive(Debug)]
pub struct Sent {
    /// The connection, as the capture has it.
    pub legs: Legs,
    /// Whose they are.
    pub by: Speaker,
    /// The bytes, but for passwords: `PASS xxxx`.
    pub bytes: Vec<u8>,
    /// When.
    pub at: SystemTime,
}

/// What all dialogues share.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) pinholes: Pinholes,
    pub(super) summary: Summary,
    pub(super) records: VecDeque<Seen>,
    /// `None` where nobody asks.
    pub(super) sent: Option<VecDeque<Sent>>,
    /// Data connections that were ordered closed.
    pub(super) cut: Vec<PinholeId>,
    announced: Announced,
    pub(super) frame: u64,
    pub(super) at: SystemTime,
}

impl Scene {
    pub(super) fn new(keep_sent: bool) -> Self {
        Self {
            pinholes: Pinholes::default(),
            summary: Summary::default(),
            records: VecDeque::new(),
            sent: keep_sent.then(VecDeque::new),
            cut: Vec::new(),
            announced: Announced::default(),
            frame: 0,
            at: SystemTime::UNIX_EPOCH,
        }
    }

    pub(super) fn record(&mut self, context: Option<&SessionContext>, event: Event) {
        self.summary.count(context, &event);
        let record = Record::new(self.at, context.cloned(), event);
        self.records.push_back(Seen { record, frame: self.frame });
    }

    pub(super) fn sent(&mut self, legs: &Legs, by: Speaker, bytes: &[u8]) {
        if let Some(sent) = self.sent.as_mut().filter(|_| !bytes.is_empty()) {
            let bytes = match by {
                Speaker::Client => without_secrets(bytes),
                Speaker::Server => bytes.to_vec(),
            };
            let legs = *legs;
            sent.push_back(Sent { legs, by, bytes, at: self.at });
        }
    }

    pub(super) fn open(
        &mut self,
        session: SessionId,
        expectation: &Expectation,
        policy: &Policy,
    ) -> Result<Opened, OpenError> {
        let opened = self.pinholes.open(session, expectation, policy);
        self.summary.passive_ports_needed = self.pinholes.most_pending();
        opened
    }

    /// A range is open to its session; which connections use it, a capture does not tell.
    pub(super) fn open_range(&mut self) -> PinholeId {
        self.pinholes.name()
    }

    pub(super) fn order(&mut self, id: PinholeId, order: Order) {
        if self.pinholes.order(id, order) {
            self.cut.push(id);
        }
    }

    pub(super) fn note_announced(&mut self, named: Option<SocketAddr>, context: &SessionContext) {
        if let Some(named) = named {
            self.announced.add(named, context);
        }
    }

    /// Whose data connection goes from `from` to `to`, by what was announced; each answer is given once.
    pub(super) fn take_announced(&mut self, from: IpAddr, to: SocketAddr) -> Option<SessionContext> {
        self.announced.take(from, to)
    }
}

/// Whoever is handed the file need not learn passwords (P10), however they were written: of what is not a command
/// that the gateway knows, which the end of a long line may be, only the verb is kept.
fn without_secrets(line: &[u8]) -> Vec<u8> {
    match Command::parse(text_of(line)) {
        Ok(Command { verb: Verb::Pass | Verb::Acct | Verb::Unknown, name, argument: Some(_) }) => {
            format!("{name} xxxx\r\n").into_bytes()
        }
        Ok(_) => line.to_vec(),
        Err(_) => b"xxxx\r\n".to_vec(),
    }
}

/// The addresses that were announced last, whether or not a pinhole was opened for them.
#[derive(Debug, Default)]
struct Announced(VecDeque<(SocketAddr, SessionContext)>);

impl Announced {
    /// The most that are remembered.
    const MOST: usize = 256;

    fn add(&mut self, named: SocketAddr, context: &SessionContext) {
        if self.0.len() >= Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back((named, context.clone()));
    }

    fn take(&mut self, from: IpAddr, to: SocketAddr) -> Option<SessionContext> {
        let of = |session: &SessionContext| {
            session.client.ip() == from || session.server.is_some_and(|server| server.ip() == from)
        };
        let at = self.0.iter().rposition(|(named, context)| *named == to && of(context))?;
        self.0.remove(at).map(|(_, context)| context)
    }
}

/// Names sessions in the order of their beginning.
#[derive(Debug, Default)]
pub(super) struct Names(u64);

impl Names {
    pub(super) fn next(&mut self) -> SessionId {
        self.0 += 1;
        SessionId(self.0)
    }
}
