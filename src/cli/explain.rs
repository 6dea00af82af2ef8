//! `explain`: which rule decides about a command, and why none before it does.

use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::test::{told, word};
use crate::config::{Config, Service};
use crate::ftp::{Command, Verb, printable};
use crate::policy::TransferMode;
use crate::policy::rules::{Action, CommandName, Facts, Tls, Unmet, absolute, path_argument};
use crate::trial::{self, Situation};

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The rules file; - is standard input.
    #[arg(value_name = "RULES.yaml")]
    pub rules: PathBuf,
    /// The service; may be left out where there is one.
    #[arg(long)]
    pub service: Option<String>,
    /// The client's address.
    #[arg(long)]
    pub client: IpAddr,
    /// The user that is logged in.
    #[arg(long)]
    pub user: Option<String>,
    /// The directory that the session is in.
    #[arg(long, default_value = "/")]
    pub cwd: String,
    /// How the client's leg is protected; as the service asks for when left out.
    #[arg(long)]
    pub tls: Option<Protection>,
    /// How a transfer is set up.
    #[arg(long, default_value = "passive")]
    pub mode: Mode,
    /// The command, as a client sends it.
    pub command: String,
}

/// As `when.tls`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Protection {
    /// Not at all.
    None,
    /// The control connection.
    Control,
    /// The control connection and the data.
    Private,
}

/// As `when.mode`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Mode {
    /// PORT, EPRT.
    Active,
    /// PASV, EPSV.
    Passive,
}

/// Explains; 1 when the command does not pass.
pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.rules)?;
    let service = service(&config, args.service.as_deref())?;
    let situation = situation(args);
    let outcome = trial::put(&service.policy, &situation, &args.command);
    let mut text = String::new();
    if let Ok(command) = Command::parse(args.command.as_bytes()) {
        text = path_through(service, &situation, &command, trial::protection(&service.policy, &situation));
    }
    text.push_str(&format!("result: {}\n", told(&outcome)));
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(if outcome.verdict == Action::Allow { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn service<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<&'a Service> {
    let names = || config.services.iter().map(|service| &*service.name).collect::<Vec<_>>().join(", ");
    match (name, config.services.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => bail!("--service is missing (allowed: {})", names()),
        (Some(name), services) => {
            let found = services.iter().find(|service| &*service.name == name);
            found.with_context(|| {
                format!("--service: {name} is no service of this file (allowed: {})", names())
            })
        }
    }
}

fn situation(args: &ExplainArgs) -> Situation {
    Situation {
        client: args.client,
        user: args.user.clone(),
        cwd: Some(args.cwd.clone()).filter(|cwd| cwd != "/"),
        tls: args.tls.map(|tls| match tls {
            Protection::None => Tls::None,
            Protection::Control => Tls::Control,
            Protection::Private => Tls::Private,
        }),
        mode: match args.mode {
            Mode::Active => TransferMode::Active,
            Mode::Passive => TransferMode::Passive,
        },
    }
}

/// Each rule up to the one that decides, with the condition that does not hold.
fn path_through(service: &Service, situation: &Situation, command: &Command, tls: Tls) -> String {
    let user = match command.verb {
        Verb::User => Some(printable(command.argument())),
        _ => situation.user.clone(),
    };
    let directory = situation.cwd.as_deref().unwrap_or("/");
    let path = path_argument(command).map(|path| absolute(directory.as_bytes(), path));
    let used = command.verb.transfer().map(|_| situation.mode);
    let mode = TransferMode::asked_for(command.verb).or(used);
    let name = CommandName::of(command);
    let facts =
        Facts { client: situation.client, user: user.as_deref(), tls, name, path: path.as_deref(), mode };
    let mut text = String::new();
    for rule in service.policy.rules.list() {
        match rule.when.unmet(&facts) {
            Some(unmet) => text.push_str(&format!("rule {}: no, {}\n", rule.name, why(unmet, &facts))),
            None => {
                text.push_str(&format!("rule {}: yes, {}\n", rule.name, word(rule.then)));
                return text;
            }
        }
    }
    text.push_str("no rule matches; the preset decides\n");
    text
}

fn why(unmet: Unmet, facts: &Facts) -> String {
    match unmet {
        Unmet::Client => format!("the client {} is not meant", facts.client),
        Unmet::User => match facts.user {
            Some(user) => format!("the user {user} is not meant"),
            None => "nobody has logged in".to_owned(),
        },
        Unmet::Command => format!("{} is not meant", facts.name),
        Unmet::Path => match facts.path {
            Some(path) => format!("the path {} is not meant", printable(path)),
            None => format!("{} names no path", facts.name),
        },
        Unmet::Tls => "the protection is another".to_owned(),
        Unmet::Mode => "the mode is another".to_owned(),
    }
}
