//! One service's TLS, as loaded from its files.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use super::certificates::Certificates;
use super::{Keys, TlsError, files, provider, trust};
use crate::config::model::{ClientCertificates, Service, Tls, TlsVersion, UpstreamSettings};
use crate::policy::DataTls;

/// TLS 1.3 tickets that a control connection hands out. Clients that use each once have so many uploads in a row:
/// only data connections that they read bring more. rustls as a client keeps no more than these.
const TICKETS: usize = 8;

/// One service's certificates, keys and trust. New sessions take what was loaded last.
#[derive(Debug)]
pub struct Terminal {
    settings: Tls,
    data: DataTls,
    loaded: RwLock<Loaded>,
}

/// What is alike in every session.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    /// Towards clients.
    pub(super) accept: Arc<ServerConfig>,
    /// Towards the server, where there is TLS.
    pub(super) dial: Option<Arc<ClientConfig>>,
}

impl Terminal {
    /// Loads what `service` names; `None`: it does not end its clients' TLS.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it has to be.
    pub fn of(service: &Service) -> Result<Option<Self>, TlsError> {
        let (Some(settings), Some(policy)) = (&service.tls, service.policy.tls.terminate()) else {
            return Ok(None);
        };
        let loaded = RwLock::new(Loaded::load(settings)?);
        Ok(Some(Self { settings: settings.clone(), data: policy.data, loaded }))
    }

    /// Loads the files anew, for sessions that begin from now on.
    ///
    /// # Errors
    /// As [`of`](Self::of); then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = Loaded::load(&self.settings)?;
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The keys of a new session with `server`.
    pub fn keys(&self, server: IpAddr) -> Keys {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone();
        let named = self.settings.upstream.as_ref().and_then(|upstream| upstream.name.clone());
        Keys::new(loaded, named.unwrap_or_else(|| ServerName::from(server)), self.data)
    }
}

impl Loaded {
    fn load(settings: &Tls) -> Result<Self, TlsError> {
        let dial = settings.upstream.as_ref().map(dial_config).transpose()?;
        Ok(Self { accept: accept_config(settings)?, dial })
    }
}

fn accept_config(settings: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates = Certificates::load(&settings.certificates)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(settings.min_version, settings.max_version))
        .expect("the provider has both versions")
        .with_client_cert_verifier(client_verifier(settings)?)
        .with_cert_resolver(Arc::new(certificates));
    config.ignore_client_order = true;
    config.alpn_protocols = vec![b"ftp".to_vec()];
    config.send_tls13_tickets = TICKETS;
    Ok(Arc::new(config))
}

fn client_verifier(settings: &Tls) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (Some(file), false) = (&settings.client_ca, settings.client_certificates == ClientCertificates::None)
    else {
        return Ok(WebPkiClientVerifier::no_client_auth());
    };
    let mut builder = WebPkiClientVerifier::builder_with_provider(files::authorities(file)?, provider());
    if settings.client_certificates == ClientCertificates::Request {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| TlsError::new(file, error))
}

fn dial_config(upstream: &UpstreamSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions(TlsVersion::V1_2, upstream.max_version))
        .expect("the provider has both versions")
        .dangerous()
        .with_custom_certificate_verifier(trust::verifier(&upstream.trust)?);
    let config = match &upstream.certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = files::certified_key(own)?;
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
        }
    };
    Ok(Arc::new(config))
}

fn versions(oldest: TlsVersion, newest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match (oldest, newest) {
        (TlsVersion::V1_2, TlsVersion::V1_3) => ANY_VERSION,
        (TlsVersion::V1_2, TlsVersion::V1_2) => V1_2_ALONE,
        (TlsVersion::V1_3, _) => V1_3_ALONE,
    }
}

static ANY_VERSION: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static V1_2_ALONE: &[&SupportedProtocolVersion] = &[&TLS12];
static V1_3_ALONE: &[&SupportedProtocolVersion] = &[&TLS13];
