//! Records to memory, for tests of whatever records.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Sink;
use crate::audit::record::Record;

/// The sink's end.
#[derive(Debug)]
pub(in crate::audit) struct Memory {
    log: MemoryLog,
}

impl Memory {
    pub(in crate::audit) fn new(log: MemoryLog) -> Self {
        Self { log }
    }
}

impl Sink for Memory {
    fn write(&mut self, batch: &[Record]) -> io::Result<()> {
        let mut state = self.log.lock();
        if state.failing {
            return Err(io::Error::other("the test lets writes fail"));
        }
        state.records.extend_from_slice(batch);
        self.log.shared.1.notify_all();
        Ok(())
    }
}

/// The test's end: what was written, and whether writes succeed.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    failing: bool,
}

impl MemoryLog {
    /// Every record written up to now.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// Blocks until a record satisfies `wanted`, and returns the first one that does; `None` when
    /// none came `within` that time. On a single-threaded runtime call it from a blocking task.
    pub fn wait_for(&self, within: Duration, wanted: impl Fn(&Record) -> bool) -> Option<Record> {
        let found = |state: &State| state.records.iter().find(|record| wanted(record)).cloned();
        let (state, _) = self
            .shared
            .1
            .wait_timeout_while(self.lock(), within, |state| found(state).is_none())
            .unwrap_or_else(PoisonError::into_inner);
        found(&state)
    }

    /// Lets every write fail from now on, or succeed again.
    pub fn set_failing(&self, failing: bool) {
        self.lock().failing = failing;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
