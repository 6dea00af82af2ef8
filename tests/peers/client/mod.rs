//! The clients: how each is told to do an operation.

mod curl;
mod ftplib;
mod inetutils;
mod lftp;
mod ncftp;
mod wget;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

pub use curl::CURL;
pub use ftplib::FTPLIB;
pub use inetutils::INETUTILS;
pub use lftp::LFTP;
pub use ncftp::NCFTP;
pub use wget::WGET;

use crate::operation::Operation;
use crate::route::{Family, Setup};
use crate::server::{Entry, Login};

/// A client program.
pub struct Client {
    pub name: &'static str,
    /// What must be installed.
    pub programs: &'static [&'static str],
    /// The set-up commands that it can be made to use in a family.
    pub setups: fn(Family) -> &'static [Setup],
    /// The command for a job; `None` when the client cannot do it.
    pub call: fn(&Job) -> Option<Call>,
}

/// What a client is to do, and where.
pub struct Job {
    pub operation: Operation,
    pub setup: Setup,
    pub address: SocketAddr,
    pub login: Login,
    /// For clients that know TLS.
    pub tls: Option<Security>,
}

/// How a client protects its connections.
#[derive(Debug, Clone)]
pub struct Security {
    pub entry: Entry,
    pub version: Version,
    pub protection: Protection,
    /// Who signs the gateway's certificate, a PEM file.
    pub authority: PathBuf,
}

/// The one version of TLS that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1_2,
    V1_3,
}

/// What a client asks for by PROT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    Private,
    Clear,
}

impl Job {
    /// The host as it stands in a URL.
    fn host(&self) -> String {
        match self.address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }
    }

    /// The URL of a name in the directory in which the session starts.
    fn url(&self, name: &str) -> String {
        format!("{}://{}/{}", self.scheme(), self.address, percent(name))
    }

    fn scheme(&self) -> &'static str {
        match &self.tls {
            Some(Security { entry: Entry::Implicit, .. }) => "ftps",
            _ => "ftp",
        }
    }
}

/// A command line, run in the client's directory.
pub struct Call {
    pub program: &'static str,
    pub args: Vec<String>,
    /// Standard input.
    pub input: String,
}

impl Call {
    fn of<'a>(program: &'static str, args: impl IntoIterator<Item = &'a str>) -> Self {
        Self { program, args: args.into_iter().map(str::to_owned).collect(), input: String::new() }
    }

    fn and<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(str::to_owned));
        self
    }

    fn input(mut self, input: String) -> Self {
        self.input = input;
        self
    }
}

/// Escapes all but the unreserved characters of a URL.
fn percent(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(escape).collect()
}
