//! What the rules say of a command, and what they need to know: who the client is, and which directory it is in.

use std::sync::Arc;

use super::data::Setup;
use super::{Event, EventKind, Session, replies};
use crate::ftp::{Command, Reply, Verb, printable};
use crate::policy::rules::{
    Action, CommandName, Facts, Rule, Rules, Standing, absolute, path_argument, quoted,
};
use crate::policy::{Denial, TransferMode};
use crate::reason::Reason;
use crate::time::Timestamp;

/// Who asks, as rules see it.
#[derive(Debug, Default)]
pub(super) struct Asker {
    /// The rules that are left, and for which user; asked for anew when that changes.
    standing: Option<(Option<String>, Standing)>,
    /// The rule that decided about the newest command.
    decided: Option<Arc<str>>,
    /// The directory; empty: the root, as far as anybody knows.
    directory: Vec<u8>,
}

/// A command that does not pass.
pub(super) struct Refusal {
    pub(super) denial: Denial,
    pub(super) rule: Option<Arc<str>>,
    /// The session ends.
    pub(super) close: bool,
}

impl Session {
    /// The rule that decided about the newest command; `None`: the preset did.
    pub fn decided_by(&self) -> Option<&Arc<str>> {
        self.asker.decided.as_ref()
    }

    /// Whether `command` may pass: the first rule that matches says so, else the preset.
    pub(super) fn judge(&mut self, command: &Command) -> Result<(), Refusal> {
        let policy = Arc::clone(&self.policy);
        let rule = self.rule_for(&policy.rules, command);
        self.asker.decided = rule.map(|rule| Arc::clone(&rule.name));
        match rule {
            None => {
                let refusal = |denial| Refusal { denial, rule: None, close: false };
                policy.decide(command).map_err(refusal)
            }
            Some(rule) if rule.then == Action::Allow => Ok(()),
            Some(rule) => Err(refusal(rule, command)),
        }
    }

    /// The first rule that matches.
    fn rule_for<'a>(&mut self, rules: &'a Rules, command: &Command) -> Option<&'a Rule> {
        if rules.list().is_empty() {
            return None;
        }
        let user = match command.verb {
            Verb::User => Some(printable(command.argument())),
            _ => self.login.user().map(str::to_owned),
        };
        let client = self.legs.client.ip();
        if self.asker.standing.as_ref().is_none_or(|(of, _)| *of != user) {
            let standing = rules.standing(client, user.as_deref());
            self.asker.standing = Some((user.clone(), standing));
        }
        let (_, standing) = self.asker.standing.as_ref()?;
        let path = path_argument(command).map(|path| absolute(&self.asker.directory, path));
        let (tls, mode) = (self.protection(), self.mode_of(command.verb));
        let name = CommandName::of(command);
        let facts = Facts { client, user: user.as_deref(), tls, name, path: path.as_deref(), mode };
        rules.decide(standing, &facts)
    }

    /// The mode of the data connection that a command asks for or uses.
    fn mode_of(&self, verb: Verb) -> Option<TransferMode> {
        let used = || match self.setup {
            Setup::Ready(id) => self.mode_of_pinhole(id),
            Setup::Used(_) => Some(TransferMode::Active),
            Setup::None => None,
        };
        TransferMode::asked_for(verb).or_else(|| verb.transfer().and_then(|_| used()))
    }

    /// Answers a command that does not pass, or ends the session.
    pub(super) fn refuse_command(&mut self, now: Timestamp, command: &Command, refusal: Refusal) {
        let Refusal { denial, rule, close } = refusal;
        let name = Some(printable(command.name.as_bytes()));
        let event = Event::new(EventKind::CommandDenied);
        self.record(Event { command: name, reason: Some(denial.reason), rule, ..event });
        if close {
            return self.end(now, denial.reason, Some(&denial.reply));
        }
        self.answer(&denial.reply);
    }

    /// Where a command that changes the directory leads to; `None`: no rule asks.
    pub(super) fn directory_of(&self, command: &Command) -> Option<Vec<u8>> {
        let changes = matches!(command.verb, Verb::Cwd | Verb::Xcwd | Verb::Cdup | Verb::Xcup);
        let path = path_argument(command).filter(|_| changes && self.policy.rules.name_paths())?;
        Some(absolute(&self.asker.directory, path))
    }

    /// Whether the reply to PWD is of use to a rule.
    pub(super) fn asks_directory(&self, verb: Verb) -> bool {
        matches!(verb, Verb::Pwd | Verb::Xpwd) && self.policy.rules.name_paths()
    }

    /// The server's reply to a command that changes the directory.
    pub(super) fn directory_answered(&mut self, directory: Vec<u8>, reply: &Reply) {
        if reply.code.is_positive() {
            self.asker.directory = directory;
        }
        self.send(reply);
    }

    /// The server's reply to PWD says where the session is.
    pub(super) fn whereabouts_answered(&mut self, reply: &Reply) {
        let told = reply.single_line().filter(|_| reply.code.get() == 257).and_then(quoted);
        if let Some(directory) = told.filter(|directory| directory.starts_with(b"/")) {
            self.asker.directory = absolute(b"", &directory);
        }
        self.send(reply);
    }

    /// A new login begins at the root, as far as anybody knows.
    pub(super) fn forget_directory(&mut self) {
        self.asker.directory = Vec::new();
    }
}

fn refusal(rule: &Rule, command: &Command) -> Refusal {
    let close = rule.then == Action::Close;
    let reply = match (&rule.reply, close) {
        (Some(reply), _) => reply.to_string(),
        (None, true) => replies::CLOSED_BY_RULE.to_owned(),
        (None, false) => format!("550 {} is not allowed here.", command.name),
    };
    let denial = Denial { reason: Reason::Rule, reply };
    Refusal { denial, rule: Some(Arc::clone(&rule.name)), close }
}
