//! One session's task: bytes, messages and time in, the engine's outputs out.
//!
//! A future written by hand: it holds the engine, two sockets and one timer, and no buffer while
//! nothing moves, so that an idle session costs little.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep_until};
use tracing::{debug, warn};

use super::inbox::{Inbox, Message};
use super::leg::Leg;
use super::shared::{Clock, Shared};
use crate::audit::SessionContext;
use crate::firewall::DataObserver;
use crate::ids::PinholeId;
use crate::pinhole::{Expectation, OpenError, Opened, Order};
use crate::policy::RangePermit;
use crate::reason::Reason;
use crate::session::{Output, Session, Side};
use crate::time::Timestamp;
use crate::tls::Keys;

/// How long the last words may take to reach a peer that does not close.
const LINGER: Duration = Duration::from_secs(2);

/// Drives a session to its end.
pub(super) struct Driver {
    shared: Arc<Shared>,
    context: SessionContext,
    engine: Session,
    inbox: Arc<Inbox>,
    control: Control,
    /// This leg's handshake begins when everything before it has gone out.
    handshake: Option<Side>,
    timer: Timer,
    over: bool,
}

/// The control connection's two sockets, as far as they are still there.
enum Control {
    Open {
        client: Leg,
        server: Leg,
    },
    /// The last words are on their way; what still comes is read and thrown away, since closing a
    /// socket with unread bytes would take the last words back.
    Closing {
        client: Leg,
        until: Timestamp,
        said: bool,
    },
    Closed,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        context: SessionContext,
        engine: Session,
        keys: Option<Arc<Keys>>,
        client: Leg,
        server: Leg,
    ) -> Self {
        let inbox = Arc::new(Inbox::with_keys(keys));
        shared.sessions.enter(context.session, &inbox);
        let control = Control::Open { client, server };
        let (handshake, timer) = (None, Timer::default());
        let mut driver = Self { shared, context, engine, inbox, control, handshake, timer, over: false };
        driver.perform();
        driver
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Does what the engine wants done.
    fn perform(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match (output, &mut self.control) {
                (Output::ToClient(bytes), Control::Open { client, .. }) => client.queue(&bytes),
                (Output::ToServer(bytes), Control::Open { server, .. }) => server.queue(&bytes),
                (Output::SynchToServer(line), Control::Open { server, .. }) => server.queue_synch(&line),
                (Output::ToClient(_) | Output::ToServer(_) | Output::SynchToServer(_), _) => {}
                (Output::Handshake(side), _) => self.handshake = Some(side),
                (Output::Open(expectation), _) => {
                    let opened = self.open(expectation);
                    self.engine.handle_opened(self.now(), opened);
                }
                (Output::OpenRange(permit), _) => {
                    let opened = self.open_range(permit);
                    self.engine.handle_range(self.now(), opened);
                }
                (Output::Order(pinhole, order), _) => self.shared.backend.order(pinhole, order),
                (Output::Tolerated(tolerance), _) => self.shared.reporter.counters.count_tolerance(tolerance),
                (Output::Record(event), _) => self.shared.reporter.report(Some(&self.context), event),
                (Output::HangUp, _) => self.hang_up(),
                (Output::Over, _) => self.over = true,
            }
        }
    }

    /// Nothing opens that could not be recorded (P8).
    fn open(&self, expectation: Expectation) -> Result<Opened, OpenError> {
        if !self.shared.reporter.audit.can_open() {
            return Err(OpenError::Audit);
        }
        let owner: Arc<dyn DataObserver> = Arc::clone(&self.inbox) as _;
        self.shared.backend.open(expectation, self.engine.policy(), owner)
    }

    /// As [`open`](Self::open).
    fn open_range(&self, permit: RangePermit) -> Result<PinholeId, OpenError> {
        if !self.shared.reporter.audit.can_open() {
            return Err(OpenError::Audit);
        }
        let owner: Arc<dyn DataObserver> = Arc::clone(&self.inbox) as _;
        self.shared.backend.open_range(permit, self.engine.policy(), owner)
    }

    fn hang_up(&mut self) {
        let until = self.now() + LINGER;
        self.control = match std::mem::replace(&mut self.control, Control::Closed) {
            Control::Open { client, mut server } => {
                // Under TLS the server is told as well, if it can be at once.
                let _ = server.poll_shut_down(&mut Context::from_waker(Waker::noop()));
                Control::Closing { client, until, said: false }
            }
            other => other,
        };
    }

    /// Goes on with whatever is ready; says whether anything was.
    fn advance(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = self.receive(cx);
        progress |= match self.control {
            Control::Open { .. } => self.shake_hands(cx) | self.converse(cx),
            Control::Closing { .. } => self.close(cx),
            Control::Closed => false,
        };
        progress | self.keep_time(cx)
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(message) = self.inbox.poll_receive(cx) else {
            return false;
        };
        let now = self.now();
        match message {
            Message::Data(pinhole, event) => self.engine.handle_data(now, pinhole, event),
            Message::Drain => self.engine.handle_drain(now),
            Message::Stop => self.engine.handle_stop(now),
        }
        self.perform();
        true
    }

    /// Has the handshake that the engine wants, when everything before it has gone out.
    fn shake_hands(&mut self, cx: &mut Context<'_>) -> bool {
        let (Some(side), Control::Open { client, server }) = (self.handshake, &mut self.control) else {
            return false;
        };
        let (leg, reason) = match side {
            Side::Client => (client, Reason::ClientTls),
            Side::Server => (server, Reason::UpstreamTls),
        };
        if leg.is_clear() {
            if !leg.is_flushed() {
                return false;
            }
            let Some(keys) = self.inbox.keys().map(Arc::clone) else {
                return self.hands_shaken(side, Err(reason));
            };
            match side {
                Side::Client => leg.begin(|stream| keys.accept_control(stream)),
                Side::Server => leg.begin(|stream| keys.dial_control(stream)),
            }
        }
        let Poll::Ready(result) = leg.poll_handshake(cx) else {
            return false;
        };
        let result = result.map_err(|error| {
            match side {
                Side::Client => debug!(%error, "TLS handshake with the client failed"),
                Side::Server => warn!(%error, "TLS handshake with the server failed"),
            }
            reason
        });
        self.hands_shaken(side, result)
    }

    fn hands_shaken(&mut self, side: Side, result: Result<(), Reason>) -> bool {
        self.handshake = None;
        self.engine.handle_handshake(self.now(), side, result);
        self.perform();
        true
    }

    /// Reads from each peer as long as the engine wants more and the other peer takes what it gets.
    fn converse(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        let Control::Open { client, server } = &mut self.control else {
            return false;
        };
        let engine = &mut self.engine;
        let mut progress = false;
        // The gateway refuses Telnet options to a server that may never read the refusals. Commands do
        // not count: a server that waits for its replies to be read would wait for ever.
        if client.is_flushed() && server.has_room() && engine.wants_server() {
            match server.poll_read(cx, |bytes| engine.handle_server(now, bytes)) {
                Poll::Ready(true) => progress = true,
                Poll::Ready(false) => {
                    engine.handle_server_closed(now);
                    progress = true;
                }
                Poll::Pending => {}
            }
        }
        // An answer of the gateway's own goes back to the client, so that leg has to have room, too.
        if client.is_flushed() && server.is_flushed() && engine.wants_client() {
            match client.poll_read(cx, |bytes| engine.handle_client(now, bytes)) {
                Poll::Ready(true) => progress = true,
                Poll::Ready(false) => {
                    engine.handle_client_closed(now);
                    progress = true;
                }
                Poll::Pending => {}
            }
        }
        if progress {
            self.perform();
        }
        progress | self.flush(cx)
    }

    /// Sends what waits; says whether a leg has taken the last of it, so that its peer may be read.
    fn flush(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        let Control::Open { client, server } = &mut self.control else {
            return false;
        };
        let mut progress = false;
        if !client.is_flushed()
            && let Poll::Ready(end) = client.poll_flush(cx)
        {
            progress = true;
            if end.is_err() {
                self.engine.handle_client_closed(now);
            }
        }
        // A server that takes no more may have said why; reading comes to its end.
        progress |= !server.is_flushed() && server.poll_flush(cx).is_ready();
        self.perform();
        progress
    }

    /// Says the last words, then waits for the client to close, up to [`LINGER`].
    fn close(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.now();
        let Control::Closing { client, until, said } = &mut self.control else {
            return false;
        };
        let mut done = now >= *until;
        if !*said {
            match client.poll_shut_down(cx) {
                Poll::Ready(Ok(())) => *said = true,
                Poll::Ready(Err(_)) => done = true,
                Poll::Pending => {}
            }
        }
        let read = client.poll_read(cx, |_| {});
        done |= read == Poll::Ready(false);
        if done {
            self.control = Control::Closed;
        }
        done || read.is_ready()
    }

    fn keep_time(&mut self, cx: &mut Context<'_>) -> bool {
        let closing = match &self.control {
            Control::Closing { until, .. } => Some(*until),
            _ => None,
        };
        let due = self.engine.poll_timeout().into_iter().chain(closing).min();
        if self.timer.poll(cx, &self.shared.clock, due).is_pending() {
            return false;
        }
        self.engine.handle_timeout(self.now());
        self.perform();
        true
    }
}

/// A timer that is set anew only when it has to ring earlier than it would, or has rung too early:
/// deadlines move with every command.
#[derive(Default)]
struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    rings: Option<Timestamp>,
}

impl Timer {
    /// Ready once `due` has come.
    fn poll(&mut self, cx: &mut Context<'_>, clock: &Clock, due: Option<Timestamp>) -> Poll<()> {
        let Some(due) = due else {
            return Poll::Pending;
        };
        if self.rings.is_none_or(|rings| due < rings) {
            self.set(clock, due);
        }
        while let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            if clock.now() >= due {
                self.rings = None;
                return Poll::Ready(());
            }
            self.set(clock, due);
        }
        Poll::Pending
    }

    fn set(&mut self, clock: &Clock, due: Timestamp) {
        let at = clock.instant(due);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            None => self.sleep = Some(Box::pin(sleep_until(at))),
        }
        self.rings = Some(due);
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while self.advance(cx) {}
        if self.over && matches!(self.control, Control::Closed) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Only a task that dies early leaves pinholes behind; nobody would close them (D10).
        for pinhole in self.engine.pinholes() {
            self.shared.backend.order(pinhole, Order::Close);
        }
        self.shared.sessions.leave(self.context.session);
    }
}
