//! Why keys, certificates or trust cannot be had.

use std::fmt::Display;

use crate::config::model::NamedFile;

/// A file that a rules file names is not what it has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct TlsError {
    /// The rules file, the line and the column, and the key.
    place: String,
    problem: String,
}

impl TlsError {
    pub(super) fn new(file: &NamedFile, problem: impl Display) -> Self {
        Self { place: file.place.to_string(), problem: format!("{}: {problem}", file.path.display()) }
    }
}
