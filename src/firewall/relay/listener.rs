//! A gateway port while pinholes are pending on it: who connects is let in, cut or reported.
//!
//! Does: accept, tell the expected peer from a stranger, become the task of the data connection when
//! it was the last one expected. Does not: choose ports or touch payload. Called by the relay, one
//! task per listening port.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::Shared;
use super::connection::{Pinhole, cut};
use super::table::Taken;
use crate::addr::canonical;
use crate::firewall::socket::make_transparent;
use crate::pinhole::{DataEvent, Triple};

/// Why a port does not listen.
pub(super) enum BindError {
    /// Another program holds it.
    InUse,
    /// Something else; it is in the log.
    Failed,
}

/// Listens at `addr`, which need not be the host's when `transparent`. Connections of earlier pinholes on
/// the same port do not hinder.
pub(super) fn bind(addr: SocketAddr, transparent: bool) -> Result<TcpListener, BindError> {
    try_bind(addr, transparent).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse,
        _ => {
            tracing::error!(listen = %addr, %error, "cannot listen");
            BindError::Failed
        }
    })
}

fn try_bind(addr: SocketAddr, transparent: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if transparent {
        make_transparent(&socket, addr.ip())?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts on `socket`, which listens at `listen`, until no pinhole is pending there.
pub(super) async fn serve(shared: Arc<Shared>, mut socket: Arc<TcpListener>, listen: SocketAddr) {
    let mut door = Door { shared, listen, recent: Vec::new(), reported: 0 };
    while let Some((stream, from)) = door.accept(&socket).await {
        match door.admit(socket, stream, from) {
            (Some(rest), entry) => {
                socket = rest;
                if let Some(entry) = entry {
                    tokio::spawn(entry.pinhole.carry(Arc::clone(&door.shared), entry.stream));
                }
            }
            (None, entry) => {
                let shared = Arc::clone(&door.shared);
                drop(door);
                if let Some(entry) = entry {
                    entry.pinhole.carry(shared, entry.stream).await;
                }
                return;
            }
        }
    }
}

/// An expected peer's connection.
struct Entry {
    pinhole: Arc<Pinhole>,
    stream: TcpStream,
}

/// What one listener remembers of who came.
struct Door {
    shared: Arc<Shared>,
    listen: SocketAddr,
    /// Peers that were let in last, at most [`MOST_RECENT`].
    recent: Vec<(IpAddr, Weak<Pinhole>)>,
    /// Strangers and second connections that were reported.
    reported: u8,
}

impl Door {
    /// The next connection; `None` when the relay has closed this listener.
    async fn accept(&self, socket: &Arc<TcpListener>) -> Option<(TcpStream, SocketAddr)> {
        loop {
            match socket.accept().await {
                Ok((stream, from)) => return Some((stream, canonical(from))),
                Err(_) if !self.shared.table().listens(self.listen, socket) => return None,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(listen = %self.listen, %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets an expected peer in and turns everybody else away. Gives `socket` back while pinholes
    /// are pending on it; otherwise it is closed, after whoever had already connected was seen to.
    fn admit(
        &mut self,
        socket: Arc<TcpListener>,
        stream: TcpStream,
        from: SocketAddr,
    ) -> (Option<Arc<TcpListener>>, Option<Entry>) {
        let triple = Triple { dialler: from.ip(), listen: self.listen.ip(), port: self.listen.port() };
        let shared = Arc::clone(&self.shared);
        let mut table = shared.table();
        let Some(Taken { pinhole, last }) = table.connect(&triple, &socket, || shared.next_id()) else {
            drop(table);
            self.turn_away(stream, from);
            return (Some(socket), None);
        };
        // Under the lock: whoever opens this port next must not find it in use.
        let late = if last { drain(&socket) } else { Vec::new() };
        let socket = (!last).then_some(socket);
        drop(table);
        self.remember(&pinhole);
        pinhole.tell(DataEvent::Connected { from });
        for (stream, from) in late {
            self.turn_away(stream, from);
        }
        (socket, Some(Entry { pinhole, stream }))
    }

    /// Resets a connection that no pinhole is for, and reports it.
    fn turn_away(&mut self, stream: TcpStream, from: SocketAddr) {
        cut(&stream);
        drop(stream);
        if self.reported >= MOST_REPORTS {
            return;
        }
        let recent = self.recent.iter().rev().find(|(ip, _)| *ip == from.ip());
        if let Some(pinhole) = recent.and_then(|(_, pinhole)| pinhole.upgrade()) {
            self.reported += 1;
            tracing::debug!(pinhole = %pinhole.id, %from, listen = %self.listen, "second connection cut");
            return pinhole.tell(DataEvent::SecondConnection { from });
        }
        tracing::debug!(%from, listen = %self.listen, "stranger cut");
        self.reported += 1;
        (self.shared.on_stranger)(from, self.listen);
    }

    /// Remembers whose pinhole was taken, as long as its connection lives.
    fn remember(&mut self, pinhole: &Arc<Pinhole>) {
        if self.recent.len() >= MOST_RECENT {
            self.recent.retain(|(_, pinhole)| pinhole.strong_count() > 0);
        }
        if self.recent.len() >= MOST_RECENT {
            self.recent.remove(0);
        }
        self.recent.push((pinhole.triple.dialler, Arc::downgrade(pinhole)));
    }
}

/// The connections that wait in the backlog of a listener that is about to close.
fn drain(socket: &TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let mut context = Context::from_waker(Waker::noop());
    let mut next = || match socket.poll_accept(&mut context) {
        Poll::Ready(Ok((stream, from))) => Some((stream, canonical(from))),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    };
    std::iter::from_fn(&mut next).take(BACKLOG.unsigned_abs().try_into().unwrap_or(usize::MAX)).collect()
}

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Peers remembered by one listener.
const MOST_RECENT: usize = 64;
/// Strangers and second connections reported by one listener, so that a flood cannot fill the audit queue.
const MOST_REPORTS: u8 = 8;
/// Pause after accept failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
