//! Text on its way out: to the wire with Telnet escapes, to people without control characters.

use std::fmt::Write as _;

/// Telnet "interpret as command", 255 (RFC 854). As data it stands doubled.
pub(super) const IAC: u8 = 0xff;

/// `bytes` as text that cannot control a terminal: control characters, bidirectional overrides and
/// bytes that are not UTF-8 become `\xNN` or `\u{..}`, a backslash becomes `\\` (D45).
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_printable(&mut out, c);
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn push_printable(out: &mut String, c: char) {
    let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let _ = match c {
        '\\' => write!(out, "\\\\"),
        c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c)),
        c if c.is_control() || hidden => write!(out, "\\u{{{:x}}}", u32::from(c)),
        c => write!(out, "{c}"),
    };
}

/// Appends `parts` and CR LF to `out`, each 0xff doubled as Telnet demands.
pub fn emit_line(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        for run in part.split_inclusive(|&byte| byte == IAC) {
            out.extend_from_slice(run);
            if run.last() == Some(&IAC) {
                out.push(IAC);
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(printable(b"a\x1b[2Jb\x7f\r\n\0"), r"a\x1b[2Jb\x7f\x0d\x0a\x00");
        assert_eq!(printable("é\u{9b}31m\u{202e}".as_bytes()), r"é\u{9b}31m\u{202e}");
        assert_eq!(printable(b"\xff\\"), r"\xff\\");
    }

    #[test]
    fn a_telnet_iac_in_data_is_doubled() {
        let mut out = Vec::new();
        emit_line(&mut out, &[b"RETR ", b"\xffx\xff"]);
        assert_eq!(out, b"RETR \xff\xffx\xff\xff\r\n");
    }
}
