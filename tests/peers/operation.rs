//! What a client is asked to do, what must lie ready for it, and how its success shows.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::audit::{Bytes, Transfer};
use crate::server::open_to_all;

/// One task for a client. Names are relative to the directory in which the session starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Get(&'static str),
    Put(&'static str),
    /// Fetch the rest of a file of which the client has the first bytes.
    Resume(&'static str),
    List,
    Rename {
        from: &'static str,
        to: &'static str,
    },
    Delete(&'static str),
    MakeDir(&'static str),
}

/// Every operation of the matrix.
pub const ALL: [Operation; 13] = [
    Operation::Get(DATA),
    Operation::Put("new.bin"),
    Operation::Resume(DATA),
    Operation::List,
    Operation::Rename { from: DATA, to: "renamed.bin" },
    Operation::Delete(DATA),
    Operation::MakeDir("made"),
    Operation::Get("two words.bin"),
    Operation::Put("three little words.bin"),
    Operation::Get("grüße.bin"),
    Operation::Put("日本語.bin"),
    Operation::Get("empty.bin"),
    Operation::Put("empty.bin"),
];

/// A file that lies in the home directory for every operation.
const DATA: &str = "data.bin";
/// Bytes of a file: enough for several reads, no multiple of any block.
const SIZE: usize = 300_001;
/// Bytes that the client has before it resumes.
const HAVE: usize = 100_003;

impl Operation {
    /// Empties both directories and lays the files ready.
    pub fn prepare(self, home: &Path, work: &Path) {
        empty(home);
        empty(work);
        put_file(&home.join(DATA), &content(DATA));
        match self {
            Self::Get(name) => put_file(&home.join(name), &content(name)),
            Self::Put(name) => put_file(&work.join(name), &content(name)),
            Self::Resume(name) => put_file(&work.join(name), content(name).split_at(HAVE).0),
            Self::List | Self::Rename { .. } | Self::Delete(_) | Self::MakeDir(_) => {}
        }
    }

    /// Whether the files, or what the client printed, are now as they should be.
    pub fn check(self, home: &Path, work: &Path, output: &str) -> Result<(), String> {
        match self {
            Self::Get(name) | Self::Resume(name) => same(&work.join(name), name),
            Self::Put(name) => same(&home.join(name), name),
            Self::List => need(output.contains(DATA), "the listing does not name the file"),
            Self::Rename { from, to } => {
                need(!home.join(from).exists(), "the old name is still there")?;
                same(&home.join(to), from)
            }
            Self::Delete(name) => need(!home.join(name).exists(), "the file is still there"),
            Self::MakeDir(name) => need(home.join(name).is_dir(), "there is no such directory"),
        }
    }

    /// The record that this operation must leave, if it moves data.
    pub fn transfer(self) -> Option<Transfer> {
        match self {
            Self::Get(name) => Some(Transfer::of("RETR", name, Bytes::ToClient(length(name)))),
            Self::Resume(name) => {
                Some(Transfer::of("RETR", name, Bytes::ToClient(length(name) - HAVE as u64)))
            }
            Self::Put(name) => Some(Transfer::of("STOR", name, Bytes::ToServer(length(name)))),
            Self::List | Self::Rename { .. } | Self::Delete(_) | Self::MakeDir(_) => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(name) => write!(f, "download {name:?}"),
            Self::Put(name) => write!(f, "upload {name:?}"),
            Self::Resume(name) => write!(f, "resume {name:?}"),
            Self::List => write!(f, "list"),
            Self::Rename { from, to } => write!(f, "rename {from:?} to {to:?}"),
            Self::Delete(name) => write!(f, "delete {name:?}"),
            Self::MakeDir(name) => write!(f, "make directory {name:?}"),
        }
    }
}

/// Writes a file that the server may change, whoever it runs as.
pub fn put_file(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("the test's directories take files");
    open_to_all(path, 0o666);
}

/// `Err(why)` unless `ok`.
pub fn need(ok: bool, why: &str) -> Result<(), String> {
    if ok { Ok(()) } else { Err(why.to_owned()) }
}

/// The bytes of a file; no two neighbouring pages are the same.
pub fn content(name: &str) -> Vec<u8> {
    let size = if name.starts_with("empty") { 0 } else { SIZE };
    (0..size).map(|i| ((i * 7 + (i >> 8)) % 251).to_le_bytes()[0]).collect()
}

fn length(name: &str) -> u64 {
    content(name).len() as u64
}

fn same(path: &Path, name: &str) -> Result<(), String> {
    let found = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wanted = content(name);
    need(found == wanted, &format!("{} bytes arrived, not the right {}", found.len(), wanted.len()))
}

fn empty(dir: &Path) {
    for entry in fs::read_dir(dir).expect("the directory is the test's") {
        let path = entry.expect("nobody else changes the directory").path();
        let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.expect("the test may remove files in its directories");
    }
}
