//! What every session shares: the clock, the backend, the record, and the list of sessions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::Instant as TokioInstant;

use super::inbox::{Inbox, Message};
use super::report::Reporter;
use super::workers::Workers;
use crate::firewall::PinholeBackend;
use crate::ids::SessionId;
use crate::time::Timestamp;

/// What every session shares.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) reporter: Arc<Reporter>,
    pub(super) backend: Box<dyn PinholeBackend>,
    pub(super) sessions: Registry,
    pub(super) workers: Workers,
    next: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl Shared {
    /// The clock starts now.
    pub(super) fn new(reporter: Arc<Reporter>, backend: Box<dyn PinholeBackend>, workers: Workers) -> Self {
        Self {
            clock: Clock(Instant::now()),
            reporter,
            backend,
            sessions: Registry::default(),
            workers,
            next: AtomicU64::new(1),
        }
    }

    pub(super) fn next_session(&self) -> SessionId {
        SessionId(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The time since the gateway started, as the engines count it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn now(self) -> Timestamp {
        Timestamp::from_origin(self.0.elapsed())
    }

    pub(super) fn instant(self, at: Timestamp) -> TokioInstant {
        (self.0 + at.since_origin()).into()
    }
}

/// The sessions that run, to be told about the end.
#[derive(Debug, Default)]
pub(super) struct Registry {
    members: Mutex<Members>,
    empty: Notify,
}

#[derive(Debug, Default)]
struct Members {
    inboxes: HashMap<SessionId, Arc<Inbox>>,
    /// What those are told that come later: they were still dialling when the end began.
    told: Option<Message>,
}

impl Registry {
    pub(super) fn enter(&self, session: SessionId, inbox: &Arc<Inbox>) {
        let mut members = self.lock();
        members.inboxes.insert(session, Arc::clone(inbox));
        if let Some(message) = members.told {
            inbox.send(message);
        }
    }

    pub(super) fn leave(&self, session: SessionId) {
        let mut members = self.lock();
        members.inboxes.remove(&session);
        if members.inboxes.is_empty() {
            self.empty.notify_one();
        }
    }

    pub(super) fn tell_all(&self, message: Message) {
        let mut members = self.lock();
        members.told = Some(message);
        for inbox in members.inboxes.values() {
            inbox.send(message);
        }
    }

    pub(super) async fn all_gone(&self) {
        while !self.lock().inboxes.is_empty() {
            self.empty.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
