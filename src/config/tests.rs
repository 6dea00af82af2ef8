//! The `tests:` section: what the author of the rules expects of them.

use std::net::IpAddr;
use std::sync::Arc;

use super::model::Where;
use super::reader::{Section, Value};
use super::value;
use super::words::{ACTION, MODE, RULE_TLS};
use crate::policy::rules::Action;
use crate::policy::{TransferMode, rules};

/// One command, and what is expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// Where it stands.
    pub place: Where,
    /// The service.
    pub service: String,
    /// The client's address.
    pub client: IpAddr,
    /// The user that logs in before.
    pub user: Option<String>,
    /// The directory that the session is in.
    pub cwd: Option<String>,
    /// How far the client's leg is protected; `None`: as the service asks for.
    pub tls: Option<rules::Tls>,
    /// How a transfer is set up.
    pub mode: TransferMode,
    /// The command.
    pub send: String,
    /// What becomes of it.
    pub expect: Action,
    /// The rule that decides; `None`: any, or none.
    pub rule: Option<Arc<str>>,
    /// How the reply begins; `None`: in any way.
    pub reply: Option<String>,
}

/// Reads `tests`; they may name these services and rules.
pub(super) fn read(top: &mut Section, services: &[&str], rules: &[Arc<str>]) -> Vec<RuleTest> {
    let Some(value) = top.value("tests") else { return Vec::new() };
    value.items().into_iter().filter_map(|item| test(item, services, rules)).collect()
}

fn test(item: Value, services: &[&str], rules: &[Arc<str>]) -> Option<RuleTest> {
    let place = Where(item.here().to_string());
    let mut section = item.section()?;
    let service = match services {
        [only] if section.value("service").is_none() => Some((*only).to_owned()),
        services => section.require("service", value::one_of(services, "is no service of this file")),
    };
    let client = section.require("client", value::client_address());
    let (mut user, mut cwd, mut reply) = (None, None, None);
    section.set("user", &mut user, value::text());
    section.set("cwd", &mut cwd, value::directory());
    let tls = section.value("tls").and_then(|tls| tls.read(&value::word(RULE_TLS)));
    let mut mode = TransferMode::Passive;
    section.set("mode", &mut mode, value::word(MODE));
    let mut send = None;
    match section.value("send") {
        None => section.missing("send", value::text().allowed()),
        Some(line) => send = line.read(&value::text()).flatten(),
    }
    let expect = section.require("expect", value::word(ACTION));
    let names: Vec<&str> = rules.iter().map(|name| &**name).collect();
    let rule =
        section.value("rule").and_then(|rule| rule.read(&value::one_of(&names, "is no rule of this file")));
    section.set("reply", &mut reply, value::text());
    section.finish();
    Some(RuleTest {
        place,
        service: service?,
        client: client?,
        user,
        cwd,
        tls,
        mode,
        send: send?,
        expect: expect?,
        rule: rule.map(Into::into),
        reply,
    })
}
