//! `check`: is the rules file valid, what does it mean, what must other firewalls allow.

use std::io::{self, Write};

use anyhow::Context;

use super::{CheckArgs, flows, notes};
use crate::config::Config;
use crate::firewall::nftables::ruleset;
use crate::tls::Terminal;

/// Checks the rules file and prints what was asked for, or that all is well and what may not be expected.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.rules)?;
    let mut parts = Vec::new();
    if args.print {
        parts.push(config.to_yaml());
    }
    if args.ruleset {
        parts.push(ruleset::render(&config, ruleset::FIRST_GROUP));
    }
    if args.flows {
        parts.push(flows::tables(&config));
    }
    if parts.is_empty() {
        for service in &config.services {
            Terminal::of(service)?;
        }
        let ok = format!("{}: ok: {}\n", args.rules.display(), summary(&config));
        parts.push(ok + &notes::notes(&config).concat());
    }
    io::stdout().write_all(parts.join("\n").as_bytes()).context("cannot write to standard output")
}

fn summary(config: &Config) -> String {
    let listens = config.services.iter().map(|service| service.listen.len()).sum();
    format!(
        "{}, {}",
        counted(config.services.len(), "service", "s"),
        counted(listens, "listen address", "es")
    )
}

fn counted(count: usize, what: &str, plural: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { plural })
}
