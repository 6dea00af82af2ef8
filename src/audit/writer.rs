//! The one thread that writes audit records.
//!
//! Does: moves batches from the [`Queue`] to the [`Sink`], tries failed writes again, and logs when
//! the sink begins to fail and when it works again. A record that it took is only given up when the
//! process ends. Called by [`super::Audit`].

use tracing::{error, info};

use super::queue::{Queue, Retry, Task};
use super::record::Record;
use super::sink::Sink;

/// Writes until the queue ends.
pub(super) fn run(queue: &Queue, mut sink: impl Sink) {
    let mut lost = 0;
    loop {
        match queue.next() {
            Task::Reopen => reopen(&mut sink),
            Task::Write(batch) => {
                let Some(failures) = write(queue, &mut sink, &batch) else {
                    return;
                };
                let dropped = queue.written();
                if failures > 0 {
                    info!(failures, "audit sink works again");
                }
                report_lost(&mut lost, dropped);
            }
            Task::End => return,
        }
    }
}

/// Writes `batch` whole, however often it takes, and says how often it failed; `None` when the queue
/// says to break off.
fn write(queue: &Queue, sink: &mut impl Sink, batch: &[Record]) -> Option<u64> {
    let mut failures = 0_u64;
    while let Err(error) = sink.write(batch) {
        queue.failed();
        if failures == 0 {
            error!(%error, "audit sink fails: no pinhole opens until it works");
        }
        failures += 1;
        match queue.retry() {
            Retry::Again => {}
            Retry::Reopen => reopen(sink),
            Retry::Never => return None,
        }
    }
    Some(failures)
}

fn reopen(sink: &mut impl Sink) {
    match sink.reopen() {
        Ok(()) => info!("audit sink opened anew"),
        Err(error) => error!(%error, "audit sink cannot be opened anew: the old one stays in use"),
    }
}

/// Says, now that writing works, how many records will never be written; `dropped` counts from the start.
fn report_lost(reported: &mut u64, dropped: u64) {
    if dropped > *reported {
        info!(records = dropped - *reported, "audit queue has room again: records were lost");
        *reported = dropped;
    }
}
