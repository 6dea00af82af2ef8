//! The `rules:` section, and the lists that its conditions name.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::reader::{Located, Section, Value, values};
use super::value::{self, Kind};
use super::words::{ACTION, MODE, PATH_CASE, RULE_TLS, Words};
use crate::policy::rules::{Action, Pattern, Rule, Rules, When};

/// Lists that a condition names with `@`.
#[derive(Default)]
pub(super) struct Lists {
    networks: BTreeMap<String, Vec<IpNet>>,
    users: BTreeMap<String, Vec<Pattern>>,
}

/// A rule, and the services that it is for; `None`: for all.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceRule {
    /// The services that it is for; `None`: for all.
    pub services: Option<Vec<String>>,
    /// The rule.
    pub rule: Rule,
}

/// Reads `networks` and `users`.
pub(super) fn read_lists(top: &mut Section) -> Lists {
    Lists {
        networks: named(top, "networks", |value| items(value, &value::network())),
        users: named(top, "users", |value| items(value, &value::user_pattern())),
    }
}

fn named<T>(
    top: &mut Section,
    key: &'static str,
    read: impl Fn(&Value) -> Vec<T>,
) -> BTreeMap<String, Vec<T>> {
    let Some(section) = top.section(key) else { return BTreeMap::new() };
    let entries = section.entries().into_iter();
    entries
        .map(|(name, value)| {
            if value::list_name().read(name).is_err() {
                value
                    .here()
                    .refuse(&format!("is not a name of a list (allowed: {})", value::list_name().allowed()));
            }
            (name.to_owned(), read(&value))
        })
        .collect()
}

fn items<T>(value: &Value, kind: &Kind<T>) -> Vec<T> {
    let items = value.items();
    if items.is_empty() {
        value.here().refuse(&format!("the list is empty (allowed: {})", kind.allowed()));
    }
    items.iter().filter_map(|item| item.read(kind)).collect()
}

/// Reads `rules`; `services` are those that a rule may name.
pub(super) fn read(top: &mut Section, lists: &Lists, services: &[&str]) -> Vec<ServiceRule> {
    let Some(value) = top.value("rules") else { return Vec::new() };
    let mut names: Vec<Located<Arc<str>>> = Vec::new();
    let mut rules = Vec::new();
    for item in value.items() {
        let Some(mut section) = item.section() else { continue };
        let Some(name) = section.require_located("name", &value::rule_name()) else { continue };
        if let Some(earlier) = names.iter().find(|earlier| earlier.value == name.value) {
            let at = earlier.here.position();
            name.here
                .refuse(&format!("{} is the name of the rule at {at} (allowed: each name once)", name.value));
        }
        rules.extend(rule(&mut section, &name.value, lists, services));
        names.push(name);
        section.finish();
    }
    rules
}

fn rule(section: &mut Section, name: &Arc<str>, lists: &Lists, services: &[&str]) -> Option<ServiceRule> {
    let mut when = When::default();
    let mut wanted = None;
    if let Some(mut conditions) = section.section("when") {
        wanted = conditions
            .list("service", &value::one_of(services, "is no service of this file"))
            .map(|names| values(&names));
        when.clients = listed(&mut conditions, "client", &lists.networks, &value::network());
        when.users = listed(&mut conditions, "user", &lists.users, &value::user_pattern());
        when.commands = conditions.list("command", &value::command_name()).map(|names| values(&names));
        when.paths = paths(&mut conditions);
        when.tls = word(&mut conditions, "tls", RULE_TLS);
        when.mode = word(&mut conditions, "mode", MODE);
        conditions.finish();
    }
    let then = section.require("then", value::word(ACTION))?;
    let reply = match then {
        Action::Allow => {
            section.refuse_present("reply", "is for then: deny and then: close");
            None
        }
        Action::Deny => section.value("reply").and_then(|reply| reply.read(&value::reply())),
        Action::Close => section.value("reply").and_then(|reply| reply.read(&value::farewell())),
    };
    Some(ServiceRule { services: wanted, rule: Rule { name: Arc::clone(name), when, then, reply } })
}

/// The values of a list of which some may stand for a named list.
fn listed<T: Clone>(
    section: &mut Section,
    key: &'static str,
    lists: &BTreeMap<String, Vec<T>>,
    kind: &Kind<T>,
) -> Option<Vec<T>> {
    let value = section.value(key)?;
    let mut all = Vec::new();
    for item in value.items() {
        match item.text().and_then(|text| text.strip_prefix('@')) {
            None => all.extend(item.read(kind)),
            Some(name) => match lists.get(name) {
                Some(list) => all.extend(list.iter().cloned()),
                None => {
                    let known: Vec<_> = lists.keys().map(|name| format!("@{name}")).collect();
                    item.here().refuse(&format!("@{name} is no list (allowed: {})", known.join(", ")));
                }
            },
        }
    }
    Some(all)
}

fn paths(conditions: &mut Section) -> Option<Vec<Pattern>> {
    let mut exact = false;
    conditions.set("path_case", &mut exact, value::word(PATH_CASE));
    let paths = conditions.list("path", &value::path_pattern(exact))?;
    Some(values(&paths))
}

fn word<T: Copy + PartialEq + 'static>(
    section: &mut Section,
    key: &'static str,
    words: Words<T>,
) -> Option<T> {
    section.value(key)?.read(&value::word(words))
}

/// The rules that are for `service`, compiled.
pub(super) fn of_service(rules: &[ServiceRule], service: &str) -> Arc<Rules> {
    let meant = |rule: &&ServiceRule| {
        rule.services.as_ref().is_none_or(|services| services.iter().any(|name| name == service))
    };
    let own: Vec<_> = rules.iter().filter(meant).map(|rule| rule.rule.clone()).collect();
    Arc::new(Rules::new(own))
}
