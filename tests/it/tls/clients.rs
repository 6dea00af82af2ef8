//! Which certificate a client is shown, and which clients are taken.

use rustls::pki_types::CertificateDer;

use super::{ANY_VERSION, Client, FIRST, accept, accepted, load, new_session, session};
use crate::pki::{Issued, Pki, TLS12, TLS13};

fn shown(client: &Client) -> CertificateDer<'_> {
    client.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// Two certificates, the second for a domain.
fn two() -> (Pki, Issued, Issued) {
    let pki = Pki::new();
    let (first, second) = (pki.issue("ftp", &["ftp.example.com"]), pki.issue("two", &["*.example.net"]));
    (pki, first, second)
}

const TWO: &str =
    "certificates: [{chain: DIR/ftp.pem, key: DIR/ftp.key}, {chain: DIR/two.pem, key: DIR/two.key}]";

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (pki, first, second) = two();
    let terminal = load(&pki, TWO).unwrap();
    for (name, expected) in
        [("ftp.example.com", &first), ("FTP.Example.COM", &first), ("ftp.example.net", &second)]
    {
        let client = accepted(&new_session(&terminal), pki.client(ANY_VERSION, None), name).await.unwrap();
        assert_eq!(shown(&client), expected.certificate, "{name}");
    }
}

#[tokio::test]
async fn d32_a_client_that_asks_for_another_name_is_refused() {
    let (pki, ..) = two();
    let terminal = load(&pki, TWO).unwrap();
    for name in ["www.example.com", "example.com", "example.net", "a.b.example.net"] {
        let (gateway, client) = accept(&new_session(&terminal), pki.client(ANY_VERSION, None), name).await;
        assert!(gateway.is_err(), "{name}");
        assert!(client.unwrap_err().to_string().contains("AccessDenied"), "{name}");
    }
}

#[tokio::test]
async fn a_client_that_asks_for_no_name_is_shown_the_first_certificate() {
    let pki = Pki::new();
    let first = pki.issue("ftp", &["192.0.2.1", "ftp.example.com"]);
    pki.issue("two", &["ftp.example.net"]);
    let keys = new_session(&load(&pki, TWO).unwrap());
    // An address is not sent as a name.
    let client = accepted(&keys, pki.client(ANY_VERSION, None), "192.0.2.1").await.unwrap();
    assert_eq!(shown(&client), first.certificate);
}

#[tokio::test]
async fn names_stand_in_for_those_in_the_certificate() {
    let pki = Pki::new();
    pki.issue("ftp", &["ftp.example.com", "www.example.com"]);
    let named = "certificates: {chain: DIR/ftp.pem, key: DIR/ftp.key, names: [ftp.example.com]}";
    let terminal = load(&pki, named).unwrap();
    for (name, taken) in [("ftp.example.com", true), ("www.example.com", false)] {
        let client = accepted(&new_session(&terminal), pki.client(ANY_VERSION, None), name).await;
        assert_eq!(client.is_ok(), taken, "{name}");
    }
}

#[tokio::test]
async fn d32_a_client_that_speaks_another_protocol_is_refused() {
    let pki = Pki::new();
    for (offered, taken) in [
        (&[][..], true),
        (&[&b"ftp"[..]], true),
        (&[b"h2", b"ftp"], true),
        (&[b"h2"], false),
        (&[b"http/1.1", b"h2"], false),
        (&[b"ftp-data"], false),
    ] {
        let mut config = pki.client(ANY_VERSION, None);
        config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
        let client = accepted(&session(&pki, ""), config, "ftp.example.com").await;
        assert_eq!(client.is_ok(), taken, "{offered:?}");
    }
}

#[tokio::test]
async fn min_version_is_the_oldest_that_is_taken() {
    let pki = Pki::new();
    for (lines, version, taken) in [
        ("", &TLS12, true),
        ("", &TLS13, true),
        ("min_version: \"1.3\"", &TLS12, false),
        ("min_version: \"1.3\"", &TLS13, true),
    ] {
        let config = pki.client(&[version], None);
        let client = accepted(&session(&pki, lines), config, "ftp.example.com").await;
        assert_eq!(client.is_ok(), taken, "{lines} {version:?}");
    }
}

#[tokio::test]
async fn client_certificates_are_asked_for_as_the_service_says() {
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let (good, foreign) = (pki.issue("alice", &["alice"]), elsewhere.issue("eve", &["eve"]));
    for (wanted, own, taken) in [
        ("none", None, true),
        ("none", Some(&foreign), true),
        ("request", None, true),
        ("request", Some(&good), true),
        ("request", Some(&foreign), false),
        ("require", None, false),
        ("require", Some(&good), true),
        ("require", Some(&foreign), false),
    ] {
        let ca = if wanted == "none" { "" } else { "client_ca: DIR/ca.pem" };
        let keys = session(&pki, &format!("client_certificates: {wanted}\n{ca}"));
        let client = accepted(&keys, pki.client(ANY_VERSION, own), "ftp.example.com").await;
        assert_eq!(client.is_ok(), taken, "{wanted} {}", own.is_some());
    }
}

#[tokio::test]
async fn reload_takes_new_files_for_new_sessions() {
    let pki = Pki::new();
    let old = pki.issue("ftp", &["ftp.example.com"]);
    let terminal = load(&pki, FIRST).unwrap();
    let running = new_session(&terminal);
    let new = pki.issue("ftp", &["ftp.example.com"]);
    terminal.reload().unwrap();
    for (keys, expected) in [(running, old), (new_session(&terminal), new)] {
        let client = accepted(&keys, pki.client(ANY_VERSION, None), "ftp.example.com").await.unwrap();
        assert_eq!(shown(&client), expected.certificate);
    }
}

#[tokio::test]
async fn reload_of_bad_files_leaves_everything_as_it_was() {
    let pki = Pki::new();
    let old = pki.issue("ftp", &["ftp.example.com"]);
    let terminal = load(&pki, FIRST).unwrap();
    // A new chain whose key is still to come.
    let key = std::fs::read_to_string(pki.path("ftp.key")).unwrap();
    pki.issue("ftp", &["ftp.example.com"]);
    pki.write("ftp.key", &key);
    let error = terminal.reload().unwrap_err().to_string();
    assert!(error.ends_with(&pki.rules("DIR/ftp.key: is not the key of DIR/ftp.pem")), "{error}");
    let keys = new_session(&terminal);
    let client = accepted(&keys, pki.client(ANY_VERSION, None), "ftp.example.com").await.unwrap();
    assert_eq!(shown(&client), old.certificate);
}
