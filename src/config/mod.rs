//! The rules file: read, checked as a whole, and turned into what the gateway runs on.
//!
//! A file is refused with all its errors at once, each with its line, its key, the value and what is
//! allowed; a key that nobody knows is an error, since a typo must not open or shut anything silently.
//! Defaults are those of [`Policy`](crate::policy::Policy) and stand nowhere else. Opens no socket and
//! no file but the rules file. Called by `cli`.

mod conflicts;
mod error;
mod gateway;
pub mod model;
mod placement;
mod print;
mod reader;
mod rules;
mod service;
mod syntax;
mod tests;
mod tls;
mod value;
mod words;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

pub use error::{ConfigError, ConfigErrors, Position};
pub use model::{
    AuditSink, Config, Gateway, Integration, Intercept, LogFormat, LogLevel, LogSettings, Mark, Nftables,
    OnStop, Role, Service, Source,
};
pub use rules::ServiceRule;
pub use tests::RuleTest;

use reader::{Report, Section};

/// The largest rules file, in bytes: 1 MiB.
pub const MAX_FILE_BYTES: usize = 1 << 20;

impl Config {
    /// Reads and checks the rules file at `path`; `-` is standard input.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let (name, text) = if path == Path::new("-") {
            ("<stdin>".to_owned(), read_bounded(io::stdin().lock()))
        } else {
            (path.display().to_string(), File::open(path).and_then(read_bounded))
        };
        let text = text.map_err(|source| ConfigErrors::Read { file: error::printable(&name), source })?;
        Self::parse(&name, &text)
    }

    /// Checks the rules file `text`; `name` stands before every error.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigErrors> {
        if text.len() > MAX_FILE_BYTES {
            return Err(ConfigErrors::TooLarge { file: error::printable(name) });
        }
        let root = syntax::parse(name, text)?;
        let report = Report::new(name);
        let mut top = Section::root(&report, &root);
        top.require("version", value::only("1", &[]));
        let gateway = gateway::read(&mut top);
        let mut services = service::read_all(&mut top);
        let lists = rules::read_lists(&mut top);
        let names: Vec<_> = services.iter().map(|service| Arc::clone(&service.name)).collect();
        let names: Vec<_> = names.iter().map(|name| &**name).collect();
        let rules = rules::read(&mut top, &lists, &names);
        let rule_names: Vec<_> = rules.iter().map(|each| Arc::clone(&each.rule.name)).collect();
        let tests = tests::read(&mut top, &names, &rule_names);
        for service in &mut services {
            Arc::make_mut(&mut service.policy).rules = rules::of_service(&rules, &service.name);
        }
        top.finish();
        report.finish()?;
        Ok(Self { gateway, services, rules, tests })
    }

    /// The whole effective configuration as a rules file, every default included.
    pub fn to_yaml(&self) -> String {
        print::yaml(self)
    }
}

/// Reads one byte more than allowed at most, so that a file without end is refused and not swallowed.
fn read_bounded(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MAX_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
