//! One command put to the engine, as a service's client would send it.
//!
//! Does: greet, log in, change the directory and set a transfer up as far as the command needs it, then tell what
//! became of the command. Does not: open sockets; the server here agrees to everything. The engine is the one that
//! runs behind the gateway, so a test of a rules file and the gateway cannot disagree. Called by `cli`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::addr::{CONTROL_PORT, Family, Legs};
use crate::ftp::{Command, Verb};
use crate::ids::PinholeId;
use crate::pinhole::{Expectation, OpenError, Opened};
use crate::policy::rules::{self, Action};
use crate::policy::{MinProtection, Policy, TransferMode};
use crate::reason::Reason;
use crate::session::{Event, EventKind, Output, Session};
use crate::time::Timestamp;

/// Who sends a command, and from where.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// The client's address.
    pub client: IpAddr,
    /// The user that logs in before; `None`: nobody does.
    pub user: Option<String>,
    /// The directory that the session is in.
    pub cwd: Option<String>,
    /// How far the client's leg is protected; `None`: as the service asks for.
    pub tls: Option<rules::Tls>,
    /// How a transfer is set up.
    pub mode: TransferMode,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it passes, is refused, or ends the session.
    pub verdict: Action,
    /// What the client is told in the server's place.
    pub reply: Option<String>,
    /// The rule that decided; `None`: the preset or the gateway itself.
    pub rule: Option<Arc<str>>,
    /// Why, as records say it.
    pub reason: Option<Reason>,
    /// An earlier command that the session needs was denied, so that this one could not be sent.
    pub at: Option<String>,
}

/// What becomes of `command` with `policy`.
pub fn put(policy: &Policy, situation: &Situation, command: &str) -> Outcome {
    let mut trial = Trial::begin(policy, situation);
    for before in trial.lead_up(situation, command) {
        let outcome = trial.send(&before);
        if outcome.verdict != Action::Allow {
            return Outcome { at: Some(before), ..outcome };
        }
    }
    trial.send(command)
}

/// How far the client's leg is protected in `situation`.
pub fn protection(policy: &Policy, situation: &Situation) -> rules::Tls {
    let asked = match policy.tls.min_protection() {
        MinProtection::Clear => rules::Tls::None,
        MinProtection::Control => rules::Tls::Control,
        MinProtection::Private => rules::Tls::Private,
    };
    situation.tls.unwrap_or(asked)
}

struct Trial {
    engine: Session,
    /// What the gateway said to the client, and what it recorded, since the last command.
    said: Vec<u8>,
    events: Vec<Event>,
    ended: bool,
    opened: u64,
    policy: Arc<Policy>,
    legs: Legs,
}

impl Trial {
    fn begin(policy: &Policy, situation: &Situation) -> Self {
        let tls = policy.tls.without_upstream();
        let policy = Arc::new(Policy { tls, ..policy.clone() });
        let legs = legs(situation.client);
        let engine = Session::new(Arc::clone(&policy), legs, Timestamp::default());
        let (said, events) = (Vec::new(), Vec::new());
        let mut trial = Self { engine, said, events, ended: false, opened: 0, policy, legs };
        trial.reply("220 ready");
        trial
    }

    /// What has to be sent before `command` means anything.
    fn lead_up(&self, situation: &Situation, command: &str) -> Vec<String> {
        let verb = Command::parse(command.as_bytes()).map_or(Verb::Unknown, |command| command.verb);
        let mut lines: Vec<String> = Vec::new();
        let tls = protection(&self.policy, situation);
        if tls != rules::Tls::None && verb != Verb::Auth {
            lines.push("AUTH TLS".to_owned());
        }
        if tls == rules::Tls::Private && !matches!(verb, Verb::Auth | Verb::Pbsz) {
            lines.extend(["PBSZ 0".to_owned(), "PROT P".to_owned()]);
        }
        if matches!(verb, Verb::Auth | Verb::User) {
            return lines;
        }
        if let Some(user) = &situation.user {
            lines.push(format!("USER {user}"));
            if verb == Verb::Pass {
                return lines;
            }
            lines.push("PASS x".to_owned());
        }
        lines.extend(situation.cwd.iter().map(|cwd| format!("CWD {cwd}")));
        if verb.transfer().is_some() {
            lines.push(self.set_up(situation.mode));
        }
        lines
    }

    fn set_up(&self, mode: TransferMode) -> String {
        match (mode, self.legs.client) {
            (TransferMode::Passive, _) => "EPSV".to_owned(),
            (TransferMode::Active, client) => {
                let family = Family::of(client.ip()).number();
                format!("EPRT |{family}|{}|{}|", client.ip(), CLIENT_PORT)
            }
        }
    }

    /// Sends a command and has the server agree to what reaches it.
    fn send(&mut self, line: &str) -> Outcome {
        self.said.clear();
        self.events.clear();
        self.engine.handle_client(Timestamp::default(), format!("{line}\r\n").as_bytes());
        self.perform();
        let refused = self.events.iter().find(|event| is_refusal(event.kind));
        let verdict = match (self.ended, refused) {
            (true, _) => Action::Close,
            (false, Some(_)) => Action::Deny,
            (false, None) => Action::Allow,
        };
        let said = String::from_utf8_lossy(&self.said);
        let reply = said.lines().last().filter(|_| verdict != Action::Allow).map(str::to_owned);
        let deciding = refused.or(self.events.iter().find(|event| event.reason.is_some()));
        let (rule, reason) = (self.engine.decided_by().cloned(), deciding.and_then(|event| event.reason));
        Outcome { verdict, reply, rule, reason, at: None }
    }

    fn perform(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::ToClient(bytes) => self.said.extend(bytes),
                Output::ToServer(line) | Output::SynchToServer(line) => self.answer(&line),
                Output::Open(expectation) => {
                    let opened = self.open(&expectation);
                    self.engine.handle_opened(Timestamp::default(), opened);
                }
                Output::OpenRange(_) => {
                    self.opened += 1;
                    self.engine.handle_range(Timestamp::default(), Ok(PinholeId(self.opened)));
                }
                Output::Handshake(side) => {
                    self.engine.handle_handshake(Timestamp::default(), side, Ok(()));
                }
                Output::Record(event) => self.events.push(event),
                Output::HangUp | Output::Over => self.ended = true,
                Output::Order(..) | Output::Tolerated(_) => {}
            }
        }
    }

    fn open(&mut self, expectation: &Expectation) -> Result<Opened, OpenError> {
        self.opened += 1;
        let ports = match expectation.mode() {
            TransferMode::Active => &self.policy.active_ports,
            TransferMode::Passive => &self.policy.passive_ports,
        };
        let port = ports.nth(0).ok_or(OpenError::Backend)?;
        Ok(Opened { id: PinholeId(self.opened), port, relayed: None })
    }

    /// The server agrees.
    fn answer(&mut self, line: &[u8]) {
        let verb = line.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default();
        match (verb, self.legs.server.ip()) {
            (b"USER", _) => self.reply("331 password"),
            (b"PASS" | b"ACCT", _) => self.reply("230 in"),
            (b"PASV", IpAddr::V4(ip)) => {
                let [a, b, c, d] = ip.octets();
                let [high, low] = self.server_port().to_be_bytes();
                self.reply(&format!("227 ok ({a},{b},{c},{d},{high},{low})"));
            }
            (b"EPSV", _) => {
                let port = self.server_port();
                self.reply(&format!("229 ok (|||{port}|)"));
            }
            (b"AUTH", _) => self.reply("234 go"),
            (b"QUIT", _) => self.reply("221 bye"),
            _ => self.reply("200 ok"),
        }
    }

    fn server_port(&self) -> u16 {
        self.policy.server_ports.nth(0).unwrap_or(CLIENT_PORT)
    }

    fn reply(&mut self, text: &str) {
        self.engine.handle_server(Timestamp::default(), format!("{text}\r\n").as_bytes());
        self.perform();
    }
}

fn is_refusal(kind: EventKind) -> bool {
    matches!(kind, EventKind::CommandDenied | EventKind::PinholeDenied | EventKind::Violation)
}

/// The client, and a server of its family.
fn legs(client: IpAddr) -> Legs {
    let [reached, source, server]: [IpAddr; 3] = match client {
        IpAddr::V4(_) => [[192, 0, 2, 1].into(), [192, 0, 2, 2].into(), [192, 0, 2, 3].into()],
        IpAddr::V6(_) => [1, 2, 3].map(|last| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last])),
    };
    let at = |ip, port| SocketAddr::new(ip, port);
    Legs {
        client: at(client, CLIENT_PORT),
        reached: at(reached, CONTROL_PORT),
        source: at(source, CLIENT_PORT),
        server: at(server, CONTROL_PORT),
    }
}

/// A port that clients may name.
const CLIENT_PORT: u16 = 40_000;
