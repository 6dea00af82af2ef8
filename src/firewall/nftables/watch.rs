//! The thread that listens to the kernel: who came, what ended, whether the table is still as it was.
//!
//! Sessions hear the kernel themselves before they order something, so this thread is in no hurry: it takes
//! what has come in a few milliseconds at once.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::{Errno, write};
use rustix::time::Timespec;

use super::{NftablesError, Shared};
use crate::netlink::{Conntrack, TableState};
use crate::policy::Timeouts;
use crate::reason::Reason;

/// The longest time between two looks at the table, at gates that have to be set anew, and at what is of no use any
/// more.
const TICK: Duration = Duration::from_secs(1);

/// The longest time between two looks at the kernel's list of connections.
const MOST_SWEEP: Duration = Duration::from_secs(5);

/// Looking more often costs more than it tells.
const LEAST: Duration = Duration::from_millis(100);

/// How long copies may gather, after some were taken, before the next are taken together.
const NAP: Duration = Duration::from_millis(2);

/// Tells the thread to end.
pub(super) struct Stop(OwnedFd);

impl Stop {
    /// Not yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(eventfd(0, EventfdFlags::CLOEXEC)?))
    }

    /// Now.
    pub(super) fn now(&self) {
        if let Err(error) = write(&self.0, &1u64.to_ne_bytes()) {
            tracing::error!(%error, "cannot stop the watch");
        }
    }
}

/// Starts the thread; the `timeouts` of all services say how often it has to look.
pub(super) fn start(
    shared: Arc<Shared>,
    timeouts: impl Iterator<Item = Timeouts>,
) -> Result<JoinHandle<()>, NftablesError> {
    let log = shared.state().log().try_clone_to_owned()?;
    let sound = shared.state().table()?.ok_or(NftablesError::Vanished)?;
    let now = Instant::now();
    let (mut tick, mut sweep) = (TICK, MOST_SWEEP);
    for each in timeouts {
        tick = tick.min(each.pinhole / 4).max(LEAST);
        sweep = sweep.min(each.data_idle / 4).max(LEAST);
    }
    let conntrack = Conntrack::connect()?;
    let mut watch = Watch { shared, log, conntrack, sound, tick, sweep, ticked: now, swept: now };
    Ok(thread::Builder::new().name("nftables".to_owned()).spawn(move || watch.run())?)
}

struct Watch {
    shared: Arc<Shared>,
    log: OwnedFd,
    /// For looking at all connections without the lock.
    conntrack: Conntrack,
    /// The table as it should be.
    sound: TableState,
    tick: Duration,
    sweep: Duration,
    ticked: Instant,
    swept: Instant,
}

impl Watch {
    fn run(&mut self) {
        while self.wait() {
            let now = Instant::now();
            let mut state = self.shared.state();
            state.hear();
            state.flush();
            drop(state);
            if now.duration_since(self.ticked) >= self.tick {
                self.ticked = now;
                self.tick(now);
            }
            let lost = self.shared.state().take_lost();
            if lost || now.duration_since(self.swept) >= self.sweep {
                self.swept = now;
                self.sweep();
            }
            thread::sleep(NAP);
        }
    }

    /// Compares the kernel's list of connections with ours.
    fn sweep(&mut self) {
        let mut state = self.shared.state();
        if !state.begin_sweep() {
            return;
        }
        let value = state.mark().value();
        drop(state);
        let mut entries = Vec::new();
        if let Err(error) = self.conntrack.dump(value, value, |entry| entries.push(entry)) {
            return tracing::error!(%error, "cannot look at connections");
        }
        let mut state = self.shared.state();
        // What is in the list has been reported, but for what was lost.
        state.hear();
        state.compare(&entries, Instant::now());
    }

    /// Waits until something has come or is due; says whether to go on.
    fn wait(&self) -> bool {
        let mut fds =
            [PollFd::new(&self.log, PollFlags::IN), PollFd::new(&self.shared.stop.0, PollFlags::IN)];
        let limit = Timespec::try_from(self.tick.min(self.sweep)).ok();
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => tracing::error!(%error, "cannot wait for the kernel"),
        }
        let [_, stop] = fds;
        stop.revents().is_empty()
    }

    fn tick(&mut self, now: Instant) {
        self.shared.local.refresh();
        let mut state = self.shared.state();
        state.clean(now);
        state.renew(now);
        let sound = state.check_table(self.sound);
        // Nobody waits for the table with the lock held.
        drop(state);
        if !sound {
            self.put_back();
        }
    }

    fn put_back(&mut self) {
        let table = self.shared.table.name();
        tracing::error!(table, "somebody has changed or removed the table; it is put back");
        if let Err(error) = self.shared.table.install() {
            let error = &error as &(dyn Error + 'static);
            return tracing::error!(error, table, "cannot put the table back");
        }
        let mut state = self.shared.state();
        match state.table() {
            Ok(Some(sound)) => self.sound = sound,
            // The next look finds it gone again.
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "cannot look at the table"),
        }
        state.repopulate();
        drop(state);
        (self.shared.on_trouble)(Reason::TableLost);
    }
}
