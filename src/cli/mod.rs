//! The command line: what the program is asked to do, and the exit code it ends with.
//!
//! Exit codes: 0 all is well, 1 a finding, 2 a usage or configuration error. Errors go up to
//! `main.rs`, which alone prints them. Called by `main`.

mod check;
mod explain;
mod flows;
mod monitor;
mod notes;
mod replay;
mod run;
mod test;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// An FTP-aware firewall and NAT gateway.
///
/// Opens exactly the data port that an FTP session has just negotiated, for exactly the peer that
/// negotiated it, once, for seconds.
#[derive(Debug, Parser)]
#[command(name = "ftp-pinhole", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway in the foreground.
    Run {
        /// The rules file; - is standard input.
        #[arg(value_name = "RULES.yaml")]
        rules: PathBuf,
    },
    /// Check a rules file, without touching anything else.
    Check(CheckArgs),
    /// Run the tests that rules files bring along.
    ///
    /// Ends with 1 when one of them fails.
    Test(test::TestArgs),
    /// Tell which rule decides about a command, and why.
    ///
    /// Ends with 1 when the command does not pass.
    Explain(explain::ExplainArgs),
    /// Tell what the gateway would have done with the connections of a capture.
    ///
    /// Ends with 1 when it would have denied something.
    Replay(replay::ReplayArgs),
    /// Tell what the gateway would do with the connections of a network interface, without sending a packet.
    ///
    /// Ends with 1 when it would have denied something.
    Monitor(monitor::MonitorArgs),
}

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The rules file; - is standard input.
    #[arg(value_name = "RULES.yaml")]
    pub rules: PathBuf,
    /// Print the whole effective configuration as YAML, every default included.
    #[arg(long)]
    pub print: bool,
    /// Print the nftables table that the gateway installs where a service needs one.
    #[arg(long)]
    pub ruleset: bool,
    /// Print the connections that firewalls in front of and behind the gateway must allow.
    #[arg(long)]
    pub flows: bool,
}

/// Does what the command line says. Usage errors, `--help` and `--version` end the process in here.
pub fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Run { rules } => run::run(&rules)?,
        Command::Check(args) => check::check(&args)?,
        Command::Test(args) => return test::test(&args).or_else(unless_nobody_reads),
        Command::Explain(args) => return explain::explain(&args).or_else(unless_nobody_reads),
        Command::Replay(args) => return replay::replay(&args).or_else(unless_nobody_reads),
        Command::Monitor(args) => return monitor::monitor(&args).or_else(unless_nobody_reads),
    }
    Ok(ExitCode::SUCCESS)
}

/// Output that nobody reads any more (`| head`) is no error.
fn unless_nobody_reads(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken) { Ok(ExitCode::SUCCESS) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_free_of_contradictions() {
        Cli::command().debug_assert();
    }
}
