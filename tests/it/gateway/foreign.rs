//! Clients that do not speak FTP: the session ends, nothing opens, and the server sees none of it.

use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::EventKind;

use super::lab::Lab;

/// What OpenSSL 3 sends first to `ftp.example.org`, TLS 1.2 with one cipher suite.
const CLIENT_HELLO: &str = "160301009b0100009703036078a48070ec8d0c891752623d4d9553b4994480db0877a2d0a84b429d\
    db6032000004c02f00ff0100006a00000014001200000f6674702e6578616d706c652e6f7267000b000403000102000a000c000a\
    001d0017001e00190018002300000016000000170000000d002a0028040305030603080708080809080a080b0804080508060401\
    05010601030303010302040205020602";

/// Sends `bytes` as the first words of a client; gives what it hears back.
fn first_words(bytes: &[u8], reason: Reason) -> String {
    let lab = Lab::new("timeouts: {login: 500ms}");
    let mut pair = lab.greet();
    pair.client.send(bytes);
    let heard = pair.client.rest_of_text();
    assert!(pair.server.rest().is_empty(), "the server is not fed with it");
    lab.gate.recorded(EventKind::SessionClosed, reason);
    assert!(!lab.gate.opened_any());
    heard
}

#[test]
fn client_that_speaks_http_is_told_where_it_is() {
    let request = b"GET / HTTP/1.1\r\nHost: ftp.example.org\r\nUser-Agent: curl/8.5.0\r\n\r\n";
    assert_eq!(first_words(request, Reason::NotFtp), "421 This is an FTP service.\r\n");
    let smuggled = b"POST / HTTP/1.1\r\nHost: x\r\n\r\nUSER alice\r\nPASS secret\r\nPASV\r\n";
    assert_eq!(first_words(smuggled, Reason::NotFtp), "421 This is an FTP service.\r\n");
}

#[test]
fn client_that_begins_with_tls_is_told_where_it_is() {
    let digits: Vec<_> = CLIENT_HELLO.bytes().map(char::from).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    let hello: Vec<u8> = digits.chunks(2).map(byte).collect();
    assert_eq!(first_words(&hello, Reason::NotFtp), "421 This is an FTP service.\r\n");
    assert_eq!(first_words(&hello[..1], Reason::NotFtp), "421 This is an FTP service.\r\n");
}

#[test]
fn client_that_says_nothing_is_sent_away_at_the_login_timeout() {
    assert_eq!(first_words(b"", Reason::LoginTimeout), "421 Login took too long.\r\n");
    assert_eq!(first_words(b"USER ali", Reason::LoginTimeout), "421 Login took too long.\r\n");
}

#[test]
fn binary_junk_ends_the_session_after_the_violations_that_the_limit_allows() {
    let junk = b"\x00\x9f\x01\xfe\r\n".repeat(20);
    let heard = first_words(&junk, Reason::TooManyViolations);
    let refused = "500 The line is not acceptable.\r\n".repeat(11);
    assert_eq!(heard, refused + "421 Too many errors.\r\n");
}

#[test]
fn junk_without_end_is_cut_off_by_the_login_timeout() {
    let heard = first_words(&[b'x'; 100_000], Reason::LoginTimeout);
    assert_eq!(heard, "500 The line is too long.\r\n421 Login took too long.\r\n");
}
