//! How often each kind of event and each reason came up.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::reason::Reason;
use crate::session::{Event, EventKind, Tolerance};

/// One counter per [`EventKind`] and per [`Reason`], from zero at the start.
#[derive(Debug)]
pub struct Counters {
    kinds: [AtomicU64; EventKind::ALL.len()],
    reasons: [AtomicU64; Reason::ALL.len()],
    tolerances: [AtomicU64; Tolerance::ALL.len()],
}

impl Counters {
    /// Counts the event, and its reason if it has one.
    pub fn count(&self, event: &Event) {
        // The lists hold the enums' variants in order, so that a variant's number is its place.
        add_one(self.kinds.get(event.kind as usize));
        add_one(event.reason.and_then(|reason| self.reasons.get(reason as usize)));
    }

    /// Counts one use of a leniency.
    pub fn count_tolerance(&self, tolerance: Tolerance) {
        add_one(self.tolerances.get(tolerance as usize));
    }

    /// How often each event came, by its name, then each reason, by its code, then each leniency.
    pub fn snapshot(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let kinds = EventKind::ALL.iter().map(|kind| kind.name()).zip(&self.kinds);
        let reasons = Reason::ALL.iter().map(|reason| reason.code()).zip(&self.reasons);
        let tolerances = Tolerance::ALL.iter().map(|tolerance| tolerance.counter()).zip(&self.tolerances);
        kinds.chain(reasons).chain(tolerances).map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            kinds: [const { AtomicU64::new(0) }; EventKind::ALL.len()],
            reasons: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            tolerances: [const { AtomicU64::new(0) }; Tolerance::ALL.len()],
        }
    }
}

/// `name=value`, separated by spaces, of those that are not zero.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, value) in self.snapshot().filter(|(_, value)| *value > 0) {
            write!(f, "{separator}{name}={value}")?;
            separator = " ";
        }
        Ok(())
    }
}

fn add_one(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_every_reason_has_a_counter_under_its_own_name() {
        for kind in EventKind::ALL {
            let counters = Counters::default();
            counters.count(&Event::new(*kind));
            assert_eq!(counters.to_string(), format!("{}=1", kind.name()));
        }
        for reason in Reason::ALL {
            let counters = Counters::default();
            let mut event = Event::new(EventKind::PinholeDenied);
            event.reason = Some(*reason);
            counters.count(&event);
            assert_eq!(counters.to_string(), format!("pinhole.denied=1 {reason}=1"));
        }
    }
}
