//! `--write`: the control connections as the gateway would have sent them, for Wireshark.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::BufWriter;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;

use crate::audit::Record;
use crate::capture::{Conversation, Writer};
use crate::replay::Sent;
use crate::session::EventKind;

/// A capture that is written.
pub(super) struct Transcript {
    writer: Writer<BufWriter<File>>,
    conversations: HashMap<Ends, Conversation>,
    /// What the next packet of a connection gets as its comment.
    comments: HashMap<Ends, String>,
    /// Sessions that are over, but for their last words.
    closed: Vec<Ends>,
}

/// A client and a server.
type Ends = (SocketAddr, SocketAddr);

impl Transcript {
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let name = || format!("cannot write {}", path.display());
        let file = File::create(path).with_context(name)?;
        let writer = Writer::new(BufWriter::new(file)).with_context(name)?;
        Ok(Self { writer, conversations: HashMap::new(), comments: HashMap::new(), closed: Vec::new() })
    }

    /// Remembers what happened, for the packet that follows from it.
    pub(super) fn note(&mut self, record: &Record) {
        let Some((client, server)) =
            record.context.as_ref().and_then(|context| Some((context.client, context.server?)))
        else {
            return;
        };
        let comment = self.comments.entry((client, server)).or_default();
        if !comment.is_empty() {
            comment.push('\n');
        }
        comment.push_str(&describe(record));
        if record.event.kind == EventKind::SessionClosed {
            self.closed.push((client, server));
        }
    }

    /// What is noted is written. Whoever comes from the ports of a closed session next is somebody else.
    pub(super) fn settle(&mut self) {
        for ends in self.closed.drain(..) {
            self.conversations.remove(&ends);
            self.comments.remove(&ends);
        }
    }

    pub(super) fn write(&mut self, sent: &Sent) -> anyhow::Result<()> {
        let ends = (sent.legs.client, sent.legs.server);
        let at = sent.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mut packets = Vec::new();
        let conversation = match self.conversations.entry(ends) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Some(mut conversation) = Conversation::new(ends.0, ends.1) else { return Ok(()) };
                packets.extend(conversation.open());
                new.insert(conversation)
            }
        };
        packets.extend(conversation.say(sent.by, &sent.bytes));
        let comment = self.comments.remove(&ends).filter(|comment| !comment.is_empty());
        let last = packets.len().saturating_sub(1);
        for (i, packet) in packets.iter().enumerate() {
            let comment = comment.as_deref().filter(|_| i == last);
            self.writer.write(at, packet, comment).context(WRITE)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.writer.finish().map(drop).context(WRITE)
    }
}

/// A record in a few words.
fn describe(record: &Record) -> String {
    let event = &record.event;
    let mut text = event.kind.name().to_owned();
    if let Some(pinhole) = event.pinhole {
        text.push_str(&format!(" {pinhole}"));
    }
    if let (Some(from), Some(to)) = (event.from, event.to) {
        text.push_str(&format!(", {from} may dial {to}"));
    }
    if let Some(reason) = event.reason {
        text.push_str(&format!(", {reason}"));
    }
    text
}

const WRITE: &str = "cannot write the capture";
