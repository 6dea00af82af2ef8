//! Where events go: the audit record, the counters and the log.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::SystemTime;

use tracing::{debug, warn};

use crate::audit::{Audit, Record, SessionContext};
use crate::session::{Event, EventKind};
use crate::telemetry::Counters;

/// Warnings about peers in one second; the audit record has them all.
const WARNINGS_PER_SECOND: u32 = 10;

/// Takes events from every session.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) audit: Audit,
    pub(super) counters: Counters,
    second: AtomicU64,
    warned: AtomicU32,
}

impl Reporter {
    pub(super) fn new(audit: Audit) -> Self {
        Self {
            audit,
            counters: Counters::default(),
            second: AtomicU64::default(),
            warned: AtomicU32::default(),
        }
    }

    /// Counts, logs and records `event`.
    pub(super) fn report(&self, context: Option<&SessionContext>, event: Event) {
        let now = SystemTime::now();
        self.counters.count(&event);
        self.log(now, context, &event);
        self.audit.record(Record::new(now, context.cloned(), event));
    }

    fn log(&self, now: SystemTime, context: Option<&SessionContext>, event: &Event) {
        let reason = event.reason.map(|reason| reason.code());
        let pinhole = event.pinhole.map(tracing::field::display);
        let kind = event.kind.name();
        if event.kind == EventKind::Violation && self.may_warn(now) {
            let client = context.map(|context| tracing::field::display(context.client));
            warn!(reason, pinhole, client, from = event.from.map(tracing::field::display), "peer misbehaved");
        } else {
            debug!(event = kind, reason, pinhole, "reported");
        }
    }

    /// A flood of bad peers must not become a flood of log lines.
    fn may_warn(&self, now: SystemTime) -> bool {
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.warned.store(0, Ordering::Relaxed);
        }
        self.warned.fetch_add(1, Ordering::Relaxed) < WARNINGS_PER_SECOND
    }
}
