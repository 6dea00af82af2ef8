//! TLS of both legs, control and data: keys, certificates, trust, and the sessions that data connections
//! resume (RFC 4217, RFC 5246, RFC 8446).
//!
//! Does: load what a service's `tls:` names, load it anew, and have handshakes over streams that the caller
//! has. Does not: know FTP, decide when TLS begins, or move payload. Called by `proxy` for control
//! connections and by the relay for data connections; `cli` loads to check.
//!
//! Each session has a ticket key and a ticket store of its own. So a handshake that resumes proves that its
//! peer knows the secret of that session's control connection, in TLS 1.2 and 1.3 alike.

mod certificates;
mod error;
mod files;
mod keys;
mod store;
mod terminal;
mod trust;

pub use error::TlsError;
pub use keys::Keys;
pub use terminal::Terminal;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one provider of cryptography. AES with keys of 128 bits comes first: nobody can tell the difference but by
/// the time it takes.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !format!("{:?}", suite.suite()).contains("AES_128"));
    Arc::new(provider)
});

fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
