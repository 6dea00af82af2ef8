//! The TLS of one session: its control connection's handshakes, and its data connections', tied to them.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, CommonState, HandshakeKind, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::store::Store;
use super::terminal::Loaded;
use crate::pinhole::Direction;
use crate::policy::DataTls;
use crate::reason::Reason;

/// Sessions of TLS 1.2 that are kept for clients without tickets: the control connection's, and what data
/// connections that could not resume made of it.
const SESSION_IDS: usize = 4;

/// TLS 1.3 tickets that a data connection to the client hands out, one for the next.
const DATA_TICKETS: usize = 1;

/// The TLS of one session.
#[derive(Debug)]
pub struct Keys {
    loaded: Loaded,
    name: ServerName<'static>,
    data: DataTls,
    client: OnceLock<Client>,
    server: OnceLock<Arc<ClientConfig>>,
}

/// The client's leg, once TLS runs on it.
#[derive(Debug)]
struct Client {
    config: ServerConfig,
    certificates: Option<Vec<CertificateDer<'static>>>,
}

impl Keys {
    pub(super) fn new(loaded: Loaded, name: ServerName<'static>, data: DataTls) -> Self {
        Self { loaded, name, data, client: OnceLock::new(), server: OnceLock::new() }
    }

    /// Has the handshake of the client's control connection.
    ///
    /// # Errors
    /// It failed, or there are no random numbers.
    pub async fn accept_control<S: Stream>(self: Arc<Self>, stream: S) -> io::Result<TlsStream<S>> {
        let mut config = ServerConfig::clone(&self.loaded.accept);
        config.ticketer = Ticketer::new().map_err(io::Error::other)?;
        config.session_storage = ServerSessionMemoryCache::new(SESSION_IDS);
        let stream = TlsAcceptor::from(Arc::new(config.clone())).accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates().map(<[_]>::to_vec);
        // There is one control connection, and so one handshake that sets it.
        let _ = self.client.set(Client { config, certificates });
        Ok(stream.into())
    }

    /// Has the handshake with the server on its control connection.
    ///
    /// # Errors
    /// It failed, or the server is not the one that is meant.
    pub async fn dial_control<S: Stream>(self: Arc<Self>, stream: S) -> io::Result<TlsStream<S>> {
        let mut config = ClientConfig::clone(self.loaded.dial.as_ref().ok_or(io::ErrorKind::Unsupported)?);
        config.resumption = Resumption::store(Arc::new(Store::default()));
        let config = Arc::new(config);
        let stream = TlsConnector::from(Arc::clone(&config)).connect(self.name.clone(), stream).await?;
        let _ = self.server.set(config);
        Ok(stream.into())
    }

    /// Has the handshake of a data connection of the client, who is the TLS client whoever dialled
    /// (RFC 4217 section 7). The bytes will go in `direction`.
    ///
    /// # Errors
    /// It failed, or the connection has not in common with the control connection what it has to have.
    pub async fn accept_data<S: Stream>(
        &self,
        stream: S,
        direction: Direction,
    ) -> Result<TlsStream<S>, Reason> {
        let client = self.client.get().ok_or(Reason::DataTls)?;
        let mut config = client.config.clone();
        config.alpn_protocols.push(b"ftp-data".to_vec());
        config.send_tls13_tickets = match direction {
            // Clients that only send close without having read a ticket; the reset that this makes takes back
            // what is still on its way.
            Direction::ToServer => 0,
            Direction::ToClient | Direction::Both => DATA_TICKETS,
        };
        let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.map_err(|error| {
            tracing::debug!(%error, "TLS handshake of a client's data connection failed");
            Reason::DataTls
        })?;
        let tls: &CommonState = stream.get_ref().1;
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        let same =
            || client.certificates.is_some() && tls.peer_certificates() == client.certificates.as_deref();
        match self.data {
            DataTls::ResumeRequired if !resumed => Err(Reason::DataNotResumed),
            DataTls::SameCertificate if !resumed && !same() => Err(Reason::DataCertificate),
            _ => Ok(stream.into()),
        }
    }

    /// Has the handshake with the server on a data connection; it resumes the control connection's session.
    ///
    /// # Errors
    /// It failed.
    pub async fn dial_data<S: Stream>(&self, stream: S) -> Result<TlsStream<S>, Reason> {
        let config = self.server.get().ok_or(Reason::UpstreamDataTls)?;
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(self.name.clone(), stream).await.map_err(|error| {
            tracing::debug!(%error, "TLS handshake of the server's data connection failed");
            Reason::UpstreamDataTls
        })?;
        tracing::debug!(kind = ?stream.get_ref().1.handshake_kind(), "the server's data connection is protected");
        Ok(stream.into())
    }
}

/// What TLS can run over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
