//! Writes a configuration as the rules file that says the same, with nothing left to a default.
//!
//! The keys come in the order of `docs/configuration.md`. Reading the output gives the same
//! configuration again.

use std::fmt::{Display, Write};

use super::model::{AuditSink, Config, Gateway, Nftables, Role, Service};
use super::value::duration_text;
use super::words::{
    ACTIVE, ACTIVE_SOURCE_PORT, DATA_DIRECTION, DATA_PATH, INTEGRATION, INTERCEPT, LOG_FORMAT, LOG_LEVEL,
    ON_STOP, PRESET, ROLE, SERVER_ADDRESS, SOURCE, TOLERATE, YES_NO, word_for,
};
use crate::policy::{Limits, Policy, Timeouts, Tolerances};

/// The whole of `config`.
pub(super) fn yaml(config: &Config) -> String {
    let mut out = Yaml::default();
    out.key("version", 1);
    out.section("gateway", |out| gateway(out, &config.gateway));
    out.section("services", |out| {
        for each in &config.services {
            out.section(&scalar(&each.name), |out| service(out, each));
        }
    });
    out.text
}

fn gateway(out: &mut Yaml, gateway: &Gateway) {
    out.key("admin_socket", "none");
    out.section("audit", |out| match &gateway.audit {
        AuditSink::Stdout => out.key("stdout", true),
        AuditSink::File(path) => out.key("file", scalar(&path.to_string_lossy())),
        AuditSink::Journald => out.key("journald", true),
    });
    out.section("log", |out| {
        out.key("level", word_for(LOG_LEVEL, gateway.log.level));
        out.key("format", word_for(LOG_FORMAT, gateway.log.format));
    });
    out.section("nftables", |out| nftables(out, &gateway.nftables));
}

fn nftables(out: &mut Yaml, settings: &Nftables) {
    out.key("table", &settings.table);
    out.key("integration", word_for(INTEGRATION, settings.integration));
    out.key("mark", format_args!("{:#010x}/{:#010x}", settings.mark.value(), settings.mark.mask()));
    out.key("on_stop", word_for(ON_STOP, settings.on_stop));
}

fn service(out: &mut Yaml, service: &Service) {
    let policy = &service.policy;
    out.key("role", word_for(ROLE, service.role));
    out.key("intercept", word_for(INTERCEPT, service.intercept));
    out.key("source", word_for(SOURCE, service.source));
    out.key("listen", list(&service.listen));
    addresses(out, service);
    out.key("passive_ports", one_or_list(policy.passive_ports.ranges()));
    out.key("active_ports", one_or_list(policy.active_ports.ranges()));
    out.key("server_ports", one_or_list(policy.server_ports.ranges()));
    switches(out, policy);
    out.section("tls", |out| out.key("mode", "deny"));
    out.section("limits", |out| limits(out, &policy.limits));
    out.section("timeouts", |out| timeouts(out, &policy.timeouts));
}

/// Who talks to whom, as far as the role has a say.
fn addresses(out: &mut Yaml, service: &Service) {
    match service.role {
        Role::Reverse => {
            out.key("upstream", list(&service.upstream));
            out.key("clients", list(&service.clients));
            match service.policy.advertise {
                Some(address) => out.key("advertise", address),
                None => out.comment("advertise: the address that the client reached"),
            }
        }
        Role::Forward => {
            out.key("clients", list(&service.clients));
            out.key("servers", list(&service.servers));
            match service.outside_address.as_slice() {
                [] => out.comment("outside_address: by route"),
                addresses => out.key("outside_address", list(addresses)),
            }
        }
    }
}

fn switches(out: &mut Yaml, policy: &Policy) {
    out.key("server_address", word_for(SERVER_ADDRESS, policy.server_address));
    out.key("data_path", word_for(DATA_PATH, policy.data_path));
    out.key("active", word_for(ACTIVE, policy.active));
    out.key("active_source_port", word_for(ACTIVE_SOURCE_PORT, policy.active_source_port));
    out.key("data_direction", word_for(DATA_DIRECTION, policy.enforce_direction));
    out.key("require_login", word_for(YES_NO, policy.require_login));
    out.key("preset", word_for(PRESET, policy.preset));
    out.key("tolerate", list(&tolerated(policy.tolerate)));
}

fn tolerated(mut tolerances: Tolerances) -> Vec<&'static str> {
    let on = TOLERATE.iter().filter(|(_, tolerance)| *tolerance.switch(&mut tolerances));
    on.map(|(word, _)| *word).collect()
}

fn limits(out: &mut Yaml, limits: &Limits) {
    out.key("sessions", limits.sessions);
    out.key("sessions_per_client", limits.sessions_per_client);
    out.key("line_bytes", limits.line_bytes);
    out.key("pending_commands", limits.pending_commands);
    out.key("reply_lines", limits.reply_lines);
    out.key("violations", limits.violations);
    out.key("login_failures", limits.login_failures);
}

fn timeouts(out: &mut Yaml, timeouts: &Timeouts) {
    out.key("login", duration_text(timeouts.login));
    out.key("idle", duration_text(timeouts.idle));
    out.key("pinhole", duration_text(timeouts.pinhole));
    out.key("data_idle", duration_text(timeouts.data_idle));
    out.key("connect", duration_text(timeouts.connect));
    out.key("drain", duration_text(timeouts.drain));
}

/// YAML text in the making.
#[derive(Default)]
struct Yaml {
    text: String,
    depth: usize,
}

impl Yaml {
    fn key(&mut self, key: &str, value: impl Display) {
        self.line(format_args!("{key}: {value}"));
    }

    fn comment(&mut self, text: &str) {
        self.line(format_args!("# {text}"));
    }

    fn section(&mut self, key: &str, body: impl FnOnce(&mut Self)) {
        self.line(format_args!("{key}:"));
        self.depth += 1;
        body(self);
        self.depth -= 1;
    }

    fn line(&mut self, text: impl Display) {
        writeln!(self.text, "{:indent$}{text}", "", indent = 2 * self.depth)
            .expect("a string takes any text");
    }
}

fn one_or_list<T: Display>(values: &[T]) -> String {
    match values {
        [one] => scalar(&one.to_string()),
        many => list(many),
    }
}

fn list<T: Display>(values: &[T]) -> String {
    let items: Vec<_> = values.iter().map(|value| scalar(&value.to_string())).collect();
    format!("[{}]", items.join(", "))
}

/// `text` as it is where YAML reads it as it is, otherwise in quotes.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/') {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_could_read_differently_is_quoted() {
        assert_eq!(scalar("/var/log/a-b.jsonl"), "/var/log/a-b.jsonl");
        assert_eq!(scalar("::/0"), "\"::/0\"");
        assert_eq!(scalar("-"), "\"-\"");
        assert_eq!(scalar("/a \"b\" \\c"), "\"/a \\\"b\\\" \\\\c\"");
    }
}
