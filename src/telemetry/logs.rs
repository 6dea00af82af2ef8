//! The log: one level, one form, for the whole process.

use std::env;
use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::model::{LogFormat, LogLevel, LogSettings};

/// Sends the log of the whole process to standard error or to the journal.
///
/// # Errors
/// The journal cannot be reached, or the log is set up already.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    // A log that cannot be written must not end the gateway: no report of it on standard error,
    // where printing would panic.
    let text = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(wants_colour())
        .with_max_level(filter(settings.level))
        .with_target(false)
        .log_internal_errors(false);
    match settings.format {
        LogFormat::Text => text.finish().try_init()?,
        LogFormat::Json => text.json().flatten_event(true).finish().try_init()?,
        LogFormat::Journald => {
            let journal = tracing_journald::layer().map_err(TelemetryError::Journal)?;
            let journal = journal.with_syslog_identifier("ftp-pinhole".into());
            tracing_subscriber::registry().with(filter(settings.level)).with(journal).try_init()?;
        }
    }
    Ok(())
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The journal's socket cannot be reached.
    #[error("cannot reach the journal for the log")]
    Journal(#[source] io::Error),
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Colour is for terminals, and not for people who say NO_COLOR (https://no-color.org).
fn wants_colour() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_log() {
        let settings = LogSettings { level: LogLevel::Error, format: LogFormat::Text };
        init(&settings).unwrap();
        assert!(matches!(init(&settings), Err(TelemetryError::Twice(_))));
    }
}
