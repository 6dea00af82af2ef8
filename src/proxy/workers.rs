//! The threads that sessions run on.
//!
//! Each has a runtime of its own, and a session stays on one with its data connections: nothing is
//! handed between threads while it runs, which costs more than it gains at this size of task.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Where sessions are spawned, in turn.
#[derive(Debug)]
pub(super) struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
}

impl Workers {
    /// The runtime of the caller.
    pub(super) fn here() -> Self {
        Self::of(vec![Handle::current()])
    }

    fn of(handles: Vec<Handle>) -> Self {
        Self { handles, next: AtomicUsize::default() }
    }

    /// Runs `task` on the next thread.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        if let Some(handle) = self.handles.get(turn) {
            handle.spawn(task);
        }
    }
}

/// The threads; they end, with all that still runs on them, when this is dropped.
#[derive(Debug)]
pub(super) struct Threads {
    stop: watch::Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

/// One thread for each processor.
///
/// # Errors
/// A runtime or a thread cannot be made.
pub(super) fn start() -> io::Result<(Workers, Threads)> {
    let (stop, stopped) = watch::channel(());
    let (mut handles, mut threads) = (Vec::new(), Vec::new());
    for number in 0..thread::available_parallelism()?.get() {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        handles.push(runtime.handle().clone());
        let mut stopped = stopped.clone();
        let run = move || {
            // An error is the end as well: the other side is gone.
            let _ = runtime.block_on(stopped.changed());
        };
        threads.push(thread::Builder::new().name(format!("worker-{number}")).spawn(run)?);
    }
    Ok((Workers::of(handles), Threads { stop, threads }))
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.send_replace(());
        for thread in self.threads.drain(..) {
            // A thread that panicked is at its end, too.
            let _ = thread.join();
        }
    }
}
