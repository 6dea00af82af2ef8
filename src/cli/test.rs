//! `test`: does a rules file decide as its own `tests:` say?

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::config::{Config, RuleTest};
use crate::policy::rules::Action;
use crate::trial::{self, Outcome, Situation};

/// The arguments of `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// A rules file, or a directory of them; - is standard input.
    #[arg(value_name = "RULES.yaml|DIR")]
    pub rules: PathBuf,
    /// Print a JSON object for each test.
    #[arg(long)]
    pub json: bool,
}

/// Runs the tests; 1 when one of them fails.
pub(super) fn test(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let (mut passed, mut failed) = (0, 0);
    for path in files(&args.rules)? {
        let config = Config::load(&path)?;
        for test in &config.tests {
            let outcome = run(&config, test);
            let problem = problem(test, &outcome);
            *if problem.is_none() { &mut passed } else { &mut failed } += 1;
            let text = match args.json {
                true => json_line(test, &outcome, problem.as_deref()),
                false => line(test, problem.as_deref()),
            };
            out.write_all(text.as_bytes()).context("cannot write to standard output")?;
        }
    }
    if !args.json {
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        writeln!(out, "\ntest result: {verdict}. {passed} passed; {failed} failed")
            .context("cannot write to standard output")?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The file, or the rules files of the directory in the order of their names.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    if files.is_empty() {
        bail!("{}: holds no rules file (allowed: *.yaml)", path.display());
    }
    Ok(files)
}

fn run(config: &Config, test: &RuleTest) -> Outcome {
    let named = config.services.iter().find(|service| *service.name == *test.service);
    let service = named.expect("the configuration checked the name");
    let situation = Situation {
        client: test.client,
        user: test.user.clone(),
        cwd: test.cwd.clone(),
        tls: test.tls,
        mode: test.mode,
    };
    trial::put(&service.policy, &situation, &test.send)
}

/// What is not as expected.
fn problem(test: &RuleTest, outcome: &Outcome) -> Option<String> {
    let other_rule = test.rule.is_some() && test.rule != outcome.rule;
    let other_reply = test
        .reply
        .as_ref()
        .is_some_and(|reply| !outcome.reply.as_ref().is_some_and(|got| got.starts_with(reply.as_str())));
    (test.expect != outcome.verdict || other_rule || other_reply).then(|| told(outcome))
}

/// As rules files write it.
pub(super) fn word(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
        Action::Close => "close",
    }
}

/// An outcome in one line.
pub(super) fn told(outcome: &Outcome) -> String {
    let mut text = word(outcome.verdict).to_owned();
    let mut add = |name: &str, value: Option<String>| {
        value.into_iter().for_each(|value| write!(text, ", {name}{value}").expect("a string takes any text"));
    };
    add("rule ", outcome.rule.as_ref().map(ToString::to_string));
    add("reason ", outcome.reason.map(|reason| reason.to_string()));
    add("reply ", outcome.reply.clone());
    add("already at ", outcome.at.clone());
    text
}

fn line(test: &RuleTest, problem: Option<&str>) -> String {
    let who = test.user.as_deref().unwrap_or("nobody");
    let name = format!("{} {who}@{}: {}", test.service, test.client, test.send);
    match problem {
        None => format!("test {name} ... ok\n"),
        Some(got) => format!("test {name} ... FAILED\n  {}\n  got: {got}\n", test.place),
    }
}

fn json_line(test: &RuleTest, outcome: &Outcome, problem: Option<&str>) -> String {
    let line = json!({
        "service": test.service,
        "client": test.client,
        "user": test.user,
        "send": test.send,
        "passed": problem.is_none(),
        "got": told(outcome),
        "place": test.place.to_string(),
    });
    format!("{line}\n")
}
