//! Replies: three digits and text, on one line or on many (RFC 959 section 4.2).

use std::fmt;

use super::line::{LineEvent, LineFault, LineReader};
use super::text::emit_line;

/// A reply code, 100..=659.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

impl ReplyCode {
    /// Reads three digits: the first 1 to 6, the second 0 to 5.
    fn parse(digits: &[u8]) -> Option<Self> {
        match digits {
            [a @ b'1'..=b'6', b @ b'0'..=b'5', c @ b'0'..=b'9'] => {
                let digit = |byte: &u8| u16::from(byte - b'0');
                Some(Self(digit(a) * 100 + digit(b) * 10 + digit(c)))
            }
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// 1yz: another reply follows.
    pub const fn is_preliminary(self) -> bool {
        self.0 < 200
    }

    /// 2yz: done.
    pub const fn is_positive(self) -> bool {
        self.0 >= 200 && self.0 < 300
    }

    /// 4yz or 5yz: not done.
    pub const fn is_negative(self) -> bool {
        self.0 >= 400 && self.0 < 600
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its code.
    pub code: ReplyCode,
    /// The text of each line, the code and what separates it taken off the first and the last one.
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// The text of a reply of one line; `None` when it has more.
    pub fn single_line(&self) -> Option<&[u8]> {
        match self.lines.as_slice() {
            [line] => Some(line),
            _ => None,
        }
    }

    /// Appends the reply, built anew, to `out`. A line inside it that looks like a reply is indented,
    /// as RFC 959 demands, so that no client takes it for one (D16, D19).
    pub fn emit(&self, out: &mut Vec<u8>) {
        let code = self.code.to_string();
        let last = self.lines.len().saturating_sub(1);
        for (i, line) in self.lines.iter().enumerate() {
            match i {
                i if i == last => emit_line(out, &[code.as_bytes(), b" ", line]),
                0 => emit_line(out, &[code.as_bytes(), b"-", line]),
                _ if looks_like_reply(line, self.code) => emit_line(out, &[b" ", line]),
                _ => emit_line(out, &[line]),
            }
        }
    }
}

/// Three digits begin the line, and it is not the `ddd-` that many servers put before every line.
fn looks_like_reply(line: &[u8], code: ReplyCode) -> bool {
    let own = line.strip_prefix(code.to_string().as_bytes()).is_some_and(|rest| rest.starts_with(b"-"));
    !own && matches!(line, [a, b, c, ..] if [a, b, c].iter().all(|byte| byte.is_ascii_digit()))
}

/// What [`ReplyReader`] found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyEvent {
    /// A whole reply.
    Reply(Reply),
    /// A multi-line reply that never closed; another reply ended it and comes next. Only where that is
    /// tolerated.
    Unclosed(Reply),
    /// The next line ended with LF alone; only where that is tolerated.
    BareLf,
    /// A line inside a multi-line reply looks like the end of another reply; it was taken for text.
    ReplyInBlock,
    /// The peer wants a Telnet option; these bytes refuse it.
    Refuse([u8; 3]),
}

/// Why the server's bytes cannot be read on: what follows could be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line is not acceptable.
    #[error("the server sent a line that is not acceptable")]
    Line(LineFault),
    /// A line outside a multi-line reply does not begin with a reply code.
    #[error("the server sent a line that is not a reply")]
    NoCode,
    /// The reply has more lines than the limit.
    #[error("the server's reply has too many lines")]
    TooManyLines,
}

/// Cuts the server's side of a control connection into replies.
#[derive(Debug)]
pub struct ReplyReader {
    lines: LineReader,
    block: Option<Reply>,
    max_lines: usize,
    unpadded: bool,
    /// A reply that waits behind a block which it ended.
    ready: Option<Reply>,
    /// A line that ended with LF alone and has been reported, but not been read.
    bare: Option<Vec<u8>>,
}

impl ReplyReader {
    /// A reader of replies of at most `max_lines` lines; `unpadded` lets a line with another code end
    /// a block that its server never closes.
    pub fn new(lines: LineReader, max_lines: usize, unpadded: bool) -> Self {
        Self { lines, block: None, max_lines, unpadded, ready: None, bare: None }
    }

    /// Adds bytes as they came from the server.
    pub fn push(&mut self, bytes: &[u8]) {
        self.lines.push(bytes);
    }

    /// Whether something is left that [`next_event`](Self::next_event) has not looked at.
    pub fn has_unread(&self) -> bool {
        self.ready.is_some() || self.bare.is_some() || self.lines.has_unread()
    }

    /// The next reply; `Ok(None)` when more bytes are needed.
    ///
    /// # Errors
    /// The stream cannot be read on; see [`ReplyError`].
    pub fn next_event(&mut self) -> Result<Option<ReplyEvent>, ReplyError> {
        if let Some(reply) = self.ready.take() {
            return Ok(Some(ReplyEvent::Reply(reply)));
        }
        if let Some(line) = self.bare.take()
            && let Some(found) = self.take_line(line)?
        {
            return Ok(Some(found));
        }
        while let Some(event) = self.lines.next_event() {
            let found = match event {
                LineEvent::Line(line) => self.take_line(line)?,
                LineEvent::BareLf(line) => {
                    self.bare = Some(line);
                    Some(ReplyEvent::BareLf)
                }
                LineEvent::Refuse(answer) => Some(ReplyEvent::Refuse(answer)),
                LineEvent::Fault(fault) => return Err(ReplyError::Line(fault)),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn take_line(&mut self, line: Vec<u8>) -> Result<Option<ReplyEvent>, ReplyError> {
        match self.block.take() {
            None => self.begin(line),
            Some(block) => self.go_on(block, line),
        }
    }

    fn begin(&mut self, line: Vec<u8>) -> Result<Option<ReplyEvent>, ReplyError> {
        let (code, more, text) = split_code(&line).ok_or(ReplyError::NoCode)?;
        let reply = Reply { code, lines: vec![text.to_vec()] };
        if more {
            self.block = Some(reply);
            return Ok(None);
        }
        Ok(Some(ReplyEvent::Reply(reply)))
    }

    fn go_on(&mut self, mut block: Reply, line: Vec<u8>) -> Result<Option<ReplyEvent>, ReplyError> {
        if block.lines.len() >= self.max_lines {
            return Err(ReplyError::TooManyLines);
        }
        match split_code(&line) {
            Some((code, false, text)) if code == block.code => {
                block.lines.push(text.to_vec());
                Ok(Some(ReplyEvent::Reply(block)))
            }
            // Never the reply to PASV or EPSV: a listing may hold one (VU#288905).
            Some((code, false, text)) if self.unpadded && !(227..=229).contains(&code.get()) => {
                self.ready = Some(Reply { code, lines: vec![text.to_vec()] });
                block.lines.push(Vec::new());
                Ok(Some(ReplyEvent::Unclosed(block)))
            }
            looks_like_end => {
                let anomaly = matches!(looks_like_end, Some((_, false, _)));
                block.lines.push(line);
                self.block = Some(block);
                Ok(anomaly.then_some(ReplyEvent::ReplyInBlock))
            }
        }
    }
}

/// The code, whether more lines follow, and the text.
fn split_code(line: &[u8]) -> Option<(ReplyCode, bool, &[u8])> {
    let code = ReplyCode::parse(line.get(..3)?)?;
    match line.get(3..)? {
        [] => Some((code, false, b"")),
        [b' ', text @ ..] => Some((code, false, text)),
        [b'-', text @ ..] => Some((code, true, text)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(unpadded: bool, bytes: &[u8]) -> Result<Vec<ReplyEvent>, ReplyError> {
        let mut reader = ReplyReader::new(LineReader::new(512, false), 5, unpadded);
        let mut events = Vec::new();
        for byte in bytes {
            reader.push(&[*byte]);
            while let Some(event) = reader.next_event()? {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn reply(code: u16, lines: &[&str]) -> ReplyEvent {
        let lines = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        ReplyEvent::Reply(Reply { code: ReplyCode(code), lines })
    }

    #[test]
    fn a_block_ends_with_its_own_code_and_a_space() {
        let got = read(false, b"220-hi\r\n220-there\r\n 220 x\r\n220\r\n230 in\r\n").unwrap();
        assert_eq!(got, [reply(220, &["hi", "220-there", " 220 x", ""]), reply(230, &["in"])]);
    }

    #[test]
    fn another_reply_inside_a_block_is_text_and_goes_out_indented() {
        let got = read(false, b"211-x\r\n227 (1,2,3,4,5,6)\r\n211 end\r\n").unwrap();
        let block = reply(211, &["x", "227 (1,2,3,4,5,6)", "end"]);
        assert_eq!(got, [ReplyEvent::ReplyInBlock, block.clone()]);
        let ReplyEvent::Reply(block) = block else { unreachable!() };
        let mut out = Vec::new();
        block.emit(&mut out);
        assert_eq!(out, b"211-x\r\n 227 (1,2,3,4,5,6)\r\n211 end\r\n");
    }

    #[test]
    fn a_block_that_never_closes_ends_at_another_code_where_it_is_tolerated() {
        let got = read(true, b"230-x\r\n226 done\r\n").unwrap();
        let ReplyEvent::Reply(unclosed) = reply(230, &["x", ""]) else { unreachable!() };
        assert_eq!(got, [ReplyEvent::Unclosed(unclosed), reply(226, &["done"])]);
    }

    #[test]
    fn a_reply_to_pasv_never_ends_a_block() {
        for bytes in
            [&b"212-x\r\n227 (1,2,3,4,5,6)\r\n212 end\r\n"[..], b"212-x\r\n229 (|||9|)\r\n212 end\r\n"]
        {
            let got = read(true, bytes).unwrap();
            assert!(matches!(&got[..], [ReplyEvent::ReplyInBlock, ReplyEvent::Reply(_)]), "{got:?}");
        }
    }

    #[test]
    fn what_is_no_reply_ends_the_reading() {
        assert_eq!(read(false, b"HTTP/1.1 400\r\n"), Err(ReplyError::NoCode));
        assert_eq!(read(false, b"22 x\r\n"), Err(ReplyError::NoCode));
        assert_eq!(read(false, b"999 x\r\n"), Err(ReplyError::NoCode));
        assert_eq!(read(false, b"2200 x\r\n"), Err(ReplyError::NoCode));
        assert_eq!(read(false, b"220 x\n"), Err(ReplyError::Line(LineFault::BareLf)));
        assert_eq!(read(false, b"211-1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n"), Err(ReplyError::TooManyLines));
    }

    #[test]
    fn a_reply_is_emitted_as_it_was_read() {
        for text in [&b"220 hi\r\n"[..], b"220-a\r\n b\r\n220-c\r\n220 d\r\n"] {
            let [ReplyEvent::Reply(reply)] = &read(false, text).unwrap()[..] else { panic!("{text:?}") };
            let mut out = Vec::new();
            reply.emit(&mut out);
            assert_eq!(out, text);
        }
    }
}
