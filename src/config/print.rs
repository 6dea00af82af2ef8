//! Writes a configuration as the rules file that says the same, with nothing left to a default.
//!
//! The keys come in the order of `docs/configuration.md`. Reading the output gives the same
//! configuration again.

use std::fmt::{Display, Write};

use super::model::{
    self, AuditSink, CertificateFiles, Config, Gateway, NamedFile, Nftables, Pin, Role, Service, Trust,
    UpstreamSettings,
};
use super::rules::ServiceRule;
use super::tests::RuleTest;
use super::value::duration_text;
use super::words::{
    ACTION, ACTIVE, ACTIVE_SOURCE_PORT, CLIENT_CERTIFICATES, DATA, DATA_DIRECTION, DATA_PATH, DATA_TLS,
    INTEGRATION, INTERCEPT, LOG_FORMAT, LOG_LEVEL, MIN_PROTECTION, MODE, ON_STOP, PATH_CASE, PRESET, ROLE,
    RULE_TLS, SERVER_ADDRESS, SOURCE, TLS_VERSION, TOLERATE, UPSTREAM_TLS, UPSTREAM_VERIFY, YES_NO, word_for,
};
use crate::policy::rules::{Pattern, When};
use crate::policy::{Limits, Policy, Terminate, Timeouts, Tls, Tolerances};

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
    if !config.rules.is_empty() {
        out.line("rules:");
        out.depth += 1;
        config.rules.iter().for_each(|each| rule(&mut out, each));
        out.depth -= 1;
    }
    if !config.tests.is_empty() {
        out.line("tests:");
        out.depth += 1;
        config.tests.iter().for_each(|each| test(&mut out, each));
        out.depth -= 1;
    }
    out.text
}

fn test(out: &mut Yaml, test: &RuleTest) {
    let mut keys = vec![
        format!("service: {}", scalar(&test.service)),
        format!("client: {}", quoted(&test.client.to_string())),
    ];
    let mut key =
        |name: &str, value: Option<String>| keys.extend(value.map(|value| format!("{name}: {value}")));
    key("user", test.user.as_deref().map(scalar));
    key("cwd", test.cwd.as_deref().map(scalar));
    key("tls", test.tls.map(|tls| word_for(RULE_TLS, tls).to_owned()));
    key("mode", Some(word_for(MODE, test.mode).to_owned()));
    key("send", Some(scalar(&test.send)));
    key("expect", Some(word_for(ACTION, test.expect).to_owned()));
    key("rule", test.rule.as_deref().map(scalar));
    key("reply", test.reply.as_deref().map(scalar));
    out.line(format_args!("- {{{}}}", keys.join(", ")));
}

fn rule(out: &mut Yaml, ServiceRule { services, rule }: &ServiceRule) {
    let mut keys = vec![format!("name: {}", scalar(&rule.name))];
    let conditions = conditions(services.as_deref(), &rule.when);
    if !conditions.is_empty() {
        keys.push(format!("when: {{{}}}", conditions.join(", ")));
    }
    keys.push(format!("then: {}", word_for(ACTION, rule.then)));
    keys.extend(rule.reply.as_ref().map(|reply| format!("reply: {}", quoted(reply))));
    out.line(format_args!("- {{{}}}", keys.join(", ")));
}

fn conditions(services: Option<&[String]>, when: &When) -> Vec<String> {
    let patterns = |patterns: &[Pattern]| list(&patterns.iter().map(Pattern::text).collect::<Vec<_>>());
    let mut keys = Vec::new();
    let mut key =
        |name: &str, value: Option<String>| keys.extend(value.map(|value| format!("{name}: {value}")));
    key("service", services.map(list));
    key("client", when.clients.as_deref().map(list));
    key("user", when.users.as_deref().map(patterns));
    key("command", when.commands.as_deref().map(list));
    key("path", when.paths.as_deref().map(patterns));
    let exact = when.paths.iter().flatten().any(Pattern::is_exact);
    key("path_case", exact.then(|| word_for(PATH_CASE, true).to_owned()));
    key("tls", when.tls.map(|tls| word_for(RULE_TLS, tls).to_owned()));
    key("mode", when.mode.map(|mode| word_for(MODE, mode).to_owned()));
    keys
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
    out.section("tls", |out| tls(out, service));
    out.section("limits", |out| limits(out, &policy.limits));
    out.section("timeouts", |out| timeouts(out, &policy.timeouts));
}

fn tls(out: &mut Yaml, service: &Service) {
    match (&service.policy.tls, &service.tls) {
        (Tls::Blind(ports), _) => {
            out.key("mode", "blind");
            out.key("data_ports", one_or_list(ports.ranges()));
        }
        (Tls::Terminate(policy), Some(settings)) => terminate(out, policy, settings),
        _ => out.key("mode", "deny"),
    }
}

fn terminate(out: &mut Yaml, policy: &Terminate, settings: &model::Tls) {
    out.key("mode", "terminate");
    out.key("certificates", format_args!("[{}]", joined(settings.certificates.iter().map(certificate))));
    if !settings.implicit_listen.is_empty() {
        out.key("implicit_listen", list(&settings.implicit_listen));
    }
    out.key("min_version", quoted(word_for(TLS_VERSION, settings.min_version)));
    out.key("max_version", quoted(word_for(TLS_VERSION, settings.max_version)));
    out.key("min_protection", word_for(MIN_PROTECTION, policy.min_protection));
    out.key("client_certificates", word_for(CLIENT_CERTIFICATES, settings.client_certificates));
    if let Some(file) = &settings.client_ca {
        out.key("client_ca", path(file));
    }
    out.key("data_tls", word_for(DATA_TLS, policy.data));
    out.key("upstream_tls", word_for(UPSTREAM_TLS, policy.upstream));
    if let Some(upstream) = &settings.upstream {
        upstream_tls(out, upstream);
    }
    out.key("data", word_for(DATA, policy.passthrough));
}

fn upstream_tls(out: &mut Yaml, upstream: &UpstreamSettings) {
    match &upstream.trust {
        Trust::Authorities(file) => out.key("upstream_ca", path(file)),
        Trust::Pins(pins) => out.key("upstream_pin", format_args!("[{}]", joined(pins.iter().map(pin)))),
        Trust::Anyone => out.key("upstream_verify", word_for(UPSTREAM_VERIFY, ())),
    }
    match &upstream.name {
        Some(name) => out.key("upstream_name", scalar(&name.to_str())),
        None => out.comment("upstream_name: the server's address"),
    }
    if let Some(own) = &upstream.certificate {
        out.key("upstream_certificate", path(&own.chain));
        out.key("upstream_key", path(&own.key));
    }
    out.key("upstream_max_version", quoted(word_for(TLS_VERSION, upstream.max_version)));
}

fn certificate(files: &CertificateFiles) -> String {
    let names = match files.names.as_slice() {
        [] => String::new(),
        names => format!(", names: {}", list(names)),
    };
    format!("{{chain: {}, key: {}{names}}}", path(&files.chain), path(&files.key))
}

fn pin(pin: &Pin) -> String {
    match pin {
        Pin::File(file) => path(file),
        Pin::Fingerprint(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            quoted(&format!("sha256:{digits}"))
        }
    }
}

fn path(file: &NamedFile) -> String {
    scalar(&file.path.to_string_lossy())
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

/// In quotes, so that YAML does not take it for a number.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn one_or_list<T: Display>(values: &[T]) -> String {
    match values {
        [one] => scalar(&one.to_string()),
        many => list(many),
    }
}

fn list<T: Display>(values: &[T]) -> String {
    format!("[{}]", joined(values.iter().map(|value| scalar(&value.to_string()))))
}

/// `text` as it is where YAML reads it as it is, otherwise in quotes.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/') {
        return text.to_owned();
    }
    quoted(text)
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
