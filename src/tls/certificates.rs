//! Which certificate a client is shown.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::{DnsName, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{TlsError, files};
use crate::config::model::CertificateFiles;

/// A service's certificates, in the order of the rules file.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Certificate>);

#[derive(Debug)]
struct Certificate {
    key: Arc<CertifiedKey>,
    /// The names that it answers to; empty: those that stand in it.
    names: Vec<String>,
}

impl Certificates {
    pub(super) fn load(files: &[CertificateFiles]) -> Result<Self, TlsError> {
        let load = |files: &CertificateFiles| {
            Ok(Certificate { key: files::certified_key(files)?, names: files.names.clone() })
        };
        files.iter().map(load).collect::<Result<_, _>>().map(Self)
    }
}

impl ResolvesServerCert for Certificates {
    /// A client that names nobody gets the first certificate that it can use, one that names somebody else
    /// gets none: a page that was lured here does not get to speak (ALPACA, CVE-2021-3618).
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |certificate: &&Certificate| {
            certificate.key.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let named =
            |certificate: &&Certificate| hello.server_name().is_none_or(|name| certificate.answers_to(name));
        let found = self.0.iter().filter(named).find(usable);
        if found.is_none() {
            tracing::debug!(name = hello.server_name(), "no certificate for a client");
        }
        found.map(|certificate| Arc::clone(&certificate.key))
    }
}

impl Certificate {
    fn answers_to(&self, name: &str) -> bool {
        if self.names.is_empty() {
            return self.holds(name);
        }
        self.names.iter().any(|pattern| matches(pattern, name))
    }

    /// Whether `name` stands in the certificate (RFC 6125).
    fn holds(&self, name: &str) -> bool {
        let parsed = self.key.end_entity_cert().and_then(ParsedCertificate::try_from);
        match (parsed, DnsName::try_from(name)) {
            (Ok(parsed), Ok(name)) => verify_server_name(&parsed, &ServerName::DnsName(name)).is_ok(),
            _ => false,
        }
    }
}

/// Whether `name` is `pattern`; a `*` stands for the first label.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => name.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain)),
        None => name.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches("ftp.example.com", "FTP.example.com"));
        assert!(matches("*.example.com", "ftp.Example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "a.b.example.com"));
        assert!(!matches("ftp.example.com", "www.example.com"));
    }
}
