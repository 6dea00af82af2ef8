//! The gateway as a whole: listeners, what its sessions share, signals, the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::accept::{Running, accept_loop};
use super::inbox::Message;
use super::leg;
use super::limits::SessionCounter;
use super::report::Reporter;
use super::shared::Shared;
use super::workers::{self, Workers};
use crate::audit::{Audit, AuditError};
use crate::config::model::{Config, Intercept, Service};
use crate::firewall::socket::make_transparent;
use crate::firewall::{Nftables, NftablesError, PinholeBackend, Relay};
use crate::host::{self, Host, HostError};
use crate::reason::Reason;
use crate::session::{Event, EventKind};
use crate::tls::{Terminal, TlsError};

/// Clients that wait for their accept.
const BACKLOG: i32 = 4096;

/// After the drain: for cut sessions to report, and for the last audit records to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listen address cannot be used.
    #[error("service {service} cannot listen on {addr}{}", hint(source))]
    Listen {
        /// The service.
        service: Arc<str>,
        /// The address as configured.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The host lacks what a service needs.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Audit records cannot be written.
    #[error("the audit record cannot be kept")]
    Audit(#[from] AuditError),
    /// Keys, certificates or trust cannot be loaded.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Connections cannot be left to the kernel.
    #[error("the nftables table cannot be set up")]
    Nftables(#[from] NftablesError),
    /// The runtime or a signal handler cannot be set up.
    #[error("the process cannot be set up")]
    Process(#[from] io::Error),
}

fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        // Binding a low port is EACCES.
        _ if source.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            " (intercept: tproxy needs CAP_NET_ADMIN)"
        }
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        io::ErrorKind::AddrInUse => " (another program listens there)",
        io::ErrorKind::AddrNotAvailable => " (no interface of this host has that address)",
        _ => "",
    }
}

/// A running gateway.
pub struct Gateway {
    shared: Arc<Shared>,
    services: Vec<Arc<Running>>,
    accepting: Vec<JoinHandle<()>>,
    drain: Duration,
}

impl Gateway {
    /// Listens for every service of `config` and serves clients from then on. Needs a tokio runtime.
    ///
    /// # Errors
    /// One of the addresses cannot be listened on; then none is.
    pub fn start(config: Config, audit: Audit) -> Result<Self, RunError> {
        Self::start_on(Workers::here(), config, audit)
    }

    /// The same, with the sessions on `workers`.
    fn start_on(workers: Workers, config: Config, audit: Audit) -> Result<Self, RunError> {
        let drain = config.services.iter().map(|service| service.policy.timeouts.drain).max();
        let reporter = Arc::new(Reporter::new(audit));
        let backend = backend(&config, &reporter)?;
        let mark = config.gateway.nftables.mark.socket();
        let shared = Arc::new(Shared::new(reporter, backend, workers));
        let (mut services, mut listeners) = (Vec::new(), Vec::new());
        for service in config.services {
            let (running, listening) = listen_for(service, mark, &shared)?;
            services.push(running);
            listeners.extend(listening);
        }
        let accept = |(listener, addr, running)| tokio::spawn(accept_loop(listener, addr, running));
        let accepting = listeners.into_iter().map(accept).collect();
        shared.reporter.report(None, Event::new(EventKind::GatewayStarted));
        Ok(Self { shared, services, accepting, drain: drain.unwrap_or_default() })
    }

    /// Opens the audit file anew, after rotation.
    pub fn reopen_audit(&self) {
        self.shared.reporter.audit.reopen();
    }

    /// Loads certificates and keys anew, for sessions that begin from now on. A service whose files are not
    /// as they have to be goes on with those it has.
    pub fn reload_certificates(&self) {
        for running in &self.services {
            let name = &running.service.name;
            match running.terminal.as_ref().map(Terminal::reload) {
                None => {}
                Some(Ok(())) => info!(service = %name, "certificates loaded"),
                Some(Err(error)) => error!(service = %name, %error, "certificates stay as they were"),
            }
        }
    }

    /// Accepts nobody any more, lets running transfers finish within the longest `timeouts.drain`,
    /// or until `hurry`, then cuts what is left, but for connections that the kernel forwards. Tells how many of
    /// those still run.
    pub async fn drain(self, hurry: impl Future<Output = ()>) -> usize {
        for task in &self.accepting {
            task.abort();
        }
        let sessions = &self.shared.sessions;
        sessions.tell_all(Message::Drain);
        tokio::select! {
            () = hurry => {}
            _ = timeout(self.drain, sessions.all_gone()) => {}
        }
        self.shared.backend.release();
        sessions.tell_all(Message::Stop);
        if timeout(LAST_WORDS, sessions.all_gone()).await.is_err() {
            warn!("sessions did not end in time");
        }
        let running = self.shared.backend.stop();
        let reporter = &self.shared.reporter;
        reporter.report(None, Event::new(EventKind::GatewayStopped));
        info!(counts = %reporter.counters, "gateway stopped");
        running
    }
}

/// The backend that the services of `config` need.
fn backend(config: &Config, reporter: &Arc<Reporter>) -> Result<Box<dyn PinholeBackend>, RunError> {
    let relay = relay(config.gateway.nftables.mark.socket(), reporter);
    if !config.services.iter().any(Service::needs_table) {
        return Ok(Box::new(relay));
    }
    let reporter = Arc::clone(reporter);
    let on_trouble = move |reason| {
        reporter.report(None, Event { reason: Some(reason), ..Event::new(EventKind::Violation) });
    };
    Ok(Box::new(Nftables::start(config, relay, Arc::new(on_trouble))?))
}

fn relay(mark: u32, reporter: &Arc<Reporter>) -> Relay {
    let reporter = Arc::clone(reporter);
    Relay::new(
        Arc::default(),
        mark,
        Arc::new(move |from: SocketAddr, listen: SocketAddr| {
            let event = Event::new(EventKind::Violation);
            let (from, listen, reason) = (Some(from.ip()), Some(listen), Some(Reason::Stranger));
            reporter.report(None, Event { from, listen, reason, ..event });
        }),
    )
}

type Listening = (TcpListener, SocketAddr, Arc<Running>);

fn listen_for(
    service: Service,
    mark: u32,
    shared: &Arc<Shared>,
) -> Result<(Arc<Running>, Vec<Listening>), RunError> {
    let sessions = Arc::new(SessionCounter::default());
    let terminal = Terminal::of(&service)?;
    let running = Arc::new(Running { service, mark, sessions, terminal, shared: Arc::clone(shared) });
    let service = &running.service;
    let transparent = service.intercept == Intercept::Tproxy;
    let bound = service.listens().map(|addr| {
        let listener = listen(addr, transparent).map_err(|source| RunError::Listen {
            service: Arc::clone(&service.name),
            addr,
            source,
        })?;
        info!(service = %service.name, %addr, "listening");
        Ok((listener, addr, Arc::clone(&running)))
    });
    let bound = bound.collect::<Result<_, RunError>>()?;
    Ok((running, bound))
}

fn listen(addr: SocketAddr, transparent: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.is_ipv6() {
        // IPv4 has listeners of its own, so that each address says what it is.
        socket.set_only_v6(true)?;
    }
    if transparent {
        make_transparent(&socket, addr.ip())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    // Accepted sockets inherit it.
    leg::prepare(&socket)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Runs the gateway until SIGTERM or SIGINT; a second one cuts the drain short. SIGHUP opens the audit
/// file anew.
///
/// # Errors
/// The gateway cannot start, or its last audit records cannot be written.
pub fn run(config: Config) -> Result<(), RunError> {
    raise_descriptor_limit();
    // Before the first thread, which the audit record has.
    host::reduce_privileges(&config)?;
    let audit = Audit::open(&config.gateway.audit)?;
    let mut host = host::prepare(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (workers, threads) = workers::start()?;
    let running = runtime.block_on(serve(workers, config, audit.clone(), &mut host))?;
    drop(threads);
    host.restore(running > 0);
    Ok(audit.close(LAST_WORDS)?)
}

/// Serves until a signal comes; tells how many connections run on in the kernel.
async fn serve(workers: Workers, config: Config, audit: Audit, host: &mut Host) -> Result<usize, RunError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let gateway = Gateway::start_on(workers, config, audit)?;
    host.account()?;
    loop {
        tokio::select! {
            () = stop_signal(&mut terminate, &mut interrupt) => break,
            _ = hang_up.recv() => {
                gateway.reopen_audit();
                gateway.reload_certificates();
            }
        }
    }
    info!("draining; a second signal stops at once");
    Ok(gateway.drain(stop_signal(&mut terminate, &mut interrupt)).await)
}

async fn stop_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// A session takes two descriptors, a transfer two more and its pipe two.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "the limit of open files stays as it is");
    }
}
