//! The configuration as meant: every default filled in, every value checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use rustls::pki_types::ServerName;

use super::rules::ServiceRule;
use super::tests::RuleTest;
use crate::policy::{DataPath, Policy};

/// A whole rules file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The `gateway:` section.
    pub gateway: Gateway,
    /// The services, in the order of the file; at least one, names unique.
    pub services: Vec<Service>,
    /// The rules, in the order of the file; each service has its own compiled.
    pub rules: Vec<ServiceRule>,
    /// What is expected of them.
    pub tests: Vec<RuleTest>,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gateway {
    /// Where audit records go.
    pub audit: AuditSink,
    /// What is logged, and how.
    pub log: LogSettings,
    /// The gateway's own nftables table.
    pub nftables: Nftables,
}

/// Where audit records go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AuditSink {
    /// `{stdout: true}`, the default: JSON lines on standard output.
    #[default]
    Stdout,
    /// `{file: PATH}`: JSON lines appended to a file; SIGHUP opens it anew.
    File(PathBuf),
    /// `{journald: true}`: the systemd journal.
    Journald,
}

/// The `log:` section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The form.
    pub format: LogFormat,
}

/// Log levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// The operator must act.
    Error,
    /// A peer misbehaved.
    Warn,
    /// Sessions and pinholes begin and end.
    #[default]
    Info,
    /// Control lines.
    Debug,
    /// Everything.
    Trace,
}

/// Log forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people, on standard error.
    #[default]
    Text,
    /// JSON lines on standard error.
    Json,
    /// The systemd journal.
    Journald,
}

/// The gateway's own nftables table, used where a service intercepts or has `data_path: nftables`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nftables {
    /// Its name, in family inet.
    pub table: String,
    /// Who guards the servers.
    pub integration: Integration,
    /// How the gateway's connections are marked.
    pub mark: Mark,
    /// What becomes of the table when the gateway stops.
    pub on_stop: OnStop,
}

impl Default for Nftables {
    fn default() -> Self {
        Self {
            table: "ftp_pinhole".to_owned(),
            integration: Integration::Standalone,
            mark: Mark::default(),
            on_stop: OnStop::Remove,
        }
    }
}

/// Who keeps uninvited connections from the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integration {
    /// The gateway's own table: nothing new reaches the named servers but through the gateway.
    Standalone,
    /// The administrator's own ruleset, which accepts the mark; the gateway's table only marks.
    Cooperative,
}

/// What becomes of the table when the gateway stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// It is removed.
    Remove,
    /// It stays, and with it the servers stay shut.
    Keep,
}

/// The gateway's bits in the marks of packets and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    value: u32,
    mask: u32,
}

impl Mark {
    /// `value` under `mask`; `None` unless `value` has a bit, lies within `mask` and leaves exactly two bits
    /// of it free, which say the directions that payload may take.
    pub fn new(value: u32, mask: u32) -> Option<Self> {
        let valid = value != 0 && value & !mask == 0 && (mask & !value).count_ones() == 2;
        valid.then_some(Self { value, mask })
    }

    /// What marks a connection as the gateway's.
    pub fn value(self) -> u32 {
        self.value
    }

    /// Every bit that the gateway touches.
    pub fn mask(self) -> u32 {
        self.mask
    }

    /// What marks a socket that the gateway dials with, where it has the client's address. Another value than
    /// that of packets which come in, since policy routing turns those to the gateway itself.
    pub fn socket(self) -> u32 {
        self.value | self.low()
    }

    /// The lower of the two bits beside the value.
    pub fn low(self) -> u32 {
        let free = self.mask & !self.value;
        free & free.wrapping_neg()
    }

    /// The higher of the two bits beside the value.
    pub fn high(self) -> u32 {
        self.mask & !self.value & !self.low()
    }
}

impl Default for Mark {
    fn default() -> Self {
        Self { value: 0x8000_0000, mask: 0xe000_0000 }
    }
}

/// Where a service's servers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Behind the gateway.
    Reverse,
    /// Anywhere; its clients are behind the gateway.
    Forward,
}

/// How clients reach the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intercept {
    /// They connect to it.
    Listen,
    /// They dial the server; nftables redirects them to a port of the gateway.
    Redirect,
    /// They dial the server; TPROXY hands them to the gateway's socket.
    Tproxy,
}

/// The address that the server sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The gateway's own.
    Gateway,
    /// The client's.
    Client,
}

/// A place in a rules file: the file, the line and the column, and the key. What stands there does not depend on it,
/// so that one place equals another.
#[derive(Debug, Clone, Eq)]
pub struct Where(pub String);

impl PartialEq for Where {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that the rules file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The file.
    pub path: PathBuf,
    /// Where it is named.
    pub place: Where,
}

/// What `tls: {mode: terminate}` needs besides the [`Policy`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// Certificates for clients, at least one.
    pub certificates: Vec<CertificateFiles>,
    /// Where clients begin with TLS (implicit FTPS).
    pub implicit_listen: Vec<SocketAddr>,
    /// The oldest version for clients.
    pub min_version: TlsVersion,
    /// The newest version for clients, not older than that.
    pub max_version: TlsVersion,
    /// Whether clients have to show a certificate.
    pub client_certificates: ClientCertificates,
    /// Who signs clients' certificates; there where they are looked at.
    pub client_ca: Option<NamedFile>,
    /// TLS towards the server, where there is any.
    pub upstream: Option<UpstreamSettings>,
}

/// A certificate chain and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, then those that sign it.
    pub chain: NamedFile,
    /// The private key.
    pub key: NamedFile,
    /// The names that clients may call the server by; empty: those that stand in the certificate.
    pub names: Vec<String>,
}

/// TLS towards the server.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamSettings {
    /// Whom to take for the server.
    pub trust: Trust,
    /// Its name, for SNI and for its certificate; `None`: its address.
    pub name: Option<ServerName<'static>>,
    /// What the gateway shows to it.
    pub certificate: Option<CertificateFiles>,
    /// The newest version.
    pub max_version: TlsVersion,
}

/// Whom to take for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whose certificate one of these signed, for its name.
    Authorities(NamedFile),
    /// Whose certificate is one of these.
    Pins(Vec<Pin>),
    /// `insecure-none`: anyone.
    Anyone,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The first of a PEM file.
    File(NamedFile),
    /// By the SHA-256 of its DER form.
    Fingerprint([u8; 32]),
}

/// Versions of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Whether clients have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    None,
    /// They are asked; one that is shown has to be good.
    Request,
    /// They have to.
    Require,
}

/// One service: clients on one side, a server on the other, and what may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name, as it stands in logs, metrics and records.
    pub name: Arc<str>,
    /// Where its servers are.
    pub role: Role,
    /// How clients reach the gateway.
    pub intercept: Intercept,
    /// The address that the server sees.
    pub source: Source,
    /// Where clients connect, or are sent to when they are intercepted; at least one.
    pub listen: Vec<SocketAddr>,
    /// The server's addresses; at least one, none in [`Role::Forward`]. The first of the client's family is
    /// tried first.
    pub upstream: Vec<SocketAddr>,
    /// Who may connect; in [`Role::Forward`]: whose connections are taken.
    pub clients: Vec<IpNet>,
    /// [`Role::Forward`]: which servers they may reach.
    pub servers: Vec<IpNet>,
    /// [`Role::Forward`]: the gateway's addresses towards servers, at most one of each family; by route where
    /// there is none.
    pub outside_address: Vec<IpAddr>,
    /// Its TLS, where the gateway ends the clients'.
    pub tls: Option<Tls>,
    /// What the engine goes by.
    pub policy: Arc<Policy>,
}

impl Service {
    /// Every address where clients connect.
    pub fn listens(&self) -> impl Iterator<Item = SocketAddr> {
        let implicit = self.tls.iter().flat_map(|tls| &tls.implicit_listen);
        self.listen.iter().chain(implicit).copied()
    }

    /// Whether clients that connect to `listen` begin with TLS.
    pub fn is_implicit(&self, listen: SocketAddr) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.implicit_listen.contains(&listen))
    }

    /// Whether it needs the gateway's nftables table.
    pub fn needs_table(&self) -> bool {
        self.policy.transparent || self.policy.data_path == DataPath::Nftables
    }
}
