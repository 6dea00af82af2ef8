//! What a capture holds, counted for people and for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::Serialize;

use crate::audit::SessionContext;
use crate::ftp::{Access, Command, Verb, printable};
use crate::policy::TransferMode;
use crate::reason::Reason;
use crate::session::{Event, EventKind, Tolerance};

/// Names and addresses are listed up to this many; all are counted.
const MOST_LISTED: usize = 1000;

/// The most unusual verbs that are listed of one server.
const MOST_UNUSUAL: usize = 20;

/// Counts over all captures of a replay.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Frames read.
    pub frames: u64,
    /// Frames that hold no TCP segment.
    pub other_frames: u64,
    /// Frames that contradict themselves, or fragments that overlap.
    pub malformed_frames: u64,
    /// Frames that a live capture has lost; `None` when frames come from files, which do not say.
    pub dropped_frames: Option<u64>,
    /// Types of link headers that are not known; frames with them were left out.
    pub unknown_links: BTreeSet<u32>,
    /// Control connections.
    pub sessions: u64,
    /// Those that began before the capture.
    pub began_before: u64,
    /// Those that begin behind bytes that the capture lacks; what is denied of them may be due to that.
    pub gaps: u64,
    /// Those that went on with TLS, so that nothing more could be read.
    pub encrypted: u64,
    /// Control connections that no service of the rules file covers.
    pub uncovered: u64,
    /// Logins.
    pub logins: u64,
    /// Who logged in, the first 1000.
    pub users: BTreeSet<String>,
    /// What was asked of each server, the first 1000.
    pub servers: BTreeMap<SocketAddr, Server>,
    /// Commands by verb; `?`: verbs that the gateway does not know.
    pub commands: BTreeMap<&'static str, u64>,
    /// Set-ups by the client's command.
    pub setups: BTreeMap<String, u64>,
    /// Pinholes that would have been opened.
    pub opened: u64,
    /// Those that a data connection used.
    pub used: u64,
    /// Those that nobody used, by reason.
    pub unused: BTreeMap<&'static str, u64>,
    /// Pinholes that would have been denied, by reason.
    pub denied: BTreeMap<&'static str, u64>,
    /// Commands that would have been denied, by verb and reason; `?`: verbs that clients made up, over the first 1000.
    pub denied_commands: BTreeMap<String, u64>,
    /// Breaches of the protocol, by reason.
    pub violations: BTreeMap<&'static str, u64>,
    /// Sessions that would have been turned away, by reason.
    pub turned_away: BTreeMap<&'static str, u64>,
    /// Leniencies of `tolerate` that were used.
    pub tolerated: BTreeMap<&'static str, u64>,
    /// Transfers by verb.
    pub transfers: BTreeMap<String, u64>,
    /// Payload of data connections, where it is known.
    pub bytes_to_server: u64,
    /// The same, the other way.
    pub bytes_to_client: u64,
    /// The most passive pinholes that waited at one time between one client and one server: so many
    /// `passive_ports` suffice.
    pub passive_ports_needed: u32,
    /// The lowest and the highest data port that servers announced.
    pub server_ports: Option<(u16, u16)>,
}

/// What was asked of one server.
#[derive(Debug, Default, Serialize)]
pub struct Server {
    /// Control connections.
    pub sessions: u64,
    /// Those that logged in, or began before the capture.
    pub used: u64,
    /// Whether somebody logged in with a name of their own.
    pub named_users: bool,
    /// Pinholes that would have been opened for PASV and EPSV.
    pub passive: u64,
    /// Those for PORT and EPRT.
    pub active: u64,
    /// Whether somebody wanted to change something.
    pub writes: bool,
    /// Verbs that no preset but `any` holds, the first 20.
    pub unusual: BTreeSet<String>,
    /// Set-ups that would have been denied.
    pub denied: u64,
    /// Whether a transfer came without a set-up of its own.
    pub reused_port: bool,
    /// Whether lines ended with LF alone.
    pub bare_lf: bool,
}

impl Summary {
    /// Whether the gateway would have denied something.
    pub fn has_denials(&self) -> bool {
        let all = [&self.denied, &self.violations, &self.turned_away];
        all.iter().any(|counts| !counts.is_empty()) || !self.denied_commands.is_empty()
    }

    pub(super) fn count(&mut self, context: Option<&SessionContext>, event: &Event) {
        let reason = event.reason.map(|reason| reason.code());
        match event.kind {
            EventKind::SessionOpened => self.count_session(context, event),
            EventKind::SessionLogin => self.count_login(context, event),
            EventKind::PinholeOpened => self.count_opened(context, event),
            EventKind::PinholeConnected => self.used += 1,
            EventKind::PinholeClosed => self.count_closed(event),
            EventKind::PinholeExpired | EventKind::PinholeRevoked => add(&mut self.unused, reason),
            EventKind::PinholeDenied => {
                self.server(context, |server| server.denied += 1);
                add(&mut self.setups, event.command.clone());
                add(&mut self.denied, reason);
            }
            EventKind::CommandDenied => {
                let no_setup = event.reason == Some(Reason::NoSetup);
                self.server(context, |server| server.reused_port |= no_setup);
                // Clients make up verbs: those over the bound are one.
                let few = self.denied_commands.len() < MOST_LISTED;
                let verb = event.command.as_deref().filter(|verb| few || is_known(verb)).unwrap_or("?");
                add(&mut self.denied_commands, reason.map(|reason| format!("{verb} ({reason})")));
            }
            EventKind::Violation => {
                let bare_lf = event.reason == Some(Reason::BareLf);
                self.server(context, |server| server.bare_lf |= bare_lf);
                add(&mut self.violations, reason);
            }
            EventKind::SessionClosed if context.is_some_and(|context| context.server.is_none()) => {
                add(&mut self.turned_away, reason);
            }
            _ => {}
        }
    }

    fn count_session(&mut self, context: Option<&SessionContext>, event: &Event) {
        self.sessions += 1;
        self.began_before += u64::from(event.reason == Some(Reason::BeganBefore));
        self.gaps += u64::from(event.reason == Some(Reason::CaptureGap));
        let late = event.reason.is_some();
        self.server(context, |server| {
            server.sessions += 1;
            server.used += u64::from(late);
        });
    }

    /// Lets `note` write into what was asked of the server.
    fn server(&mut self, context: Option<&SessionContext>, note: impl FnOnce(&mut Server)) {
        let Some(server) = context.and_then(|context| context.server) else { return };
        if self.servers.len() < MOST_LISTED || self.servers.contains_key(&server) {
            note(self.servers.entry(server).or_default());
        }
    }

    /// Counts a command as the client sent it.
    pub(super) fn count_command(&mut self, context: &SessionContext, command: &Command) {
        let verb = command.verb;
        *self.commands.entry(verb.name()).or_default() += 1;
        self.server(Some(context), |server| match verb.access() {
            Access::Write => server.writes = true,
            Access::Any if server.unusual.len() < MOST_UNUSUAL => {
                server.unusual.insert(printable(command.name.as_bytes()));
            }
            _ => {}
        });
    }

    fn count_login(&mut self, context: Option<&SessionContext>, event: &Event) {
        self.logins += 1;
        let guest =
            |user: &String| user.eq_ignore_ascii_case("anonymous") || user.eq_ignore_ascii_case("ftp");
        let anonymous = event.user.as_ref().is_some_and(guest);
        self.server(context, |server| {
            server.used += 1;
            server.named_users |= !anonymous;
        });
        if let Some(user) = event.user.as_ref().filter(|_| self.users.len() < MOST_LISTED) {
            self.users.insert(user.clone());
        }
    }

    fn count_opened(&mut self, context: Option<&SessionContext>, event: &Event) {
        self.opened += 1;
        self.server(context, |server| match event.mode {
            Some(TransferMode::Active) => server.active += 1,
            _ => server.passive += 1,
        });
        add(&mut self.setups, event.command.clone());
        if let (Some(TransferMode::Passive), Some(to)) = (event.mode, event.to) {
            let (low, high) = self.server_ports.unwrap_or((to.port(), to.port()));
            self.server_ports = Some((low.min(to.port()), high.max(to.port())));
        }
    }

    fn count_closed(&mut self, event: &Event) {
        let verb = event.transfer.as_ref().and_then(|transfer| transfer.split(' ').next());
        add(&mut self.transfers, verb.map(str::to_owned));
        self.bytes_to_server = self.bytes_to_server.saturating_add(event.bytes_to_server.unwrap_or(0));
        self.bytes_to_client = self.bytes_to_client.saturating_add(event.bytes_to_client.unwrap_or(0));
    }

    pub(super) fn count_tolerance(&mut self, tolerance: Tolerance) {
        add(&mut self.tolerated, Some(tolerance.code()));
    }
}

fn is_known(verb: &str) -> bool {
    Verb::from_name(verb) != Verb::Unknown
}

fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, key: Option<K>) {
    if let Some(key) = key {
        *counts.entry(key).or_default() += 1;
    }
}
