//! The bounded queue between those who record and the one writer.
//!
//! Does: holds records until they are written, counts the ones it has no room for, and carries the
//! requests to open the sink anew and to end. Does no IO. Called by [`super::Audit`] on one side and
//! by [`super::writer`] on the other; the lock is only ever held for a few moves in memory.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::Record;

/// The queue; shared by reference.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    end: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Record>,
    /// Records that the writer has taken and not yet written.
    in_flight: usize,
    dropped: u64,
    failing: bool,
    reopen: bool,
    /// The writer sleeps until it is woken.
    idle: bool,
    phase: Phase,
}

/// How long the writer goes on; only ever moves down this list.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Running,
    /// Takes no more records, writes those it has, retries as before.
    Draining,
    /// As before, but the first failed write is the last.
    LastTry,
    Ended,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Task {
    /// Open the sink anew.
    Reopen,
    /// Write these, at least one.
    Write(Vec<Record>),
    /// Nothing is left, and nothing will come.
    End,
}

/// What the writer is to do about a write that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Write again.
    Again,
    /// Open the sink anew, then write again.
    Reopen,
    /// Give up.
    Never,
}

/// For those who record.
impl Queue {
    /// Adds a record, or returns how many were dropped by now, this one included.
    pub(super) fn push(&self, record: Record) -> Result<(), u64> {
        // A flood of refusals must not leave the pinholes of others without a record, and so without
        // a permission (D43).
        let room = if record.is_refusal() { CAPACITY / 4 } else { CAPACITY };
        let mut state = self.lock();
        if state.phase != Phase::Running || state.kept() >= room {
            state.dropped += 1;
            return Err(state.dropped);
        }
        state.waiting.push_back(record);
        // A wake-up is a system call: only the first record after a pause pays for it.
        if mem::take(&mut state.idle) {
            self.wake.notify_one();
        }
        Ok(())
    }

    pub(super) fn can_open(&self) -> bool {
        let state = self.lock();
        state.phase == Phase::Running && !state.failing && state.kept() <= CAPACITY / 2
    }

    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    pub(super) fn request_reopen(&self) {
        self.lock().reopen = true;
        self.wake.notify_one();
    }

    /// Lets the writer end once every record is written, or at the next failed write after `within`.
    /// Returns how many are not written.
    pub(super) fn drain(&self, within: Duration) -> usize {
        self.advance(Phase::Draining);
        let (state, timeout) = self
            .end
            .wait_timeout_while(self.lock(), within, |state| state.phase != Phase::Ended)
            .unwrap_or_else(PoisonError::into_inner);
        let left = state.kept();
        drop(state);
        if timeout.timed_out() {
            self.abandon();
        }
        left
    }

    /// Lets the writer end with the next failed write.
    pub(super) fn abandon(&self) {
        self.advance(Phase::LastTry);
    }

    fn advance(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = state.phase.max(phase);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the writer.
impl Queue {
    /// Waits for something to do.
    pub(super) fn next(&self) -> Task {
        let mut state = self.lock();
        while state.is_quiet() && state.waiting.is_empty() {
            state.idle = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.idle = false;
        // A moment's patience turns a write and a wake-up per record into one per batch.
        if state.is_quiet() && state.waiting.len() < BATCH {
            state = self.wait(state, LINGER);
        }
        if mem::take(&mut state.reopen) {
            return Task::Reopen;
        }
        let count = state.waiting.len().min(BATCH);
        if count == 0 {
            return Task::End;
        }
        state.in_flight = count;
        Task::Write(state.waiting.drain(..count).collect())
    }

    /// Notes that the last batch was written. Returns how many records were dropped by now.
    pub(super) fn written(&self) -> u64 {
        let mut state = self.lock();
        state.in_flight = 0;
        state.failing = false;
        state.dropped
    }

    /// Notes that a write failed: nothing opens from now on.
    pub(super) fn failed(&self) {
        self.lock().failing = true;
    }

    /// Waits a moment after a write that failed, or until the sink is to be opened anew.
    pub(super) fn retry(&self) -> Retry {
        let mut state = self.lock();
        if state.phase >= Phase::LastTry {
            return Retry::Never;
        }
        if !state.reopen {
            state = self.wait(state, RETRY_PAUSE);
        }
        if mem::take(&mut state.reopen) { Retry::Reopen } else { Retry::Again }
    }

    /// Notes that the writer is gone.
    pub(super) fn ended(&self) {
        self.advance(Phase::Ended);
        self.end.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, pause: Duration) -> MutexGuard<'a, State> {
        self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl State {
    /// Records accepted and not yet written.
    fn kept(&self) -> usize {
        self.waiting.len() + self.in_flight
    }

    /// Nobody asked for anything but that records be written.
    fn is_quiet(&self) -> bool {
        self.phase == Phase::Running && !self.reopen
    }
}

/// The most records that are kept in memory. More are dropped.
pub const CAPACITY: usize = 8192;

/// The most records in one write.
const BATCH: usize = 256;

/// How long the first record of a batch waits for others.
const LINGER: Duration = Duration::from_millis(5);

/// How long the writer waits before it tries a failed write again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::session::{Event, EventKind};

    fn push(queue: &Queue) -> Result<(), u64> {
        let event = Event::new(EventKind::SessionOpened);
        queue.push(Record::new(SystemTime::UNIX_EPOCH, None, event))
    }

    fn fill(queue: &Queue, count: usize) {
        for _ in 0..count {
            push(queue).unwrap();
        }
    }

    #[test]
    fn p6_a_full_queue_drops_and_counts() {
        let queue = Queue::default();
        fill(&queue, CAPACITY);
        assert_eq!((push(&queue), push(&queue)), (Err(1), Err(2)));
        assert_eq!(queue.dropped(), 2);
    }

    #[test]
    fn p8_over_half_the_queue_new_pinholes_are_refused_and_records_still_find_room() {
        let queue = Queue::default();
        fill(&queue, CAPACITY / 2);
        assert!(queue.can_open());
        fill(&queue, 1);
        assert!(!queue.can_open());
        fill(&queue, CAPACITY / 2 - 1);
    }

    #[test]
    fn records_being_written_count_towards_the_bound() {
        let queue = Queue::default();
        fill(&queue, CAPACITY);
        assert!(matches!(queue.next(), Task::Write(batch) if batch.len() == BATCH));
        assert!(push(&queue).is_err());
        queue.written();
        fill(&queue, BATCH);
    }

    #[test]
    fn a_request_to_reopen_goes_before_the_records_and_before_the_next_try() {
        let queue = Queue::default();
        fill(&queue, 1);
        queue.request_reopen();
        assert!(matches!(queue.next(), Task::Reopen));
        assert!(matches!(queue.next(), Task::Write(_)));
        queue.request_reopen();
        assert_eq!(queue.retry(), Retry::Reopen);
    }

    #[test]
    fn an_abandoned_queue_is_emptied_and_given_up_at_the_first_failure() {
        let queue = Queue::default();
        fill(&queue, BATCH + 1);
        queue.abandon();
        assert_eq!(push(&queue), Err(1));
        assert!(matches!(queue.next(), Task::Write(_)));
        queue.written();
        assert!(matches!(queue.next(), Task::Write(batch) if batch.len() == 1));
        assert_eq!(queue.retry(), Retry::Never);
    }
}
