//! Every file that is not what it has to be is named, behind the place in the rules file that names it.

use super::{FIRST, load};
use crate::pki::Pki;

/// What is wrong with a service with these lines.
fn complaint(pki: &Pki, lines: &str) -> String {
    load(pki, lines).expect_err("a file is bad").to_string().replace(&pki.rules("DIR"), "DIR")
}

fn pki() -> Pki {
    let pki = Pki::new();
    pki.issue("ftp", &["ftp.example.com"]);
    pki.issue("other", &["other.example.com"]);
    pki.write("empty", "");
    pki.write("junk", "-----BEGIN CERTIFICATE-----\nnot base 64 !\n-----END CERTIFICATE-----\n");
    pki.write("junk.key", "-----BEGIN PRIVATE KEY-----\n%%%\n-----END PRIVATE KEY-----\n");
    pki.write("not-der", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    pki
}

#[test]
fn certificates_that_cannot_be_read_are_named() {
    let pki = pki();
    for (chain, problem) in [
        ("missing", "No such file or directory (os error 2)"),
        ("empty", "holds no certificate (allowed: PEM)"),
        ("ftp.key", "holds no certificate (allowed: PEM)"),
        ("junk", "is not PEM: base64 decode error: InvalidCharacter(33)"),
    ] {
        let complaint = complaint(&pki, &format!("certificates: {{chain: DIR/{chain}, key: DIR/ftp.key}}"));
        let place = "rules.yaml:9:29: services.a.tls.certificates.chain";
        assert_eq!(complaint, format!("{place}: DIR/{chain}: {problem}"));
    }
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let pki = pki();
    for (key, problem) in [
        ("missing", "No such file or directory (os error 2)"),
        ("empty", "holds no private key (allowed: PEM, without a passphrase)"),
        ("ftp.pem", "holds no private key (allowed: PEM, without a passphrase)"),
        ("junk.key", "is not PEM: base64 decode error: InvalidCharacter(37)"),
        ("other.key", "is not the key of DIR/ftp.pem"),
    ] {
        let complaint = complaint(&pki, &format!("certificates:\n  chain: DIR/ftp.pem\n  key: DIR/{key}"));
        let place = "rules.yaml:11:14: services.a.tls.certificates.key";
        assert_eq!(complaint, format!("{place}: DIR/{key}: {problem}"));
    }
}

#[test]
fn the_bad_certificate_among_several_is_named() {
    let lines = "certificates:\n  - chain: DIR/ftp.pem\n    key: DIR/ftp.key\n  - chain: DIR/other.pem\n    \
                 key: DIR/ftp.key";
    let place = "rules.yaml:13:16: services.a.tls.certificates.key";
    assert_eq!(complaint(&pki(), lines), format!("{place}: DIR/ftp.key: is not the key of DIR/other.pem"));
}

#[test]
fn authorities_and_pins_that_cannot_be_read_are_named() {
    let pki = pki();
    for (lines, key) in [
        ("client_certificates: require\nclient_ca: DIR/BAD", "client_ca"),
        ("upstream_tls: explicit\nupstream_ca: DIR/BAD", "upstream_ca"),
        ("upstream_tls: explicit\nupstream_pin: DIR/BAD", "upstream_pin"),
        (
            "upstream_tls: explicit\nupstream_verify: insecure-none\nupstream_certificate: DIR/BAD\n\
             upstream_key: DIR/ftp.key",
            "upstream_certificate",
        ),
    ] {
        for (file, problem) in [
            ("missing", "No such file or directory (os error 2)"),
            ("empty", "holds no certificate (allowed: PEM)"),
        ] {
            let complaint = complaint(&pki, &format!("{FIRST}\n{}", lines.replace("BAD", file)));
            let expected = format!("services.a.tls.{key}: DIR/{file}: {problem}");
            assert!(complaint.ends_with(&expected), "{complaint}");
        }
    }
}

#[test]
fn authorities_that_are_no_certificates_are_named() {
    for lines in ["client_certificates: request\nclient_ca", "upstream_tls: implicit\nupstream_ca"] {
        let complaint = complaint(&pki(), &format!("{FIRST}\n{lines}: DIR/not-der"));
        assert!(complaint.contains("_ca: DIR/not-der: invalid peer certificate: BadEncoding"), "{complaint}");
    }
}

#[test]
fn a_file_of_more_than_a_mebibyte_is_not_read() {
    let pki = pki();
    pki.write("large", &"x".repeat((1 << 20) + 1));
    let complaint = complaint(&pki, "certificates: {chain: DIR/large, key: DIR/ftp.key}");
    assert!(complaint.ends_with("DIR/large: is larger than 1048576 bytes"), "{complaint}");
}
