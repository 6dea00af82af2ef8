//! FTPS in namespaces: real servers and clients, with certificates that live as long as a test.

mod blind;
mod capture;
mod client;
mod terminate;
mod vsftpd;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::server::open_to_all;

/// How long something unexpected has time to happen.
const QUIET: Duration = Duration::from_millis(400);

/// A certificate and its key in files of their own.
struct Certificate {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes one that nobody else has signed.
    fn new(dir: &Path, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("the name is a host name");
        let write = |ending: &str, text: &str| {
            let path = dir.join(format!("{name}.{ending}"));
            fs::write(&path, text).expect("the test's directory takes files");
            open_to_all(&path, 0o600);
            path
        };
        Self { chain: write("pem", &made.cert.pem()), key: write("key", &made.signing_key.serialize_pem()) }
    }
}
