//! Lines out of a byte stream, however it is cut (P5).
//!
//! A line ends with CR LF and with nothing else. Telnet commands (RFC 854, RFC 1123 section
//! 4.1.2.12) are taken out here: those at the start of a line are dropped or refused as an option,
//! one inside a line makes the line invalid (D26). An invalid line is reported at once and read up to
//! its CR LF, so that its tail is never taken for a line of its own (D24, D25).

use super::text::IAC;

/// What [`LineReader`] found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineEvent {
    /// A whole line without its line end; a doubled IAC stands as one byte 0xff.
    Line(Vec<u8>),
    /// The same, ended by LF alone; only where that is tolerated.
    BareLf(Vec<u8>),
    /// The line is not acceptable; it was skipped up to its end.
    Fault(LineFault),
    /// The peer wants a Telnet option; these bytes refuse it.
    Refuse([u8; 3]),
}

/// Why a line is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// Longer than the limit.
    TooLong,
    /// LF without CR before it.
    BareLf,
    /// CR without LF behind it.
    BareCr,
    /// NUL.
    Nul,
    /// A Telnet command inside the line, or one that has no place in FTP.
    Telnet,
}

/// Cuts one direction of a control connection into lines.
///
/// Holds at most what was pushed and not yet taken out, plus one line of `limit` bytes.
#[derive(Debug)]
pub struct LineReader {
    limit: usize,
    bare_lf: bool,
    input: Vec<u8>,
    read: usize,
    line: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    Cr,
    Iac,
    /// After IAC WILL, WONT, DO or DONT: the option's code comes next.
    Option(u8),
    /// The rest of an invalid line.
    Skip,
    SkipCr,
}

const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;

impl LineReader {
    /// A reader of lines of at most `limit` bytes, the line end included; `bare_lf` takes LF alone
    /// for a line end too.
    pub fn new(limit: usize, bare_lf: bool) -> Self {
        Self { limit, bare_lf, input: Vec::new(), read: 0, line: Vec::new(), state: State::Text }
    }

    /// Sets the limit for the lines from here on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Adds bytes as they came from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether bytes are left that [`next_event`](Self::next_event) has not looked at.
    pub fn has_unread(&self) -> bool {
        self.read < self.input.len()
    }

    /// The next line or fault; `None` when more bytes are needed.
    pub fn next_event(&mut self) -> Option<LineEvent> {
        while let Some(&byte) = self.input.get(self.read) {
            self.read += 1;
            if let Some(event) = self.step(byte) {
                return Some(event);
            }
        }
        self.forget_read();
        None
    }

    /// An idle reader holds no memory.
    fn forget_read(&mut self) {
        self.input = Vec::new();
        self.read = 0;
    }

    fn step(&mut self, byte: u8) -> Option<LineEvent> {
        match (self.state, byte) {
            (State::Text, b'\r') => self.go(State::Cr),
            (State::Text, b'\n') if self.bare_lf => self.finish(LineEvent::BareLf),
            (State::Text, b'\n') => self.fault(LineFault::BareLf),
            (State::Text, 0) => self.fault(LineFault::Nul),
            (State::Text, IAC) => self.go(State::Iac),
            (State::Text, byte) => self.add(byte),

            (State::Cr, b'\n') => self.finish(LineEvent::Line),
            (State::Cr, b'\r') => self.fault_in(LineFault::BareCr, State::SkipCr),
            (State::Cr, _) => self.fault(LineFault::BareCr),

            (State::Iac, IAC) => self.add(IAC),
            (State::Iac, WILL..=DONT) if self.line.is_empty() => self.go(State::Option(byte)),
            // NOP, DM, BRK, IP, AO, AYT, EC, EL, GA: ABOR and STAT come behind IP and DM.
            (State::Iac, 241..=249) if self.line.is_empty() => self.go(State::Text),
            (State::Iac, b'\n') if self.bare_lf => self.fault_in(LineFault::Telnet, State::Text),
            (State::Iac, b'\r') => self.fault_in(LineFault::Telnet, State::SkipCr),
            (State::Iac, _) => self.fault(LineFault::Telnet),
            (State::Option(verb), option) => self.refuse(verb, option),

            (State::Skip | State::SkipCr, b'\r') => self.go(State::SkipCr),
            (State::SkipCr, b'\n') => self.go(State::Text),
            (State::Skip, b'\n') if self.bare_lf => self.go(State::Text),
            (State::Skip | State::SkipCr, _) => self.go(State::Skip),
        }
    }

    fn go(&mut self, state: State) -> Option<LineEvent> {
        self.state = state;
        None
    }

    fn add(&mut self, byte: u8) -> Option<LineEvent> {
        self.state = State::Text;
        if self.line.len() + 2 >= self.limit {
            return self.fault(LineFault::TooLong);
        }
        self.line.push(byte);
        None
    }

    fn finish(&mut self, event: fn(Vec<u8>) -> LineEvent) -> Option<LineEvent> {
        self.state = State::Text;
        Some(event(std::mem::take(&mut self.line)))
    }

    fn fault(&mut self, fault: LineFault) -> Option<LineEvent> {
        self.fault_in(fault, State::Skip)
    }

    fn fault_in(&mut self, fault: LineFault, state: State) -> Option<LineEvent> {
        self.state = state;
        self.line = Vec::new();
        Some(LineEvent::Fault(fault))
    }

    /// WILL is answered with DONT, DO with WONT; WONT and DONT ask for nothing.
    fn refuse(&mut self, verb: u8, option: u8) -> Option<LineEvent> {
        self.state = State::Text;
        match verb {
            WILL => Some(LineEvent::Refuse([IAC, DONT, option])),
            DO => Some(LineEvent::Refuse([IAC, WONT, option])),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(limit: usize, bare_lf: bool, bytes: &[u8]) -> Vec<LineEvent> {
        let mut reader = LineReader::new(limit, bare_lf);
        reader.push(bytes);
        std::iter::from_fn(|| reader.next_event()).collect()
    }

    fn strict(bytes: &[u8]) -> Vec<LineEvent> {
        let whole = events(64, false, bytes);
        let mut reader = LineReader::new(64, false);
        let mut split = Vec::new();
        for byte in bytes {
            reader.push(&[*byte]);
            split.extend(std::iter::from_fn(|| reader.next_event()));
        }
        assert_eq!(whole, split, "the same events however the stream is cut");
        whole
    }

    fn line(text: &[u8]) -> LineEvent {
        LineEvent::Line(text.to_vec())
    }

    #[test]
    fn lines_end_with_cr_lf_only() {
        assert_eq!(strict(b"NOOP\r\nPASV\r\n"), [line(b"NOOP"), line(b"PASV")]);
        assert_eq!(strict(b"NOOP"), []);
    }

    #[test]
    fn the_tail_of_an_invalid_line_is_not_a_line() {
        for (bytes, fault) in [
            (&b"USER a\nPORT 1\r\nNOOP\r\n"[..], LineFault::BareLf),
            (b"USER a\rPORT 1\r\nNOOP\r\n", LineFault::BareCr),
            (b"USER a\r\r\nNOOP\r\n", LineFault::BareCr),
            (b"USER a\0PORT 1\r\nNOOP\r\n", LineFault::Nul),
            (b"US\xff\xf1ER a\r\nNOOP\r\n", LineFault::Telnet),
            (b"US\xff\xfd\x01ER a\r\nNOOP\r\n", LineFault::Telnet),
            (b"\xff\xfa\x01x\xff\xf0\r\nNOOP\r\n", LineFault::Telnet),
            (b"\xff\r\nNOOP\r\n", LineFault::Telnet),
        ] {
            assert_eq!(strict(bytes), [LineEvent::Fault(fault), line(b"NOOP")], "{bytes:?}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_skipped() {
        assert_eq!(events(6, false, b"NOOP\r\n"), [line(b"NOOP")]);
        let got = events(6, false, b"NOOPS PORT 1\r\nNOOP\r\n");
        assert_eq!(got, [LineEvent::Fault(LineFault::TooLong), line(b"NOOP")]);
    }

    #[test]
    fn a_bare_lf_ends_a_line_where_it_is_tolerated() {
        let bare = LineEvent::BareLf(b"NOOP".to_vec());
        assert_eq!(events(64, true, b"NOOP\nPASV\r\n"), [bare.clone(), line(b"PASV")]);
        let fault = LineEvent::Fault(LineFault::Telnet);
        assert_eq!(events(64, true, b"x\xff\nNOOP\n"), [fault, bare]);
    }

    #[test]
    fn telnet_commands_at_the_start_of_a_line_are_taken_out() {
        assert_eq!(strict(b"\xff\xf4\xff\xf2ABOR\r\n"), [line(b"ABOR")]);
        assert_eq!(strict(b"RETR \xff\xffx\r\n"), [line(b"RETR \xffx")]);
    }

    #[test]
    fn telnet_options_are_refused() {
        let got = strict(b"\xff\xfb\x01\xff\xfd\x03\xff\xfc\x05\xff\xfe\x06NOOP\r\n");
        let refused = [LineEvent::Refuse([0xff, 0xfe, 1]), LineEvent::Refuse([0xff, 0xfc, 3])];
        assert_eq!(got, [&refused[..], &[line(b"NOOP")]].concat());
    }
}
