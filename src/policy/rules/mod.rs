//! The rules of a service: the first that matches decides.
//!
//! Compiled once: the rules that a verb, a pattern of users or a pattern of paths is named in are sets of bits, and a
//! session keeps the set that its client and its user leave. So a decision takes as long for ten thousand rules as
//! to intersect two sets, and compares patterns only where a rule is left that names any.

mod bits;
mod glob;
mod path;
mod rule;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use globset::{Candidate, GlobSet, GlobSetBuilder};

use bits::Bits;
pub use glob::Pattern;
pub use path::{absolute, path_argument, quoted};
pub use rule::{Action, CommandName, Rule, Unmet, When};

use super::TransferMode;

/// How far the client's leg is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all.
    None,
    /// The control connection.
    Control,
    /// The control connection and the data (PROT P).
    Private,
}

/// What a decision goes by.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The user that the session has, or that USER names.
    pub user: Option<&'a str>,
    /// How far the client's leg is protected.
    pub tls: Tls,
    /// The command.
    pub name: CommandName,
    /// The path that it names, absolute.
    pub path: Option<&'a [u8]>,
    /// The mode of the data connection that it asks for or uses.
    pub mode: Option<TransferMode>,
}

/// The rules of one service, compiled.
#[derive(Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// The rules that hold of a command, those for all commands included.
    commands: HashMap<CommandName, Bits>,
    /// The rules for all commands.
    any_command: Bits,
    users: Patterns,
    paths: Patterns,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}

/// The same rules compile to the same.
impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

/// The rules that a client and a user leave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing(Bits);

/// Patterns as one set, and which rules each stands in.
#[derive(Clone, Default)]
struct Patterns {
    set: GlobSet,
    rules: Vec<usize>,
    /// Rules without any.
    free: Bits,
}

impl Rules {
    /// The rules in their order. It takes a bit for each rule and command.
    pub fn new(rules: Vec<Rule>) -> Self {
        let count = rules.len();
        let named: HashSet<_> = rules.iter().flat_map(|rule| rule.when.commands.iter().flatten()).collect();
        let holds = |name: &CommandName| {
            Bits::of(count, |index| rules.get(index).is_some_and(|rule| rule.when.holds_command(name)))
        };
        let commands = named.into_iter().map(|name| (name.clone(), holds(name))).collect();
        let any_command =
            Bits::of(count, |index| rules.get(index).is_some_and(|rule| rule.when.commands.is_none()));
        let users = Patterns::new(&rules, |when| when.users.as_deref());
        let paths = Patterns::new(&rules, |when| when.paths.as_deref());
        Self { commands, any_command, users, paths, rules }
    }

    /// The rules as they were written.
    pub fn list(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any rule names paths, so that it matters where a session is.
    pub fn name_paths(&self) -> bool {
        !self.paths.rules.is_empty()
    }

    /// What `client` and `user` leave; asked for anew when the user changes.
    pub fn standing(&self, client: IpAddr, user: Option<&str>) -> Standing {
        let holds = |index| self.rules.get(index).is_some_and(|rule: &Rule| rule.when.holds_client(client));
        let clients = Bits::of(self.rules.len(), holds);
        Standing(clients.and(&self.users.matching(user.map(str::as_bytes))))
    }

    /// The first rule that matches. `standing` is that of the client and the user in `facts`.
    pub fn decide(&self, standing: &Standing, facts: &Facts) -> Option<&Rule> {
        let mut paths = None;
        self.of_command(&facts.name).common(&standing.0).find_map(|index| {
            let rule = self.rules.get(index)?;
            let when = &rule.when;
            let here = when.holds_tls(facts.tls) && when.holds_mode(facts.mode);
            // All patterns are compared at once, when the first rule asks.
            let by_path = here && when.paths.is_some();
            let named = by_path.then(|| paths.get_or_insert_with(|| self.paths.matching(facts.path)));
            (here && named.is_none_or(|named| named.contains(index))).then_some(rule)
        })
    }

    fn of_command(&self, name: &CommandName) -> &Bits {
        let whole = || self.commands.get(&CommandName { verb: name.verb.clone(), site: None });
        self.commands.get(name).or_else(whole).unwrap_or(&self.any_command)
    }
}

impl Patterns {
    fn new<'a>(rules: &'a [Rule], of: impl Fn(&'a When) -> Option<&'a [Pattern]>) -> Self {
        let (mut builder, mut numbers) = (GlobSetBuilder::new(), Vec::new());
        for (number, rule) in rules.iter().enumerate() {
            for pattern in of(&rule.when).unwrap_or_default() {
                builder.add(pattern.glob().clone());
                numbers.push(number);
            }
        }
        let free =
            Bits::of(rules.len(), |index| rules.get(index).is_some_and(|rule| of(&rule.when).is_none()));
        // Each of them was compiled alone; together they are bounded by the file's size.
        let set = builder.build().expect("patterns that compile alone compile together");
        Self { set, rules: numbers, free }
    }

    /// The rules that `name` matches, and those without patterns.
    fn matching(&self, name: Option<&[u8]>) -> Bits {
        let mut bits = self.free.clone();
        let Some(name) = name.filter(|_| !self.rules.is_empty()) else { return bits };
        for index in self.set.matches_candidate(&Candidate::from_bytes(name)) {
            self.rules.get(index).into_iter().for_each(|rule| bits.insert(*rule));
        }
        bits
    }
}
