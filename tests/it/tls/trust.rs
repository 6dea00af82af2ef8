//! Whether the server is the one that is meant, and what data connections to it resume.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use ftp_pinhole::reason::Reason;
use ftp_pinhole::tls::Keys;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, server};

use super::{ANY_VERSION, session};
use crate::pki::{Issued, Pki, TLS13, provider};

type Server = server::TlsStream<DuplexStream>;

/// The server's end of a control connection that stands.
async fn dialled(keys: &Arc<Keys>, config: &Arc<ServerConfig>) -> io::Result<Server> {
    let (near, far) = duplex(1 << 16);
    let accepted = TlsAcceptor::from(Arc::clone(config)).accept(far);
    let (gateway, server) = tokio::join!(Arc::clone(keys).dial_control(near), accepted);
    let (mut gateway, mut server) = (gateway?, server?);
    // Tickets come along.
    server.write_all(b"220").await?;
    server.flush().await?;
    gateway.read_exact(&mut [0; 3]).await?;
    Ok(server)
}

async fn dialled_for_data(keys: &Keys, config: &Arc<ServerConfig>) -> Result<Server, Reason> {
    let (near, far) = duplex(1 << 16);
    let accepted = TlsAcceptor::from(Arc::clone(config)).accept(far);
    let (gateway, server) = tokio::join!(keys.dial_data(near), accepted);
    let (mut gateway, mut server) = (gateway?, server.unwrap());
    server.write_all(b"data").await.unwrap();
    server.flush().await.unwrap();
    gateway.read_exact(&mut [0; 4]).await.unwrap();
    Ok(server)
}

/// Whether a server with `own` is taken for the one of these lines.
async fn takes(pki: &Pki, lines: &str, own: &Issued) -> bool {
    let keys = session(pki, &format!("upstream_tls: explicit\n{lines}"));
    dialled(&keys, &Arc::new(pki.server(ANY_VERSION, own, false))).await.is_ok()
}

fn fingerprint(issued: &Issued) -> String {
    digest(&SHA256, &issued.certificate).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn d34_a_server_is_known_by_its_authority_and_its_name() {
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let (good, addressed) = (pki.issue("s", &["ftp.internal"]), pki.issue("a", &["192.0.2.5"]));
    let forged = elsewhere.issue("s", &["ftp.internal", "192.0.2.5"]);
    let named = "upstream_ca: DIR/ca.pem\nupstream_name: ftp.internal";
    assert!(takes(&pki, named, &good).await);
    assert!(!takes(&pki, named, &addressed).await);
    assert!(!takes(&pki, named, &forged).await);
    // Without a name it is the address that stands in the certificate.
    assert!(takes(&pki, "upstream_ca: DIR/ca.pem", &addressed).await);
    assert!(!takes(&pki, "upstream_ca: DIR/ca.pem", &good).await);
}

#[tokio::test]
async fn d34_a_server_is_known_by_its_pin_whoever_signed_it() {
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let (good, other) = (elsewhere.issue("s", &["whatever"]), elsewhere.issue("o", &["whatever"]));
    std::fs::copy(elsewhere.path("s.pem"), pki.path("s.pem")).unwrap();
    let hex = fingerprint(&good);
    for pin in
        ["DIR/s.pem".to_owned(), format!("\"sha256:{hex}\""), format!("[DIR/ca.pem, \"sha256:{hex}\"]")]
    {
        assert!(takes(&pki, &format!("upstream_pin: {pin}"), &good).await, "{pin}");
        assert!(!takes(&pki, &format!("upstream_pin: {pin}"), &other).await, "{pin}");
    }
}

#[tokio::test]
async fn anyone_is_the_server_where_the_rules_say_so() {
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    assert!(takes(&pki, "upstream_verify: insecure-none", &elsewhere.issue("s", &["whatever"])).await);
}

/// Shows a certificate whose key it does not have.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn d34_a_pinned_certificate_without_its_key_is_nobody() {
    let pki = Pki::new();
    let (good, own) = (pki.issue("s", &["whatever"]), pki.issue("o", &["whatever"]));
    let key = provider().key_provider.load_private_key(own.key()).unwrap();
    let impostor = Impostor(Arc::new(CertifiedKey::new(vec![good.certificate.clone()], key)));
    for max_version in ["1.2", "1.3"] {
        for trust in ["upstream_pin: DIR/s.pem", "upstream_verify: insecure-none"] {
            let lines = format!("upstream_tls: explicit\n{trust}\nupstream_max_version: \"{max_version}\"");
            let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(ANY_VERSION);
            let config = config.unwrap().with_no_client_auth();
            let config = config.with_cert_resolver(Arc::new(Impostor(Arc::clone(&impostor.0))));
            assert!(dialled(&session(&pki, &lines), &Arc::new(config)).await.is_err(), "{lines}");
        }
    }
}

#[tokio::test]
async fn the_gateway_shows_the_server_its_own_certificate() {
    let pki = Pki::new();
    let (server, own) = (pki.issue("s", &["192.0.2.5"]), pki.issue("own", &["gateway"]));
    let config = Arc::new(pki.server(ANY_VERSION, &server, true));
    let trust = "upstream_tls: implicit\nupstream_ca: DIR/ca.pem";
    let shown = format!("{trust}\nupstream_certificate: DIR/own.pem\nupstream_key: DIR/own.key");
    let server = dialled(&session(&pki, &shown), &config).await.unwrap();
    assert_eq!(server.get_ref().1.peer_certificates().unwrap()[0], own.certificate);
    assert!(dialled(&session(&pki, trust), &config).await.is_err());
}

#[tokio::test]
async fn max_version_is_the_newest_that_is_offered() {
    let pki = Pki::new();
    let server = pki.issue("s", &["192.0.2.5"]);
    for (line, version) in [
        ("", Some(ProtocolVersion::TLSv1_2)),
        ("upstream_max_version: \"1.2\"", Some(ProtocolVersion::TLSv1_2)),
        ("upstream_max_version: \"1.3\"", Some(ProtocolVersion::TLSv1_3)),
    ] {
        let keys = session(&pki, &format!("upstream_tls: explicit\nupstream_ca: DIR/ca.pem\n{line}"));
        let server = dialled(&keys, &Arc::new(pki.server(ANY_VERSION, &server, false))).await.unwrap();
        assert_eq!(server.get_ref().1.protocol_version(), version, "{line}");
    }
    let keys = session(&pki, "upstream_tls: explicit\nupstream_ca: DIR/ca.pem");
    assert!(dialled(&keys, &Arc::new(pki.server(&[&TLS13], &server, false))).await.is_err());
}

#[tokio::test]
async fn d35_data_to_the_server_resumes_its_control_connection_every_time() {
    let pki = Pki::new();
    let server = pki.issue("s", &["192.0.2.5"]);
    for version in ["1.2", "1.3"] {
        let trust = "upstream_tls: explicit\nupstream_ca: DIR/ca.pem";
        let keys = session(&pki, &format!("{trust}\nupstream_max_version: \"{version}\""));
        let config = Arc::new(pki.server(ANY_VERSION, &server, false));
        dialled(&keys, &config).await.unwrap();
        for _ in 0..12 {
            let data = dialled_for_data(&keys, &config).await.unwrap();
            assert_eq!(data.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version}");
        }
    }
}

#[tokio::test]
async fn d35_sessions_do_not_resume_each_other_at_the_server() {
    let pki = Pki::new();
    let config = Arc::new(pki.server(ANY_VERSION, &pki.issue("s", &["192.0.2.5"]), false));
    for _ in 0..2 {
        let keys = session(&pki, "upstream_tls: explicit\nupstream_ca: DIR/ca.pem");
        let server = dialled(&keys, &config).await.unwrap();
        assert_ne!(server.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[tokio::test]
async fn data_of_another_server_is_refused() {
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let good = Arc::new(pki.server(ANY_VERSION, &pki.issue("s", &["192.0.2.5"]), false));
    let forged = elsewhere.issue("s", &["192.0.2.5"]);
    let keys = session(&pki, "upstream_tls: explicit\nupstream_ca: DIR/ca.pem");
    dialled(&keys, &good).await.unwrap();
    let (near, far) = duplex(1 << 16);
    let forged = TlsAcceptor::from(Arc::new(elsewhere.server(ANY_VERSION, &forged, false)));
    let (refused, _) = tokio::join!(keys.dial_data(near), forged.accept(far));
    assert_eq!(refused.err(), Some(Reason::UpstreamDataTls));
}

#[tokio::test]
async fn data_before_the_servers_tls_is_refused() {
    let pki = Pki::new();
    let (near, _far) = duplex(1 << 16);
    let keys = session(&pki, "upstream_tls: as-client\nupstream_ca: DIR/ca.pem");
    assert_eq!(keys.dial_data(near).await.err(), Some(Reason::UpstreamDataTls));
}
