//! Is a connection a control connection? By what its ends say first.
//!
//! A server greets with 220 or 120, as mail servers do, so the client's first verb decides. Where the beginning is
//! missing, a command and a reply have to be seen, and tell who is who.

use crate::ftp::Verb;
use crate::replay::units::code_of;
use crate::stream::Direction;

/// What was said is kept up to this many bytes; who has not spoken FTP by then will not.
const MOST_KEPT: usize = 2048;

/// What a change of speaker costs besides its bytes: it takes few to tell.
const TURN_COST: usize = 128;

/// A connection of which it is not known yet what it speaks.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Who dialled, where that was seen.
    dialler: Option<Direction>,
    /// What was said, in its order.
    said: Vec<(Direction, Vec<u8>)>,
    /// What that costs to keep and to look at again, in bytes.
    cost: usize,
}

/// What a connection is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be anything.
    Open,
    /// A control connection, with this side its client.
    Control(Direction),
    /// Something else.
    Other,
}

impl Candidate {
    pub(super) fn new(dialler: Option<Direction>) -> Self {
        Self { dialler, said: Vec::new(), cost: 0 }
    }

    /// Takes the next bytes of `side`.
    pub(super) fn hear(&mut self, side: Direction, bytes: &[u8]) -> Verdict {
        self.cost += bytes.len();
        match self.said.last_mut() {
            Some((last, said)) if *last == side => said.extend_from_slice(bytes),
            _ => {
                self.cost += TURN_COST;
                self.said.push((side, bytes.to_vec()));
            }
        }
        match self.dialler {
            Some(client) => self.since_the_start(client),
            None => self.midway(),
        }
    }

    /// What was said so far.
    pub(super) fn into_said(self) -> Vec<(Direction, Vec<u8>)> {
        self.said
    }

    fn since_the_start(&self, client: Direction) -> Verdict {
        let Some((first, greeting)) = self.said.first() else { return Verdict::Open };
        let greets = greeting.len() < 3 || matches!(code_of(greeting), Some([b'1' | b'2', b'2', b'0']));
        if *first == client || !greets {
            return Verdict::Other;
        }
        match self.first_line_of(client) {
            Some(line) if speaks_ftp(line) => Verdict::Control(client),
            Some(_) => Verdict::Other,
            None => self.open(),
        }
    }

    fn midway(&self) -> Verdict {
        let replies = |side: Direction| self.lines_of(side).any(is_reply);
        let commands = |side: Direction| self.lines_of(side).any(speaks_ftp);
        let sensible = |(side, _): &(Direction, Vec<u8>)| {
            let mut lines = self.lines_of(*side);
            lines.next().is_none_or(|line| is_reply(line) || speaks_ftp(line) || is_text(line))
        };
        match [Direction::Original, Direction::Reply]
            .into_iter()
            .find(|side| commands(*side) && replies(side.opposite()))
        {
            Some(client) => Verdict::Control(client),
            None if !self.said.iter().all(sensible) => Verdict::Other,
            None => self.open(),
        }
    }

    fn open(&self) -> Verdict {
        if self.cost < MOST_KEPT { Verdict::Open } else { Verdict::Other }
    }

    fn first_line_of(&self, side: Direction) -> Option<&[u8]> {
        self.lines_of(side).next()
    }

    /// The lines of `side` that are whole, or all that is there of one that is long enough to tell.
    fn lines_of(&self, side: Direction) -> impl Iterator<Item = &[u8]> {
        let said = self.said.iter().filter(move |(by, _)| *by == side);
        said.flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n'))
            .filter(|line| line.ends_with(b"\n") || line.len() > 128)
    }
}

/// A verb that FTP has and mail, news and the like have not.
fn speaks_ftp(line: &[u8]) -> bool {
    let word = line.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    let Ok(word) = std::str::from_utf8(word) else { return false };
    let verb = Verb::from_name(&word.to_ascii_uppercase());
    !matches!(verb, Verb::Unknown | Verb::Quit | Verb::Noop | Verb::Help | Verb::List | Verb::Stat)
}

fn is_reply(line: &[u8]) -> bool {
    code_of(line).is_some() && matches!(line.get(3), Some(b' ' | b'-'))
}

fn is_text(line: &[u8]) -> bool {
    line.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}
