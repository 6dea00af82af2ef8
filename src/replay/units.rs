//! What an end of a control connection said, cut into commands and replies, each with its raw bytes.
//!
//! The engine reads the same bytes again, strictly; here it only matters where one command or reply ends and the
//! next begins, since a capture shows what the server answered to commands that the gateway would have kept.

use std::collections::VecDeque;

/// Cuts bytes into commands, a line each.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<u8>,
}

impl Lines {
    /// Adds bytes; hands out the lines that are whole now, line ends included. What grows over `limit` bytes is
    /// handed out as it is: the engine refuses it.
    pub(super) fn push(&mut self, bytes: &[u8], limit: usize, mut take: impl FnMut(Vec<u8>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.open.extend_from_slice(part);
            if part.ends_with(b"\n") || self.open.len() > limit {
                take(std::mem::take(&mut self.open));
            }
        }
    }

    /// Bytes of what was begun.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Bytes are missing: what was begun has no end.
    pub(super) fn forget(&mut self) {
        self.open = Vec::new();
    }
}

/// Cuts bytes into replies of one line or many (RFC 959 section 4.2).
#[derive(Debug, Default)]
pub(super) struct Replies {
    lines: Lines,
    /// A multi-line reply that has not come to its end.
    open: Vec<u8>,
    code: Option<[u8; 3]>,
}

impl Replies {
    /// Adds bytes; appends the replies that are whole now to `whole`. What grows over `limit` bytes is appended as
    /// it is.
    pub(super) fn push(&mut self, bytes: &[u8], limit: usize, whole: &mut VecDeque<Vec<u8>>) {
        let Self { lines, open, code } = self;
        lines.push(bytes, limit, |line| {
            let starts = code_of(&line);
            let more = line.get(3) == Some(&b'-');
            match *code {
                None if starts.is_some() && more => *code = starts,
                Some(_) if starts == *code && !more => *code = None,
                _ => {}
            }
            open.extend_from_slice(&line);
            if code.is_none() || open.len() > limit {
                *code = None;
                whole.push_back(std::mem::take(open));
            }
        });
    }

    /// Bytes of what was begun.
    pub(super) fn len(&self) -> usize {
        self.lines.len() + self.open.len()
    }

    /// Bytes are missing: what was begun has no end.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The digits that a reply begins with.
pub(super) fn code_of(reply: &[u8]) -> Option<[u8; 3]> {
    let code = reply.first_chunk::<3>()?;
    code.iter().all(u8::is_ascii_digit).then_some(*code)
}

/// The line without its end.
pub(super) fn text_of(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(chunks: &[&[u8]]) -> Vec<String> {
        let (mut replies, mut whole) = (Replies::default(), VecDeque::new());
        chunks.iter().for_each(|chunk| replies.push(chunk, 100, &mut whole));
        whole.into_iter().map(|reply| String::from_utf8(reply).unwrap()).collect()
    }

    #[test]
    fn replies_are_whole_however_they_are_cut() {
        let text = b"220-Hi\r\n 220 no end\r\n220 end\r\n331 Password?\r\n";
        let expected = ["220-Hi\r\n 220 no end\r\n220 end\r\n", "331 Password?\r\n"];
        for at in 0..text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(replies(&[first, second]), expected, "cut at {at}");
        }
    }

    #[test]
    fn what_has_no_end_is_handed_out_all_the_same() {
        let line = [b'x'; 101];
        assert_eq!(replies(&[&line]).len(), 1);
        let endless = replies(&[b"211-", &[b'\n'; 200]]);
        assert!(endless.iter().all(|reply| reply.len() <= 101), "{endless:?}");
        assert_eq!(replies(&[b"220-a\r\n"]), [""; 0]);
    }
}
