//! PEM files: certificates, keys, and authorities.

use std::fs;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{TlsError, provider};
use crate::config::model::{CertificateFiles, NamedFile};

/// The largest PEM file, in bytes: 1 MiB.
const MOST_BYTES: u64 = 1 << 20;

/// The certificates of a file, at least one.
pub(super) fn certificates(file: &NamedFile) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| TlsError::new(file, not_pem(&error)))?;
    if found.is_empty() {
        return Err(TlsError::new(file, "holds no certificate (allowed: PEM)"));
    }
    Ok(found)
}

/// A certificate chain with its private key.
pub(super) fn certified_key(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(&files.chain)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            TlsError::new(&files.key, "holds no private key (allowed: PEM, without a passphrase)")
        }
        error => TlsError::new(&files.key, not_pem(&error)),
    })?;
    let key = CertifiedKey::from_der(chain, key, &provider());
    key.map(Arc::new).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::new(&files.key, format!("is not the key of {}", files.chain.path.display()))
        }
        error => TlsError::new(&files.key, error),
    })
}

/// The authorities of a file.
pub(super) fn authorities(file: &NamedFile) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| TlsError::new(file, error))?;
    }
    Ok(Arc::new(roots))
}

fn read(file: &NamedFile) -> Result<Vec<u8>, TlsError> {
    let found = fs::metadata(&file.path).map_err(|error| TlsError::new(file, error))?;
    if !found.is_file() {
        // Reading a pipe or a device may never end.
        return Err(TlsError::new(file, "is not a file"));
    }
    if found.len() > MOST_BYTES {
        return Err(TlsError::new(file, format_args!("is larger than {MOST_BYTES} bytes")));
    }
    fs::read(&file.path).map_err(|error| TlsError::new(file, error))
}

fn not_pem(error: &pem::Error) -> String {
    format!("is not PEM: {error}")
}
