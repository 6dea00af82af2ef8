//! What is wrong with a rules file: where, which key, which value, and what would be right.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::MAX_FILE_BYTES;

/// Why a rules file was refused. Displays one error per line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigErrors {
    /// The file cannot be opened or read, or is not UTF-8.
    #[error("{file}: cannot be read")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("{file}: larger than {MAX_FILE_BYTES} bytes")]
    TooLarge {
        /// The file.
        file: String,
    },
    /// The text is no valid rules file; at least one error, sorted by position.
    #[error("{}", lines(.0))]
    Invalid(Vec<ConfigError>),
}

/// One error, at one place of a rules file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: Arc<str>,
    at: Position,
    path: String,
    problem: String,
}

/// A place in a rules file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl ConfigError {
    /// An error at the key `path`, empty for an error of the file as such. The texts may hold what the
    /// file holds: what could drive a terminal is escaped here.
    pub(super) fn new(file: &Arc<str>, at: Position, path: &str, problem: &str) -> Self {
        Self { file: file.clone(), at, path: printable(path), problem: printable(problem) }
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The key with all the sections that it is in, like `services.warehouse.limits.line_bytes`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.at)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// `text` with everything escaped that a terminal would not print as it is.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_file_place_key_and_problem() {
        let at = Position { line: 12, column: 18 };
        let error = ConfigError::new(&"rules.yaml".into(), at, "gateway.log", "nothing");
        assert_eq!(error.to_string(), "rules.yaml:12:18: gateway.log: nothing");
    }

    #[test]
    fn control_bytes_of_the_file_are_escaped() {
        let error = ConfigError::new(&"f".into(), Position::START, "", "\u{1b}[2J\u{202e}\n\"é\"");
        assert_eq!(error.to_string(), "f:1:1: \\u{1b}[2J\\u{202e}\\n\"é\"");
    }
}
