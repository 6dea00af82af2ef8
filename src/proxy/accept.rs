//! From an accepted connection to a running session.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tracing::{Instrument, debug, error, info_span};

use super::dial::dial;
use super::driver::Driver;
use super::leg::{self, Leg};
use super::limits::{Place, SessionCounter};
use super::route::{Arrival, Route, arrival, route};
use super::shared::Shared;
use crate::addr::{Legs, canonical};
use crate::audit::SessionContext;
use crate::config::model::Service;
use crate::ids::SessionId;
use crate::reason::Reason;
use crate::session::{Event, EventKind, Session};
use crate::tls::Terminal;

/// After an error that accepting again at once would only repeat (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a client that is turned away may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// One service as it runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) service: Service,
    /// What packets bear whose source address is not the gateway's.
    pub(super) mark: u32,
    pub(super) sessions: Arc<SessionCounter>,
    /// Its TLS, where the gateway ends the clients'.
    pub(super) terminal: Option<Terminal>,
    pub(super) shared: Arc<Shared>,
}

/// Accepts clients for ever; each gets a task of its own on one of the workers.
pub(super) async fn accept_loop(listener: TcpListener, listen: SocketAddr, running: Arc<Running>) {
    loop {
        match accept(&listener).await {
            Ok((stream, client)) => {
                let session = running.shared.next_session();
                let span = info_span!("session", %session, service = %running.service.name, %client);
                let task = serve(Arc::clone(&running), listen, stream, client, session).instrument(span);
                running.shared.workers.spawn(task);
            }
            Err(error) if is_of_one_connection(&error) => debug!(%error, "client gone before accept"),
            Err(error) => {
                error!(%error, "cannot accept clients");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A client's socket, free of this thread's runtime: its worker takes it into its own.
async fn accept(listener: &TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (stream, client) = listener.accept().await?;
    Ok((stream.into_std()?, canonical(client)))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve(
    running: Arc<Running>,
    listen: SocketAddr,
    stream: std::net::TcpStream,
    client: SocketAddr,
    session: SessionId,
) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return error!(%error, "cannot serve a client"),
    };
    let name = Arc::clone(&running.service.name);
    let context = SessionContext { service: name, session, client, server: None };
    let arrival = match arrival(&running.service, &stream) {
        Ok(arrival) => arrival,
        Err(reason) => return turn_away(&running, &context, stream, reason).await,
    };
    let Some(stream) = data_apart(&running, stream, client, arrival) else { return };
    let admitted = admit(&running, client).and_then(|place| {
        let route = route(&running.service, listen, arrival)?;
        Ok((place, route))
    });
    let (place, Route { reached, servers }) = match admitted {
        Ok(admitted) => admitted,
        Err(reason) => return turn_away(&running, &context, stream, reason).await,
    };
    match dial(&running.service, &servers, client, running.mark).await {
        Ok(upstream) => {
            let implicit = running.service.is_implicit(listen);
            if let Err(error) = run_session(&running, context, (reached, implicit), stream, upstream).await {
                debug!(%error, "a peer was gone before the session began");
            }
        }
        Err(error) => {
            debug!(%error, "cannot reach the server");
            turn_away(&running, &context, stream, Reason::UpstreamUnreachable).await;
        }
    }
    drop(place);
}

/// Hands a data connection of a session that is encrypted from end to end to the backend, where those come by
/// the same listener.
fn data_apart(
    running: &Running,
    stream: TcpStream,
    client: SocketAddr,
    arrival: Arrival,
) -> Option<TcpStream> {
    match running.service.policy.intercepted {
        true => running.shared.backend.enter_range(stream, client, arrival.dialled),
        false => Some(stream),
    }
}

fn admit(running: &Running, client: SocketAddr) -> Result<Place, Reason> {
    let service = &running.service;
    if !service.clients.iter().any(|network| network.contains(&client.ip())) {
        return Err(Reason::ClientNotAllowed);
    }
    running.sessions.enter(client.ip(), &service.policy.limits)
}

/// # Errors
/// One of the sockets is not connected any more.
async fn run_session(
    running: &Running,
    context: SessionContext,
    (reached, implicit): (SocketAddr, bool),
    stream: TcpStream,
    upstream: TcpStream,
) -> io::Result<()> {
    leg::prepare(&upstream)?;
    let (source, server) = (canonical(upstream.local_addr()?), canonical(upstream.peer_addr()?));
    let legs = Legs { client: context.client, reached, source, server };
    let context = SessionContext { server: Some(server), ..context };
    let shared = Arc::clone(&running.shared);
    let begin = if implicit { Session::implicit } else { Session::new };
    let engine = begin(Arc::clone(&running.service.policy), legs, shared.clock.now());
    let keys = running.terminal.as_ref().map(|terminal| Arc::new(terminal.keys(server.ip())));
    Driver::new(shared, context, engine, keys, Leg::new(stream), Leg::new(upstream)).await;
    Ok(())
}

/// Tells the client why and closes.
async fn turn_away(running: &Running, context: &SessionContext, stream: TcpStream, reason: Reason) {
    let event = Event { reason: Some(reason), ..Event::new(EventKind::SessionClosed) };
    running.shared.reporter.report(Some(context), event);
    let text: &[u8] = match reason {
        Reason::ClientNotAllowed => b"421 This service is not for your address.\r\n",
        Reason::NotIntercepted => b"421 Connect to the server, not to the gateway.\r\n",
        Reason::ServerNotAllowed => b"421 This server is not allowed.\r\n",
        Reason::SessionLimit => b"421 Too many connections.\r\n",
        Reason::ClientSessionLimit => b"421 Too many connections from your address.\r\n",
        _ => b"421 The server cannot be reached.\r\n",
    };
    // The socket is fresh, so the text fits; a client that is gone has lost nothing.
    if let Ok(Ok(())) = timeout(REFUSAL_TIME, stream.writable()).await {
        let _ = stream.try_write(text);
    }
}
