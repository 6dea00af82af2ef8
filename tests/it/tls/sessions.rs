//! Data connections are tied to their control connection, and to no other (D35, RFC 4217 section 10.2).

use std::sync::Arc;

use ftp_pinhole::pinhole::Direction;
use ftp_pinhole::reason::Reason;
use ftp_pinhole::tls::Keys;
use rustls::ClientConfig;
use tokio::io::duplex;
use tokio_rustls::TlsConnector;

use super::{
    Client, FIRST, VERSIONS, accepted, exchange, is_resumed, load, new_session, server_name, session,
};
use crate::pki::Pki;

const NAME: &str = "ftp.example.com";

/// A data connection to this client, as far as the gateway takes it.
async fn data(keys: &Keys, config: &ClientConfig, name: &str) -> Result<Client, Reason> {
    data_in(keys, config, name, Direction::ToClient).await
}

async fn data_in(
    keys: &Keys,
    config: &ClientConfig,
    name: &str,
    direction: Direction,
) -> Result<Client, Reason> {
    let (near, far) = duplex(1 << 16);
    let dialled = TlsConnector::from(Arc::new(config.clone())).connect(server_name(name), far);
    let (gateway, client) = tokio::join!(keys.accept_data(near, direction), dialled);
    let mut client = client.expect("the refusal comes behind the handshake");
    exchange(&mut gateway?, &mut client).await.unwrap();
    Ok(client)
}

#[tokio::test]
async fn d35_data_that_resumes_is_taken_again_and_again() {
    let pki = Pki::new();
    for version in VERSIONS {
        let (keys, config) = (session(&pki, ""), pki.client(&[version], None));
        assert!(!is_resumed(&accepted(&keys, config.clone(), NAME).await.unwrap()));
        for _ in 0..12 {
            assert!(is_resumed(&data(&keys, &config, NAME).await.unwrap()), "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_uses_each_ticket_once_has_eight_uploads_in_a_row() {
    let pki = Pki::new();
    let (keys, config) = (session(&pki, ""), pki.client(&VERSIONS, None));
    accepted(&keys, config.clone(), NAME).await.unwrap();
    for _ in 0..8 {
        assert!(is_resumed(&data_in(&keys, &config, NAME, Direction::ToServer).await.unwrap()));
    }
    assert!(data_in(&keys, &config, NAME, Direction::ToServer).await.is_err());
}

#[tokio::test]
async fn d35_several_data_connections_may_resume_at_once() {
    let pki = Pki::new();
    for version in VERSIONS {
        let (keys, config) = (session(&pki, ""), pki.client(&[version], None));
        accepted(&keys, config.clone(), NAME).await.unwrap();
        let both = tokio::join!(data(&keys, &config, NAME), data(&keys, &config, NAME));
        assert!(is_resumed(&both.0.unwrap()) && is_resumed(&both.1.unwrap()), "{version:?}");
    }
}

#[tokio::test]
async fn d35_data_that_does_not_resume_is_refused() {
    let pki = Pki::new();
    for version in VERSIONS {
        let keys = session(&pki, "");
        accepted(&keys, pki.client(&[version], None), NAME).await.unwrap();
        let refused = data(&keys, &pki.client(&[version], None), NAME).await.unwrap_err();
        assert_eq!(refused, Reason::DataNotResumed, "{version:?}");
    }
}

#[tokio::test]
async fn d35_sessions_of_one_service_do_not_resume_each_other() {
    let pki = Pki::new();
    pki.issue("ftp", &[NAME]);
    let terminal = load(&pki, FIRST).unwrap();
    for version in VERSIONS {
        let (one, other) = (new_session(&terminal), new_session(&terminal));
        let (alice, mallory) = (pki.client(&[version], None), pki.client(&[version], None));
        accepted(&one, alice.clone(), NAME).await.unwrap();
        accepted(&other, mallory.clone(), NAME).await.unwrap();
        let refused = data(&one, &mallory, NAME).await.unwrap_err();
        assert_eq!(refused, Reason::DataNotResumed, "{version:?}");
        // Not even its control connection's.
        let again = accepted(&new_session(&terminal), mallory, NAME).await.unwrap();
        assert!(!is_resumed(&again), "{version:?}");
        assert!(is_resumed(&data(&one, &alice, NAME).await.unwrap()), "{version:?}");
    }
}

#[tokio::test]
async fn d35_data_is_free_to_resume_or_not_where_the_rules_say_so() {
    let pki = Pki::new();
    let keys = session(&pki, "data_tls: any");
    accepted(&keys, pki.client(&VERSIONS, None), NAME).await.unwrap();
    assert!(!is_resumed(&data(&keys, &pki.client(&VERSIONS, None), NAME).await.unwrap()));
}

#[tokio::test]
async fn d35_t18_data_shows_the_clients_certificate_or_resumes() {
    let pki = Pki::new();
    let (alice, bob) = (pki.issue("alice", &["alice"]), pki.issue("bob", &["bob"]));
    let lines = "data_tls: same-certificate\nclient_certificates: request\nclient_ca: DIR/ca.pem";
    for version in VERSIONS {
        let (keys, config) = (session(&pki, lines), pki.client(&[version], Some(&alice)));
        accepted(&keys, config.clone(), NAME).await.unwrap();
        data(&keys, &pki.client(&[version], Some(&alice)), NAME).await.unwrap();
        assert!(is_resumed(&data(&keys, &config, NAME).await.unwrap()));
        for other in [Some(&bob), None] {
            let refused = data(&keys, &pki.client(&[version], other), NAME).await.unwrap_err();
            assert_eq!(refused, Reason::DataCertificate, "{version:?}");
        }
        // A client that showed none has nothing that could be the same.
        let keys = session(&pki, lines);
        accepted(&keys, pki.client(&[version], None), NAME).await.unwrap();
        let refused = data(&keys, &pki.client(&[version], None), NAME).await.unwrap_err();
        assert_eq!(refused, Reason::DataCertificate, "{version:?}");
    }
}

#[tokio::test]
async fn data_may_say_that_it_is_data() {
    let pki = Pki::new();
    for name in ["ftp", "ftp-data"] {
        let (keys, mut config) = (session(&pki, ""), pki.client(&VERSIONS, None));
        accepted(&keys, config.clone(), NAME).await.unwrap();
        config.alpn_protocols = vec![name.into()];
        data(&keys, &config, NAME).await.unwrap();
    }
}

#[tokio::test]
async fn data_before_the_control_connections_tls_is_refused() {
    let pki = Pki::new();
    let (near, _far) = duplex(1 << 16);
    assert_eq!(session(&pki, "").accept_data(near, Direction::Both).await.err(), Some(Reason::DataTls));
}
