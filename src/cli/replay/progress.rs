//! How far a long read has got, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Time is looked at once for so many frames.
const FRAMES: u64 = 4096;

/// How often it is shown.
const PAUSE: Duration = Duration::from_millis(200);

/// A line on standard error that is written over.
pub(super) struct Progress {
    size: Option<u64>,
    on_terminal: bool,
    shown: Instant,
}

impl Progress {
    pub(super) fn new(size: Option<u64>) -> Self {
        Self { size, on_terminal: io::stderr().is_terminal(), shown: Instant::now() }
    }

    /// Whether it is time to show it, after `frames`.
    pub(super) fn is_due(&self, frames: u64) -> bool {
        self.on_terminal && frames.is_multiple_of(FRAMES) && self.shown.elapsed() >= PAUSE
    }

    pub(super) fn show(&mut self, position: u64) {
        self.shown = Instant::now();
        let megabytes = position / 1_000_000;
        let line = match self.size.filter(|size| *size > 0) {
            Some(size) => format!("{:3} % of {} MB", position.saturating_mul(100) / size, size / 1_000_000),
            None => format!("{megabytes} MB"),
        };
        self.put(&line);
    }

    pub(super) fn clear(&self) {
        if self.on_terminal {
            self.put("");
        }
    }

    fn put(&self, line: &str) {
        // It is only for whoever watches.
        let _ = write!(io::stderr(), "\r\x1b[K{line}");
    }
}
