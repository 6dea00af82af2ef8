//! The kernel's list of connections against ours: what was not heard of, what moves no byte, what is gone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::State;
use crate::firewall::nftables::pinhole::{Phase, Pinhole};
use crate::ids::PinholeId;
use crate::netlink::{Entry, Flow};
use crate::reason::Reason;

/// A connection is missed only when it is this old: before, its first packet may still be on its way.
const YOUNG: Duration = Duration::from_secs(2);

impl State {
    /// Notes from now on what ends while the list is read; false when there is nothing to compare.
    pub(crate) fn begin_sweep(&mut self) -> bool {
        if self.pinholes.is_empty() {
            return false;
        }
        self.ended = Some(HashSet::new());
        true
    }

    /// Whether copies were lost since the last question, so that only a sweep can tell.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// Finds out from the kernel's list what was not heard of, what moves no byte and what is gone.
    pub(crate) fn compare(&mut self, entries: &[Entry], now: Instant) {
        let seen: HashSet<_> = entries.iter().map(|entry| entry.original).collect();
        let ended = self.ended.take().unwrap_or_default();
        for entry in entries.iter().filter(|entry| !ended.contains(&entry.original)) {
            self.look_at(entry, now);
        }
        for (id, reason) in self.missing(&seen, now) {
            self.end(id, None, Some(reason));
        }
        self.inherited.retain(|flow| seen.contains(flow));
    }

    /// One connection of the kernel's list.
    fn look_at(&mut self, entry: &Entry, now: Instant) {
        let flow = entry.original;
        if !self.flows.contains_key(&flow) && !self.inherited.contains(&flow) && !entry.is_over() {
            // The copy of its SYN was lost.
            self.handle_arrival(self.way_of(entry.mark), flow, None);
        }
        let Some(&id) = self.flows.get(&flow) else { return };
        match self.pinholes.get_mut(&id).and_then(|pinhole| find(pinhole, entry, now)) {
            Some(Finding::Over) => self.end(id, None, Some(Reason::CountLost)),
            Some(Finding::Answered) => self.joined(id),
            Some(Finding::Unanswered) => {
                self.bury(flow);
                self.end(id, Some((0, 0)), Some(Reason::DialFailed));
            }
            Some(Finding::Idle) => self.cut(id, Reason::DataIdle),
            None => {}
        }
    }

    /// Connections that the kernel does not know any more, and what that means.
    fn missing(&self, seen: &HashSet<Flow>, now: Instant) -> Vec<(PinholeId, Reason)> {
        let gone = |(flow, id): (&Flow, &PinholeId)| match &self.pinholes.get(id)?.phase {
            Phase::Connected(connection) if !seen.contains(flow) && connection.is_older(now, YOUNG) => {
                Some((*id, if connection.joined { Reason::CountLost } else { Reason::DialFailed }))
            }
            _ => None,
        };
        self.flows.iter().filter_map(gone).collect()
    }
}

/// What the kernel's list tells of a connection.
enum Finding {
    /// It has ended, and the copies of its FINs were lost.
    Over,
    /// The far end has answered, and the copy of that was lost.
    Answered,
    /// The far end has had its time to answer.
    Unanswered,
    /// No byte has moved for too long.
    Idle,
}

/// What `entry` tells of the pinhole's connection that is not known yet.
fn find(pinhole: &mut Pinhole, entry: &Entry, now: Instant) -> Option<Finding> {
    let (patience, limit) = (pinhole.policy.timeouts.connect, pinhole.policy.timeouts.data_idle);
    let moves = pinhole.wanted.is_some();
    let connection = pinhole.connection()?;
    let counted = entry.original_counter.zip(entry.reply_counter);
    let bytes = counted.map(|(original, reply)| original.bytes.saturating_add(reply.bytes));
    let idle = connection.idle(bytes.unwrap_or_default(), now);
    let answered = connection.joined || entry.is_established();
    if entry.is_over() && connection.is_older(now, YOUNG) {
        Some(Finding::Over)
    } else if answered && !connection.joined {
        connection.note_answer();
        Some(Finding::Answered)
    } else if !answered && connection.is_older(now, patience) {
        Some(Finding::Unanswered)
    } else {
        (moves && bytes.is_some() && idle >= limit).then_some(Finding::Idle)
    }
}
