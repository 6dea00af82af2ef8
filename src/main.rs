//! The ftp-pinhole program: runs the command line and prints why it failed.

use std::process::ExitCode;

fn main() -> ExitCode {
    ftp_pinhole::cli::main().unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::from(2)
    })
}
