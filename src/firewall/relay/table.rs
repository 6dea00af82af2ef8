//! Who may connect where: the relay's pinholes, and the listeners that stand for the pending ones.
//!
//! Does: choose the port, hold a listener exactly as long as a pinhole is pending on it. Does not:
//! accept, wait or report. Called by the relay and its [`listener`](super::listener)s under one lock,
//! so that a port is never closed and opened by two at once.

use std::collections::HashMap;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::TcpListener;

use super::connection::Pinhole;
use super::listener::{self, BindError};
use super::range::{Range, Ranges};
use crate::addr::PortSet;
use crate::ids::PinholeId;
use crate::pinhole::{Expectation, Ledger, OpenError, Triple};
use crate::policy::{Policy, TransferMode};

/// All pinholes of a relay.
#[derive(Default)]
pub(super) struct Table {
    /// `None`: another backend has the triple.
    pending: Ledger<Option<Arc<Pinhole>>>,
    listeners: HashMap<SocketAddr, Listening>,
    pinholes: HashMap<PinholeId, Arc<Pinhole>>,
    ranges: Ranges,
}

struct Listening {
    socket: Arc<TcpListener>,
    /// Pinholes pending on it, and ranges that hold it, at least one.
    pending: usize,
}

/// A pinhole whose peer has come.
pub(super) struct Taken {
    pub(super) pinhole: Arc<Pinhole>,
    /// No other pinhole is pending here: the caller has the only handle of the listener now.
    pub(super) last: bool,
}

impl Table {
    /// A triple for `expectation` whose port listens now, with the listener when it is a new one.
    pub(super) fn reserve(
        &mut self,
        expectation: &Expectation,
        policy: &Policy,
    ) -> Result<(Triple, Option<Arc<TcpListener>>), OpenError> {
        let range = match expectation.mode() {
            TransferMode::Active => &policy.active_ports,
            TransferMode::Passive => &policy.passive_ports,
        };
        for triple in self.candidates(expectation, range)?.take(MOST_TRIES) {
            if self.listeners.contains_key(&triple_addr(&triple)) {
                return Ok((triple, None));
            }
            match listener::bind(triple_addr(&triple), policy.transparent) {
                Ok(socket) => return Ok((triple, Some(Arc::new(socket)))),
                Err(BindError::InUse) => {}
                Err(BindError::Failed) => return Err(OpenError::Backend),
            }
        }
        Err(no_free_port(expectation))
    }

    /// Takes a triple for another backend.
    pub(super) fn claim(&mut self, expectation: &Expectation, range: &PortSet) -> Result<Triple, OpenError> {
        let triple = self.candidates(expectation, range)?.next().ok_or_else(|| no_free_port(expectation))?;
        let taken = self.pending.take(triple, None);
        debug_assert!(taken.is_ok(), "a candidate is free");
        Ok(triple)
    }

    /// Gives back a triple that was claimed.
    pub(super) fn unclaim(&mut self, triple: &Triple) {
        if let Some(None) = self.pending.get(triple) {
            self.pending.release(triple);
        }
    }

    /// The free triples for `expectation`, in random order: on the port that it asks for, else on `range`.
    fn candidates<'a>(
        &'a self,
        expectation: &Expectation,
        range: &'a PortSet,
    ) -> Result<impl Iterator<Item = Triple> + 'a, OpenError> {
        let (dialler, listen) = (expectation.permit().dialler(), expectation.permit().listen());
        let random = getrandom::u32().map_err(|error| {
            tracing::error!(%error, "no random numbers");
            OpenError::Backend
        })?;
        let asked = expectation.port.map(|port| Triple { dialler, listen, port });
        let asked_and_free = asked.filter(|triple| self.pending.get(triple).is_none());
        let any = self.pending.candidates(dialler, listen, range, random);
        Ok(asked_and_free.into_iter().chain(any.filter(move |_| asked.is_none())))
    }

    /// Enters `pinhole`, whose triple was just reserved, with the listener that came with it.
    pub(super) fn enter(&mut self, pinhole: Arc<Pinhole>, socket: Option<Arc<TcpListener>>) {
        let addr = triple_addr(&pinhole.triple);
        if let Some(socket) = socket {
            self.listeners.insert(addr, Listening { socket, pending: 0 });
        }
        if let Some(listening) = self.listeners.get_mut(&addr) {
            listening.pending += 1;
        }
        self.pinholes.insert(pinhole.id, Arc::clone(&pinhole));
        let taken = self.pending.take(pinhole.triple, Some(pinhole));
        debug_assert!(taken.is_ok(), "a reserved triple is free");
    }

    /// Listens at every port of `range`; hands out the listeners that are new.
    pub(super) fn open_range(
        &mut self,
        range: Arc<Range>,
    ) -> Result<Vec<(SocketAddr, Arc<TcpListener>)>, OpenError> {
        let (dialler, listen) = (range.permit.dialler(), range.permit.listen());
        if self.ranges.contradict(&range) {
            return Err(OpenError::NoFreePort { dialler, listen });
        }
        if range.is_intercepted() {
            self.ranges.add(range);
            return Ok(Vec::new());
        }
        let mut fresh = Vec::new();
        for (done, addr) in range.addrs().enumerate() {
            match self.listen(addr, range.policy.transparent) {
                Ok(socket) => fresh.extend(socket.map(|socket| (addr, socket))),
                Err(error) => {
                    range.addrs().take(done).for_each(|addr| self.stop_listening(addr));
                    return Err(error);
                }
            }
        }
        self.ranges.add(range);
        Ok(fresh)
    }

    /// Adds to what is pending at `addr`; hands out the listener if it is new.
    fn listen(&mut self, addr: SocketAddr, transparent: bool) -> Result<Option<Arc<TcpListener>>, OpenError> {
        if let Some(listening) = self.listeners.get_mut(&addr) {
            listening.pending += 1;
            return Ok(None);
        }
        // A range that lacks a port would lose a transfer now and then.
        let socket = Arc::new(listener::bind(addr, transparent).map_err(|_| range_unusable(addr))?);
        self.listeners.insert(addr, Listening { socket: Arc::clone(&socket), pending: 1 });
        Ok(Some(socket))
    }

    /// Closes the range `id`; says whether there was one. Connections that have come go on.
    pub(super) fn close_range(&mut self, id: PinholeId) -> bool {
        let Some(range) = self.ranges.remove(id) else { return false };
        if !range.is_intercepted() {
            range.addrs().for_each(|addr| self.stop_listening(addr));
        }
        true
    }

    /// The pinhole `id`, pending or connected.
    pub(super) fn get(&self, id: PinholeId) -> Option<&Arc<Pinhole>> {
        self.pinholes.get(&id)
    }

    /// Whether `socket` still listens at `addr` on the relay's behalf.
    pub(super) fn listens(&self, addr: SocketAddr, socket: &Arc<TcpListener>) -> bool {
        self.listeners.get(&addr).is_some_and(|listening| Arc::ptr_eq(&listening.socket, socket))
    }

    /// The pinhole of the peer that connected to `socket`, no longer pending, or a new one called `id` in a
    /// range; `None`: a stranger.
    pub(super) fn connect(
        &mut self,
        triple: &Triple,
        socket: &Arc<TcpListener>,
        id: impl FnOnce() -> PinholeId,
    ) -> Option<Taken> {
        if !self.listens(triple_addr(triple), socket) {
            return None;
        }
        if self.pending.get(triple).is_none_or(Option::is_none) {
            return Some(Taken { pinhole: self.enter_range(triple, id())?, last: false });
        }
        let pinhole = self.pending.release(triple)??;
        Some(Taken { last: self.leave(triple_addr(triple)).is_some(), pinhole })
    }

    /// The new pinhole `id` of a connection at `triple` in a range; `None`: it is in none.
    pub(super) fn enter_range(&mut self, triple: &Triple, id: PinholeId) -> Option<Arc<Pinhole>> {
        let pinhole = self.ranges.enter(id, triple)?;
        self.pinholes.insert(pinhole.id, Arc::clone(&pinhole));
        Some(pinhole)
    }

    /// Takes `id` back if it is pending. With the last one its port stops listening at once.
    pub(super) fn revoke(&mut self, id: PinholeId) {
        let Some(triple) = self.pinholes.get(&id).map(|pinhole| pinhole.triple) else { return };
        let pending = self.pending.get(&triple).and_then(Option::as_ref);
        if pending.is_none_or(|pending| pending.id != id) {
            return;
        }
        self.pending.release(&triple);
        self.pinholes.remove(&id);
        self.stop_listening(triple_addr(&triple));
    }

    /// Forgets a pinhole that has ended.
    pub(super) fn forget(&mut self, id: PinholeId) {
        self.pinholes.remove(&id);
    }

    /// One pinhole less is pending at `addr`, which stops listening with the last one.
    fn stop_listening(&mut self, addr: SocketAddr) {
        if let Some(socket) = self.leave(addr) {
            // The accept task holds the socket, too: this stops it listening and wakes that task.
            if let Err(error) = SockRef::from(&*socket).shutdown(Shutdown::Both) {
                tracing::error!(listen = %addr, %error, "cannot stop listening");
            }
        }
    }

    /// One pinhole less is pending at `addr`; hands out the listener after the last one.
    fn leave(&mut self, addr: SocketAddr) -> Option<Arc<TcpListener>> {
        let listening = self.listeners.get_mut(&addr)?;
        listening.pending -= 1;
        if listening.pending > 0 {
            return None;
        }
        self.listeners.remove(&addr).map(|listening| listening.socket)
    }
}

fn no_free_port(expectation: &Expectation) -> OpenError {
    let permit = expectation.permit();
    OpenError::NoFreePort { dialler: permit.dialler(), listen: permit.listen() }
}

fn range_unusable(addr: SocketAddr) -> OpenError {
    tracing::error!(listen = %addr, "a port of tls.data_ports cannot be had, so no encrypted session can");
    OpenError::Backend
}

fn triple_addr(triple: &Triple) -> SocketAddr {
    SocketAddr::new(triple.listen, triple.port)
}

/// Ports that are tried when other programs hold them.
const MOST_TRIES: usize = 64;
