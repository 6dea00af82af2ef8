//! The audit record: one JSON line per decision, written by a thread of its own.
//!
//! Does: takes [`Record`]s without ever blocking the caller, keeps them in a bounded queue, writes
//! them to a file, standard output or the journal, and says when it cannot ([`Audit::can_open`]), so
//! that nothing opens that could not be recorded. Does not: decide what is recorded (the session
//! engine does), escape control bytes (they come escaped), or rotate files. Called by `proxy` and
//! `main`; `replay` only uses [`Record`]. `docs/audit.md` explains the records to operators.

mod queue;
mod record;
mod sink;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tracing::error;

use crate::config::model::AuditSink;
use queue::Queue;
use sink::{Journald, Memory, Sink, Stream};

pub use queue::CAPACITY;
pub use record::{MAX_TEXT, Record, SessionContext};
pub use sink::{JOURNAL_SOCKET, MemoryLog};

/// Where records are handed in; clones share one queue and one writer.
///
/// When the last clone goes, what is queued is still offered to the sink, once. [`Audit::close`]
/// waits for it and knows whether it was written.
#[derive(Debug, Clone)]
pub struct Audit {
    shared: Arc<Shared>,
}

impl Audit {
    /// Opens what the configuration names and starts the writer.
    ///
    /// # Errors
    /// The sink cannot be opened, or no thread can be started.
    pub fn open(sink: &AuditSink) -> Result<Self, AuditError> {
        match sink {
            AuditSink::Stdout => Self::start(Stream::stdout().map_err(AuditError::Stdout)?),
            AuditSink::File(path) => Self::start(Stream::file(path).map_err(cannot_open(path))?),
            AuditSink::Journald => Self::journald(Path::new(JOURNAL_SOCKET)),
        }
    }

    /// Starts a writer to the journal that listens on `socket`, which is [`JOURNAL_SOCKET`] but in tests.
    ///
    /// # Errors
    /// Nobody listens there, or no thread can be started.
    pub fn journald(socket: &Path) -> Result<Self, AuditError> {
        Self::start(Journald::connect(socket).map_err(cannot_open(socket))?)
    }

    /// Starts a writer to memory, for tests.
    ///
    /// # Panics
    /// No thread can be started.
    pub fn memory() -> (Self, MemoryLog) {
        let log = MemoryLog::default();
        let audit = Self::start(Memory::new(log.clone())).expect("a test may start a thread");
        (audit, log)
    }

    fn start(sink: impl Sink + 'static) -> Result<Self, AuditError> {
        let queue = Arc::new(Queue::default());
        let consumer = Arc::clone(&queue);
        thread::Builder::new()
            .name("audit".into())
            .spawn(move || {
                writer::run(&consumer, sink);
                consumer.ended();
            })
            .map_err(AuditError::Thread)?;
        Ok(Self { shared: Arc::new(Shared { queue }) })
    }

    /// Queues `record`; never blocks. A record for which there is no room, or that comes after
    /// [`Audit::close`], is dropped and counted.
    pub fn record(&self, record: Record) {
        if let Err(dropped) = self.shared.queue.push(record)
            && is_worth_a_line(dropped)
        {
            error!(dropped, "audit queue is full or closed: records are dropped");
        }
    }

    /// Whether a new pinhole may be opened: the last write succeeded and at most half the queue is
    /// taken, so that the records of running pinholes find room (P8).
    pub fn can_open(&self) -> bool {
        self.shared.queue.can_open()
    }

    /// Records dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.shared.queue.dropped()
    }

    /// Has the writer open its file anew, before it writes anything else. When that fails the old
    /// file stays in use and an error is logged.
    pub fn reopen(&self) {
        self.shared.queue.request_reopen();
    }

    /// Takes no more records and blocks until every queued one is written, at most for `within`.
    ///
    /// # Errors
    /// Not all of them were written in time.
    pub fn close(self, within: Duration) -> Result<(), AuditError> {
        match self.shared.queue.drain(within) {
            0 => Ok(()),
            records => Err(AuditError::Unwritten { records, within }),
        }
    }
}

/// What the clones of one handle share; ends the writer when the last of them goes.
#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

/// Why records cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file, or the journal's socket, cannot be opened.
    #[error("cannot open {} for audit records", path.display())]
    Open {
        /// The path as configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output is closed.
    #[error("cannot use standard output for audit records")]
    Stdout(#[source] io::Error),
    /// The writer's thread cannot be started.
    #[error("cannot start the audit thread")]
    Thread(#[source] io::Error),
    /// The sink did not take every record before the end.
    #[error("{records} audit records were not written within {within:?}")]
    Unwritten {
        /// How many, counting all of a batch that was written in part.
        records: usize,
        /// The time that they were given.
        within: Duration,
    },
}

fn cannot_open(path: &Path) -> impl FnOnce(io::Error) -> AuditError {
    move |source| AuditError::Open { path: path.to_owned(), source }
}

/// The first loss is logged at once and later ones per queue length: a line for each would make a
/// full disk worse.
fn is_worth_a_line(dropped: u64) -> bool {
    dropped % LINE_EVERY == 1
}

const LINE_EVERY: u64 = 8192;
