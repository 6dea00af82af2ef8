//! The gateway's audit file: for each pinhole one opened, one connected and one closed record.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::operation::need;
use crate::process::poll;
use crate::route::Setup;

/// How long records may come after the client has ended.
const SETTLE: Duration = Duration::from_secs(5);
/// Records that no well-behaved client may cause.
const UNWANTED: [&str; 4] = ["pinhole.denied", "pinhole.expired", "pinhole.revoked", "violation"];

/// An audit file that grows.
pub struct Audit {
    file: PathBuf,
}

/// A transfer that must be on record once.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    verb: &'static str,
    name: &'static str,
    bytes: Bytes,
}

/// Which way how many bytes went; none go the other way.
#[derive(Debug, Clone, Copy)]
pub enum Bytes {
    ToClient(u64),
    ToServer(u64),
}

impl Transfer {
    /// The transfer command, the end of its argument, and the payload.
    pub fn of(verb: &'static str, name: &'static str, bytes: Bytes) -> Self {
        Self { verb, name, bytes }
    }

    fn is(&self, closed: &Value) -> bool {
        let (to_server, to_client) = match self.bytes {
            Bytes::ToServer(bytes) => (bytes, 0),
            Bytes::ToClient(bytes) => (0, bytes),
        };
        let text = text(closed, "transfer");
        // How a record spells other than ASCII names is not this harness's business.
        let named = !self.name.is_ascii() || text.ends_with(self.name);
        let counted = closed["bytes_to_server"] == to_server && closed["bytes_to_client"] == to_client;
        text.split(' ').next() == Some(self.verb) && named && counted
    }
}

impl Audit {
    /// The records in this file.
    pub fn of(file: PathBuf) -> Self {
        Self { file }
    }

    /// Where the records of the next sessions begin.
    pub fn mark(&self) -> usize {
        fs::metadata(&self.file).map_or(0, |meta| usize::try_from(meta.len()).expect("audit files are small"))
    }

    /// Waits until the sessions since `mark` have ended and their records are right: each pinhole was
    /// opened by `setup`, connected and closed once; `transfer` is there once.
    pub fn verify(&self, mark: usize, setup: Setup, transfer: Option<Transfer>) -> Result<(), String> {
        let mut last = String::new();
        let right = poll(SETTLE, || match self.check(mark, setup, transfer) {
            Ok(()) => Some(()),
            Err(why) => {
                last = why;
                None
            }
        });
        right.ok_or_else(|| format!("audit: {last}; records:\n{}", self.tail(mark)))
    }

    /// The whole records since `mark`.
    pub fn records(&self, mark: usize) -> Result<Vec<Value>, String> {
        let text = self.tail(mark);
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let parsed: Result<_, _> = whole.map(serde_json::from_str).collect();
        parsed.map_err(|error| format!("not JSON: {error}"))
    }

    /// The text of the records since `mark`.
    pub fn tail(&self, mark: usize) -> String {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.get(mark..).unwrap_or_default().to_owned()
    }

    fn check(&self, mark: usize, setup: Setup, transfer: Option<Transfer>) -> Result<(), String> {
        let records = self.records(mark)?;
        let closed =
            |opened: &Value| of(&records, "session.closed").any(|end| end["session"] == opened["session"]);
        let mut sessions = of(&records, "session.opened").peekable();
        need(sessions.peek().is_some() && sessions.all(closed), "no session, or one that has not ended")?;
        for event in UNWANTED {
            need(of(&records, event).next().is_none(), &format!("there is a record of {event}"))?;
        }
        of(&records, "pinhole.opened").try_for_each(|opened| whole_life(&records, opened, setup))?;
        let Some(transfer) = transfer else { return Ok(()) };
        let count = of(&records, "pinhole.closed").filter(|closed| transfer.is(closed)).count();
        need(count == 1, &format!("{count} records of {transfer:?}"))
    }
}

fn whole_life(records: &[Value], opened: &Value, setup: Setup) -> Result<(), String> {
    let id = &opened["pinhole"];
    need(opened["command"] == setup.verb(), &format!("{id} was not opened by {}", setup.verb()))?;
    for event in ["pinhole.opened", "pinhole.connected", "pinhole.closed"] {
        let count = of(records, event).filter(|record| record["pinhole"] == *id).count();
        need(count == 1, &format!("{id} has {count} records of {event}"))?;
    }
    Ok(())
}

fn of<'a>(records: &'a [Value], event: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record["event"] == event)
}

fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key].as_str().unwrap_or_default()
}
