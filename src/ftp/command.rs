//! Commands: a verb and its raw argument.

use super::verb::{Argument, Verb};

/// A command line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which command.
    pub verb: Verb,
    /// The verb as it goes to the server: upper case, 3 to 8 letters and digits.
    pub name: String,
    /// Everything behind the one space, raw (RFC 3659 section 2.2); `None` without a space.
    pub argument: Option<Vec<u8>>,
}

/// Why a line is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No verb of 3 to 8 letters and digits, followed by one space or nothing.
    #[error("the line does not begin with a verb")]
    NoVerb,
    /// The verb takes no argument.
    #[error("the command takes no argument")]
    Argument,
    /// The verb needs an argument.
    #[error("the command needs an argument")]
    NoArgument,
    /// An HTTP request.
    #[error("the line is an HTTP request")]
    Http,
}

impl Command {
    /// Parses a line without its line end.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        if is_http_request(line) {
            return Err(CommandError::Http);
        }
        let mut parts = line.splitn(2, |&byte| byte == b' ');
        let name = parts.next().and_then(verb_name).ok_or(CommandError::NoVerb)?;
        let argument = parts.next().map(<[u8]>::to_vec);
        let verb = Verb::from_name(&name);
        let given = argument.as_ref().is_some_and(|argument| !argument.is_empty());
        match verb.argument() {
            Argument::None if given => Err(CommandError::Argument),
            Argument::Required if !given => Err(CommandError::NoArgument),
            _ => Ok(Self { verb, name, argument }),
        }
    }

    /// The argument, empty when there is none.
    pub fn argument(&self) -> &[u8] {
        self.argument.as_deref().unwrap_or_default()
    }
}

fn verb_name(word: &[u8]) -> Option<String> {
    let valid = (3..=8).contains(&word.len())
        && word.first().is_some_and(u8::is_ascii_alphabetic)
        && word.iter().all(u8::is_ascii_alphanumeric);
    let name = std::str::from_utf8(word).ok()?;
    valid.then(|| name.to_ascii_uppercase())
}

/// `GET /x HTTP/1.1`: a browser that someone lured here (D31, D32). No FTP verb is among these.
fn is_http_request(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 8] =
        [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PATCH "];
    METHODS.iter().any(|method| line.starts_with(method)) && line.windows(6).any(|window| window == b" HTTP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_folded_to_upper_case_and_its_argument_is_raw() {
        let command = Command::parse(b"retr  a b ").unwrap();
        assert_eq!(command.verb, Verb::Retr);
        assert_eq!(command.name, "RETR");
        assert_eq!(command.argument(), b" a b ");
    }

    #[test]
    fn what_is_not_a_verb_is_refused() {
        for line in [&b""[..], b" NOOP", b"\tNOOP", b"NOOP\tx", b"NO", b"TOOLONGVERB x", b"5NOO", b"NO-OP"] {
            assert_eq!(Command::parse(line), Err(CommandError::NoVerb), "{line:?}");
        }
    }

    #[test]
    fn arguments_are_demanded_or_refused_by_verb() {
        assert_eq!(Command::parse(b"PASV x"), Err(CommandError::Argument));
        assert_eq!(Command::parse(b"RETR"), Err(CommandError::NoArgument));
        assert_eq!(Command::parse(b"RETR "), Err(CommandError::NoArgument));
        assert_eq!(Command::parse(b"PASV ").unwrap().verb, Verb::Pasv);
        assert!(Command::parse(b"PASS ").unwrap().argument().is_empty());
    }

    #[test]
    fn an_http_request_is_told_apart() {
        assert_eq!(Command::parse(b"GET / HTTP/1.1"), Err(CommandError::Http));
        assert_eq!(Command::parse(b"POST /x HTTP/1.0"), Err(CommandError::Http));
    }
}
