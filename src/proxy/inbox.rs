//! What others have to say to a session's task, in the order of its arrival.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::firewall::DataObserver;
use crate::ids::PinholeId;
use crate::pinhole::DataEvent;
use crate::tls::Keys;

/// A message to a session's task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// The firewall backend reports on a pinhole.
    Data(PinholeId, DataEvent),
    /// End as soon as no transfer runs.
    Drain,
    /// End now.
    Stop,
}

/// A session's inbox: a fraction of the memory that a channel would take, since it is empty most of
/// the time. The session's pinholes bound what it holds.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    keys: Option<Arc<Keys>>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    waker: Option<Waker>,
}

impl Inbox {
    /// The inbox of a session with these keys.
    pub(super) fn with_keys(keys: Option<Arc<Keys>>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// The session's TLS, where its service has any.
    pub(super) fn keys(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref()
    }

    pub(super) fn send(&self, message: Message) {
        let waker = {
            let mut state = self.lock();
            state.messages.push_back(message);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn poll_receive(&self, cx: &Context<'_>) -> Poll<Message> {
        let mut state = self.lock();
        if let Some(message) = state.messages.pop_front() {
            return Poll::Ready(message);
        }
        state.messages = VecDeque::new();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// A push or a pop cannot leave the state half done, so a poisoned lock is as good as another.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataObserver for Inbox {
    fn notify(&self, pinhole: PinholeId, event: DataEvent) {
        self.send(Message::Data(pinhole, event));
    }

    fn keys(&self) -> Option<&Keys> {
        self.keys.as_deref()
    }
}
