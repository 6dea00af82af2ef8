//! Whether the server is the one that is meant.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::{TlsError, files, provider};
use crate::config::model::{Pin, Trust};

/// The verifier that `trust` asks for.
pub(super) fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    match trust {
        Trust::Authorities(file) => {
            let roots = files::authorities(file)?;
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
            Ok(verifier.map_err(|error| TlsError::new(file, error))?)
        }
        Trust::Pins(pins) => {
            let fingerprints = pins.iter().map(fingerprint).collect::<Result<_, _>>()?;
            Ok(Arc::new(Pinned { fingerprints: Some(fingerprints) }))
        }
        Trust::Anyone => Ok(Arc::new(Pinned { fingerprints: None })),
    }
}

fn fingerprint(pin: &Pin) -> Result<Fingerprint, TlsError> {
    match pin {
        Pin::Fingerprint(fingerprint) => Ok(*fingerprint),
        Pin::File(file) => {
            let first = files::certificates(file)?.into_iter().next();
            Ok(first.map(|certificate| sha256(&certificate)).unwrap_or_default())
        }
    }
}

/// SHA-256 of a certificate.
type Fingerprint = [u8; 32];

fn sha256(certificate: &CertificateDer<'_>) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(digest(&SHA256, certificate).as_ref());
    fingerprint
}

/// Takes certificates by their fingerprint, whoever signed them and however old they are.
#[derive(Debug)]
struct Pinned {
    /// `None`: any certificate (`insecure-none`).
    fingerprints: Option<Vec<Fingerprint>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let known = |pins: &Vec<Fingerprint>| pins.contains(&sha256(certificate));
        match self.fingerprints.as_ref().is_none_or(known) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
