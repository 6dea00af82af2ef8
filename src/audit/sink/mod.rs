//! Where audit records end up: a stream of JSON lines, the journal, or memory.
//!
//! A sink writes and reports errors; it does not retry, log or queue. Called by [`super::writer`].

mod journald;
mod memory;
mod stream;

use std::io;

use super::record::Record;

pub use journald::JOURNAL_SOCKET;
pub(super) use journald::Journald;
pub(super) use memory::Memory;
pub use memory::MemoryLog;
pub(super) use stream::Stream;

/// Takes records in batches.
pub(super) trait Sink: Send {
    /// Writes `batch`, never empty. After an error the same batch is given again, until it is written
    /// whole; the sink remembers how far it came.
    fn write(&mut self, batch: &[Record]) -> io::Result<()>;

    /// Opens anew what may have been moved away; after an error the old one stays in use.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}
