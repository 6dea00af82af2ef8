//! One rule: its conditions and what it does.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::glob::Pattern;
use super::path::site_name;
use super::{Facts, Tls};
use crate::ftp::{Command, Verb};
use crate::policy::TransferMode;

/// One rule of the rules file.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, as it stands in records.
    pub name: Arc<str>,
    /// When it decides.
    pub when: When,
    /// What it decides.
    pub then: Action,
    /// The reply to a command that it denies, or to the session that it closes; `None`: a reply of the gateway's
    /// own.
    pub reply: Option<Arc<str>>,
}

/// The conditions of a rule: all of those that are there have to hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct When {
    /// Networks of clients.
    pub clients: Option<Vec<IpNet>>,
    /// Names of users, `*` and `?` in them, without regard to case.
    pub users: Option<Vec<Pattern>>,
    /// Commands.
    pub commands: Option<Vec<CommandName>>,
    /// Paths.
    pub paths: Option<Vec<Pattern>>,
    /// How far the client's leg is protected.
    pub tls: Option<Tls>,
    /// Who dials the data connection; holds of no command that has to do with none.
    pub mode: Option<TransferMode>,
}

/// What a rule decides, and what becomes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The command passes, whatever the preset says.
    Allow,
    /// The command is answered by the gateway.
    Deny,
    /// The session ends.
    Close,
}

/// A command, or a sub-command of SITE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommandName {
    /// In upper case.
    pub verb: String,
    /// Of SITE, in upper case; `None`: any.
    pub site: Option<String>,
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verb)?;
        self.site.as_ref().map_or(Ok(()), |site| write!(f, " {site}"))
    }
}

/// A condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// The client's address is in none of the networks.
    Client,
    /// The user has none of the names.
    User,
    /// It is none of the commands.
    Command,
    /// The command names none of the paths.
    Path,
    /// The client's leg is not protected so.
    Tls,
    /// It has not to do with data connections of this mode.
    Mode,
}

impl When {
    /// The first condition that does not hold; `None`: all do.
    pub fn unmet(&self, facts: &Facts) -> Option<Unmet> {
        let unmet = [
            (self.holds_client(facts.client), Unmet::Client),
            (self.holds_user(facts.user), Unmet::User),
            (self.holds_tls(facts.tls), Unmet::Tls),
            (self.holds_command(&facts.name), Unmet::Command),
            (self.holds_path(facts.path), Unmet::Path),
            (self.holds_mode(facts.mode), Unmet::Mode),
        ];
        unmet.into_iter().find(|(holds, _)| !holds).map(|(_, unmet)| unmet)
    }

    pub(super) fn holds_client(&self, client: IpAddr) -> bool {
        self.clients.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(&client)))
    }

    fn holds_user(&self, user: Option<&str>) -> bool {
        let named = |users: &Vec<Pattern>| {
            user.is_some_and(|user| users.iter().any(|name| name.matches(user.as_bytes())))
        };
        self.users.as_ref().is_none_or(named)
    }

    pub(super) fn holds_tls(&self, tls: Tls) -> bool {
        self.tls.is_none_or(|wanted| wanted == tls)
    }

    pub(super) fn holds_command(&self, name: &CommandName) -> bool {
        self.commands.as_ref().is_none_or(|commands| commands.iter().any(|command| command.covers(name)))
    }

    fn holds_path(&self, path: Option<&[u8]>) -> bool {
        let named =
            |paths: &Vec<Pattern>| path.is_some_and(|path| paths.iter().any(|pattern| pattern.matches(path)));
        self.paths.as_ref().is_none_or(named)
    }

    pub(super) fn holds_mode(&self, mode: Option<TransferMode>) -> bool {
        self.mode.is_none_or(|wanted| Some(wanted) == mode)
    }
}

impl CommandName {
    /// The name of `command`.
    pub fn of(command: &Command) -> Self {
        let site = (command.verb == Verb::Site).then(|| site_name(command.argument())).flatten();
        Self { verb: command.name.clone(), site }
    }

    /// Whether `name` is this command, or a sub-command of it.
    fn covers(&self, name: &Self) -> bool {
        self.verb == name.verb && (self.site.is_none() || self.site == name.site)
    }
}
