//! The configuration as meant: every default filled in, every value checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::policy::Policy;

/// A whole rules file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The `gateway:` section.
    pub gateway: Gateway,
    /// The services, in the order of the file; at least one, names unique.
    pub services: Vec<Service>,
}

/// What concerns the process as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gateway {
    /// Where audit records go.
    pub audit: AuditSink,
    /// What is logged, and how.
    pub log: LogSettings,
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

/// One service: clients on one side, a server on the other, and what may pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name, as it stands in logs, metrics and records.
    pub name: Arc<str>,
    /// Where clients connect; at least one.
    pub listen: Vec<SocketAddr>,
    /// The server's addresses; at least one. The first of the client's family is tried first.
    pub upstream: Vec<SocketAddr>,
    /// Who may connect.
    pub clients: Vec<IpNet>,
    /// What the engine goes by.
    pub policy: Arc<Policy>,
}
