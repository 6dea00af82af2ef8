//! Certificates that live as long as a test: one authority, the gateway's, the server's, and what a test
//! adds.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::route::Family;
use crate::server::open_to_all;

/// An authority and the files that it has made.
pub struct Pki {
    dir: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// Makes an authority, and certificates called `gateway` and `server` for their addresses.
    pub fn new(dir: &Path) -> Self {
        let mut params = named("Authority", Vec::new());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, key()).expect("the parameters are complete");
        let pki = Self { dir: dir.to_owned(), authority };
        pki.write("authority.pem", &pki.authority.pem());
        pki.issue("gateway", &[Family::V4.gateway_ip().to_string()]);
        pki.issue("server", &[Family::V4.server_ip().to_string()]);
        pki
    }

    /// Makes a certificate for these names and addresses: `NAME.pem`, `NAME.key`, and `NAME.both`. One of that
    /// name is replaced.
    pub fn issue(&self, name: &str, names: &[String]) {
        let key = key();
        let params = named(name, names.to_vec());
        let certificate = params.signed_by(&key, &self.authority).expect("the parameters are complete");
        let (chain, key) = (certificate.pem(), key.serialize_pem());
        self.write(&format!("{name}.pem"), &chain);
        self.write(&format!("{name}.key"), &key);
        self.write(&format!("{name}.both"), &format!("{chain}{key}"));
    }

    /// Where a file lies.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::write(&path, text).expect("the test's directory takes files");
        open_to_all(&path, 0o600);
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("the machine has random numbers")
}

fn named(name: &str, names: Vec<String>) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("names are ASCII");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
