//! The nftables backend: the kernel accepts, translates and forwards data connections, each through a pinhole
//! of one use; their bytes never enter user space.
//!
//! Does: install the gateway's table, open and shut pinholes in it, hear from header copies who came and how
//! much was moved, notice when the table or a copy is lost. Hands what the kernel cannot do to the [`Relay`]:
//! legs of two families, a peer on this host, a server that dials before it replies to PORT. Does not: decide
//! anything; the engine's orders do. Called by the proxy. RFC 959 section 3.2.

mod connection;
mod elements;
mod error;
mod helper;
mod pinhole;
pub mod ruleset;
mod state;
mod table;
mod watch;

use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;
use tokio::net::TcpStream;

use super::{DataObserver, PinholeBackend, Relay};
use crate::addr::Family;
use crate::config::{Config, OnStop};
use crate::ids::PinholeId;
use crate::netlink::HeaderLog;
use crate::pinhole::{DataEvent, Expectation, OpenError, Opened, Order};
use crate::policy::{DataPath, Policy, RangePermit, TransferMode};
use crate::reason::Reason;

pub use error::NftablesError;

use elements::Spec;
use pinhole::Pinhole;
use state::State;
use table::Table;

/// Is told when something is wrong with the table; never blocks.
pub type OnTrouble = Arc<dyn Fn(Reason) + Send + Sync>;

/// The backend. Its methods must be called within a tokio runtime, because of the relay.
pub struct Nftables {
    shared: Arc<Shared>,
    on_stop: OnStop,
    watch: Mutex<Option<JoinHandle<()>>>,
}

/// What the backend and its thread share.
struct Shared {
    relay: Arc<Relay>,
    table: Table,
    on_trouble: OnTrouble,
    state: Mutex<State>,
    local: LocalAddresses,
    stop: watch::Stop,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not keep gates open here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nftables {
    /// Installs the table for `config` and watches it from then on. `relay` carries what the kernel cannot.
    ///
    /// # Errors
    /// Something that the table needs is missing, or another gateway or a kernel FTP helper is in its way.
    pub fn start(config: &Config, relay: Relay, on_trouble: OnTrouble) -> Result<Self, NftablesError> {
        let settings = &config.gateway.nftables;
        let (group, log) = bind_log()?;
        let relay = Arc::new(relay);
        let table = Table::reserve(&settings.table, ruleset::render(config, group))?;
        helper::refuse(&table::ruleset()?, &helper::ports(config))?;
        table.install()?;
        let name = settings.table.clone();
        Self::watch(config, table, relay, log, on_trouble).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = table::remove(&name);
        })
    }

    /// Everything behind the table.
    fn watch(
        config: &Config,
        table: Table,
        relay: Arc<Relay>,
        log: HeaderLog,
        on_trouble: OnTrouble,
    ) -> Result<Self, NftablesError> {
        let settings = &config.gateway.nftables;
        let state = State::new(&settings.table, settings.mark, log, Arc::clone(&relay))?;
        let shared = Arc::new(Shared {
            relay,
            table,
            on_trouble,
            state: Mutex::new(state),
            local: LocalAddresses::new()?,
            stop: watch::Stop::new()?,
        });
        let timeouts = config.services.iter().map(|service| service.policy.timeouts);
        let watch = watch::start(Arc::clone(&shared), timeouts)?;
        Ok(Self { shared, on_stop: settings.on_stop, watch: Mutex::new(Some(watch)) })
    }

    fn open_passive(
        &self,
        expectation: &Expectation,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<Opened, OpenError> {
        let relay = &self.shared.relay;
        let triple = relay.claim(expectation, &policy.passive_ports)?;
        let spec = Spec::new(expectation, policy, triple.port);
        let id = relay.next_id();
        let pinhole = Pinhole::open(spec, policy, owner);
        self.shared.state().open(id, pinhole).inspect_err(|_| relay.unclaim(&triple))?;
        Ok(Opened { id, port: triple.port, relayed: None })
    }

    /// Why the kernel cannot forward this data connection.
    fn unfit(&self, expectation: &Expectation) -> Option<Reason> {
        let (dialler, far) = (expectation.permit().dialler(), expectation.permit().to().ip());
        if expectation.terminated {
            return Some(Reason::RelayedTls);
        }
        if Family::of(dialler) != Family::of(far) {
            return Some(Reason::RelayedFamily);
        }
        let local = &self.shared.local;
        (local.holds(far) || local.holds(dialler)).then_some(Reason::RelayedLocal)
    }

    /// The relay holds the port until the server has agreed: a server that dials before it replies is taken
    /// in by the relay, and then the relay carries that connection.
    fn reserve(
        &self,
        expectation: Expectation,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<Opened, OpenError> {
        let early: Arc<dyn DataObserver> =
            Arc::new(Early { shared: Arc::clone(&self.shared), owner: Arc::clone(&owner) });
        let draft = Spec::new(&expectation, policy, 0);
        // Held from before the port listens: nobody may come before the pinhole is known.
        let mut state = self.shared.state();
        let opened = self.shared.relay.open(expectation, policy, early)?;
        state.enter(opened.id, Pinhole::reserved(draft.on_port(opened.port), policy, owner));
        drop(state);
        Ok(opened)
    }
}

impl PinholeBackend for Nftables {
    fn open(
        &self,
        expectation: Expectation,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<Opened, OpenError> {
        let relay = &self.shared.relay;
        if policy.data_path == DataPath::Relay {
            return relay.open(expectation, policy, owner);
        }
        if let Some(why) = self.unfit(&expectation) {
            let opened = relay.open(expectation, policy, owner)?;
            return Ok(Opened { relayed: Some(why), ..opened });
        }
        match expectation.mode() {
            TransferMode::Passive => self.open_passive(&expectation, policy, owner),
            TransferMode::Active => self.reserve(expectation, policy, owner),
        }
    }

    /// The relay carries the connections. Where clients dial the server's address, they are intercepted.
    fn open_range(
        &self,
        permit: RangePermit,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<PinholeId, OpenError> {
        let relay = &self.shared.relay;
        let pair = (permit.dialler(), permit.listen());
        let id = relay.open_range(permit, policy, owner)?;
        if policy.intercepted {
            let opened = self.shared.state().open_range(id, pair);
            opened.inspect_err(|_| relay.order(id, Order::Close))?;
        }
        Ok(id)
    }

    fn enter_range(&self, stream: TcpStream, from: SocketAddr, dialled: SocketAddr) -> Option<TcpStream> {
        self.shared.relay.enter_range(stream, from, dialled)
    }

    fn order(&self, pinhole: PinholeId, order: Order) {
        self.shared.state().order(pinhole, order);
    }

    fn release(&self) {
        self.shared.state().release();
    }

    fn stop(&self) -> usize {
        let watch = self.watch.lock().expect("nobody panics with the lock held").take();
        let Some(watch) = watch else { return 0 };
        self.shared.stop.now();
        // A thread that panicked is at its end, too.
        let _ = watch.join();
        let running = self.shared.state().wind_up();
        let done = match (self.on_stop, running) {
            (OnStop::Keep, _) => Ok(()),
            (OnStop::Remove, 0) => self.shared.table.remove(),
            (OnStop::Remove, _) => {
                tracing::warn!(
                    running,
                    "transfers go on in the kernel; the table stays, with what they need"
                );
                self.shared.table.reduce()
            }
        };
        if let Err(error) = done {
            tracing::error!(error = &error as &(dyn Error + 'static), "the table is not as it should be");
        }
        running
    }
}

impl Drop for Nftables {
    /// A gateway that did not get as far as to run leaves behind what `on_stop` says.
    fn drop(&mut self) {
        self.stop();
    }
}

/// Stands between the relay and the session as long as the kernel may come first.
struct Early {
    shared: Arc<Shared>,
    owner: Arc<dyn DataObserver>,
}

impl DataObserver for Early {
    fn notify(&self, pinhole: PinholeId, event: DataEvent) {
        let ours = match event {
            DataEvent::Connected { .. } => self.shared.state().hand_to_relay(pinhole),
            _ => self.shared.state().is_relayed(pinhole),
        };
        match event {
            // The kernel has let one in already.
            DataEvent::Connected { from } if !ours => {
                self.shared.relay.order(pinhole, Order::Close);
                self.owner.notify(pinhole, DataEvent::SecondConnection { from });
            }
            _ if ours => self.owner.notify(pinhole, event),
            _ => {}
        }
        if ours && matches!(event, DataEvent::Closed(_)) {
            self.shared.state().forget(pinhole);
        }
    }
}

/// This host's addresses, whose packets do not come by where the kernel forwards.
struct LocalAddresses(Mutex<HashSet<IpAddr>>);

impl LocalAddresses {
    fn new() -> io::Result<Self> {
        Ok(Self(Mutex::new(addresses()?)))
    }

    /// Whether `ip` is one of them.
    fn holds(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.lock().contains(&ip)
    }

    /// Addresses may have changed.
    fn refresh(&self) {
        match addresses() {
            Ok(addresses) => *self.lock() = addresses,
            Err(error) => tracing::error!(%error, "cannot list the addresses of this host"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn addresses() -> io::Result<HashSet<IpAddr>> {
    let ip = |storage: SockaddrStorage| match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => Some(IpAddr::V4(v4.ip())),
        (_, Some(v6)) => Some(IpAddr::V6(v6.ip())),
        _ => None,
    };
    Ok(getifaddrs()?.filter_map(|interface| ip(interface.address?)).collect())
}

/// The first free of a few log groups: gateways with tables of their own can live side by side.
fn bind_log() -> Result<(u16, HeaderLog), NftablesError> {
    const LAST_GROUP: u16 = ruleset::FIRST_GROUP + 15;
    const HEADERS: u32 = 120;
    let mut group = ruleset::FIRST_GROUP;
    loop {
        match HeaderLog::bind(group, HEADERS) {
            Ok(log) => return Ok((group, log)),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && group < LAST_GROUP => group += 1,
            Err(error) => return Err(NftablesError::Log(error)),
        }
    }
}
