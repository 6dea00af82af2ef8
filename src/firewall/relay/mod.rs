//! The relay backend: accepts the one expected peer on a gateway port, dials the other side and moves
//! the bytes with splice(2).
//!
//! Does: open, narrow and close pinholes, without privilege unless a policy is transparent. Does not: decide anything; the engine's
//! orders do. Nothing listens without a pending pinhole, so nothing is left after `kill -9`. Called by
//! the proxy, within a tokio runtime. RFC 959 section 3.2.
//!
//! A port has one accept task, which turns into the data connection's task when no other pinhole is
//! pending there: the usual transfer costs one task.

mod connection;
mod listener;
mod orders;
mod pipe;
mod protected;
mod pump;
mod range;
mod table;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use connection::Pinhole;
use orders::Orders;
use pipe::Pipes;
use range::Range;
use table::Table;

use tokio::net::TcpStream;

use super::{DataObserver, PinholeBackend};
use crate::addr::PortSet;
use crate::ids::PinholeId;
use crate::pinhole::{Expectation, OpenError, Opened, Order, Triple};
use crate::policy::{Policy, RangePermit};

/// Is told who connected without a pinhole (`from`) and where (`listen`); never blocks. At most eight
/// times per listener.
pub type OnStranger = Arc<dyn Fn(SocketAddr, SocketAddr) + Send + Sync>;

/// The relay. Its methods must be called within a tokio runtime with IO and time.
pub struct Relay {
    shared: Arc<Shared>,
}

/// What the relay's tasks share.
struct Shared {
    ids: Arc<AtomicU64>,
    mark: u32,
    on_stranger: OnStranger,
    pipes: Pipes,
    table: Mutex<Table>,
}

impl Shared {
    fn next_id(&self) -> PinholeId {
        PinholeId(self.ids.fetch_add(1, Relaxed) + 1)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nobody panics with the lock held")
    }
}

impl Relay {
    /// A relay with nothing open. `ids` holds the last pinhole id given away; backends that work side
    /// by side share it. `mark` (not 0) is what packets of transparent connections bear.
    pub fn new(ids: Arc<AtomicU64>, mark: u32, on_stranger: OnStranger) -> Self {
        let (pipes, table) = (Pipes::new(pipe::MOST_BYTES), Mutex::default());
        Self { shared: Arc::new(Shared { ids, mark, on_stranger, pipes, table }) }
    }

    /// A name that no other pinhole has.
    pub(super) fn next_id(&self) -> PinholeId {
        self.shared.next_id()
    }

    /// Takes a free triple of `ports` for a pinhole that another backend opens, so that no two are alike.
    ///
    /// # Errors
    /// None is free, or there are no random numbers.
    pub(super) fn claim(&self, expectation: &Expectation, ports: &PortSet) -> Result<Triple, OpenError> {
        self.shared.table().claim(expectation, ports)
    }

    /// Gives a claimed triple back.
    pub(super) fn unclaim(&self, triple: &Triple) {
        self.shared.table().unclaim(triple);
    }
}

impl PinholeBackend for Relay {
    fn open(
        &self,
        expectation: Expectation,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<Opened, OpenError> {
        let mut table = self.shared.table();
        let (triple, socket) = table.reserve(&expectation, policy)?;
        let opened = Opened { id: self.next_id(), port: triple.port, relayed: None };
        let (policy, orders) = (Arc::clone(policy), Orders::default());
        table.enter(
            Arc::new(Pinhole { id: opened.id, triple, expectation, policy, owner, orders }),
            socket.clone(),
        );
        drop(table);
        if let Some(socket) = socket {
            let listen = SocketAddr::new(triple.listen, triple.port);
            tokio::spawn(listener::serve(Arc::clone(&self.shared), socket, listen));
        }
        Ok(opened)
    }

    fn open_range(
        &self,
        permit: RangePermit,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<PinholeId, OpenError> {
        let range = Arc::new(Range { id: self.next_id(), permit, policy: Arc::clone(policy), owner });
        let id = range.id;
        let fresh = self.shared.table().open_range(range)?;
        for (listen, socket) in fresh {
            tokio::spawn(listener::serve(Arc::clone(&self.shared), socket, listen));
        }
        Ok(id)
    }

    fn enter_range(&self, stream: TcpStream, from: SocketAddr, dialled: SocketAddr) -> Option<TcpStream> {
        let triple = Triple { dialler: from.ip(), listen: dialled.ip(), port: dialled.port() };
        let entered = self.shared.table().enter_range(&triple, self.next_id());
        let Some(pinhole) = entered else { return Some(stream) };
        tokio::spawn(pinhole.carry(Arc::clone(&self.shared), stream));
        None
    }

    fn order(&self, pinhole: PinholeId, order: Order) {
        let mut table = self.shared.table();
        if order == Order::Close && table.close_range(pinhole) {
            return;
        }
        let Some(found) = table.get(pinhole).map(Arc::clone) else { return };
        if order == Order::Close {
            table.revoke(pinhole);
        }
        drop(table);
        found.orders.give(order);
    }
}
