//! One audit record and its JSON form, a contract with whoever reads the file.
//!
//! Pure: the caller says what time it is. Strings of an [`Event`] come with control bytes escaped.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::ids::SessionId;
use crate::session::{Event, EventKind};

/// The session that an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionContext {
    /// The service's name.
    pub service: Arc<str>,
    /// The session.
    pub session: SessionId,
    /// The client, from its socket.
    pub client: SocketAddr,
    /// The server, from its socket; `None` until the gateway is connected to it.
    pub server: Option<SocketAddr>,
}

/// One audit record. It serialises to the keys of `docs/audit.md`, all of them, in that order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it happened, in the years that RFC 3339 can write.
    pub ts: SystemTime,
    /// The session; `None` for what concerns the gateway as a whole.
    pub context: Option<SessionContext>,
    /// What happened.
    pub event: Event,
}

impl Record {
    /// A record of `event`. Texts that a peer chose are cut at [`MAX_TEXT`] bytes, which bounds the
    /// memory of the queue and fits a record into one datagram to the journal.
    pub fn new(ts: SystemTime, context: Option<SessionContext>, mut event: Event) -> Self {
        for text in [&mut event.user, &mut event.command, &mut event.transfer].into_iter().flatten() {
            cut(text);
        }
        Self { ts: printable(ts), context, event }
    }

    /// Whether a peer can cause any number of these without being given anything.
    pub fn is_refusal(&self) -> bool {
        match self.event.kind {
            EventKind::CommandDenied | EventKind::PinholeDenied | EventKind::Violation => true,
            // Turned away before there was a server.
            EventKind::SessionClosed => self.context.as_ref().is_none_or(|context| context.server.is_none()),
            _ => false,
        }
    }

    /// The JSON object, on one line without its end.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a record holds only text and numbers")
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record { ts, context, event } = self;
        let context = context.as_ref();
        let mut json = serializer.serialize_struct("Record", 19)?;
        json.serialize_field("ts", &Text(humantime::format_rfc3339_micros(*ts)))?;
        json.serialize_field("event", event.kind.name())?;
        json.serialize_field("service", &context.map(|context| &*context.service))?;
        json.serialize_field("session", &context.map(|context| Text(context.session)))?;
        json.serialize_field("pinhole", &event.pinhole.map(Text))?;
        json.serialize_field("mode", &event.mode.map(|mode| mode.as_str()))?;
        json.serialize_field("command", &event.command)?;
        json.serialize_field("client", &context.map(|context| Text(context.client)))?;
        json.serialize_field("user", &event.user)?;
        json.serialize_field("server", &context.and_then(|context| context.server).map(Text))?;
        json.serialize_field("from", &event.from.map(Text))?;
        json.serialize_field("listen", &event.listen.map(Text))?;
        json.serialize_field("to", &event.to.map(Text))?;
        json.serialize_field("rule", &event.rule.as_deref())?;
        json.serialize_field("reason", &event.reason.map(|reason| reason.code()))?;
        json.serialize_field("transfer", &event.transfer)?;
        json.serialize_field("bytes_to_server", &event.bytes_to_server)?;
        json.serialize_field("bytes_to_client", &event.bytes_to_client)?;
        json.serialize_field("duration_ms", &event.duration.map(milliseconds))?;
        json.end()
    }
}

/// Serialises as the text that it displays.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The nearest time that RFC 3339 can write: a capture file may claim any.
fn printable(ts: SystemTime) -> SystemTime {
    ts.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + END_OF_9999)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Shortens `text` to [`MAX_TEXT`] bytes, on a character's boundary, and marks that with `…`.
fn cut(text: &mut String) {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
}

/// The longest user, command or transfer in a record, in bytes.
pub const MAX_TEXT: usize = 4096;

/// From 1970 to the last second of the year 9999.
const END_OF_9999: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::EventKind;

    fn record_of_user(user: String) -> Record {
        let mut event = Event::new(EventKind::SessionLogin);
        event.user = Some(user);
        Record::new(SystemTime::UNIX_EPOCH, None, event)
    }

    #[test]
    fn json_holds_no_raw_control_byte_and_no_line_end() {
        for byte in 0..0x20_u8 {
            let json = record_of_user(format!("a{}b", char::from(byte))).json();
            assert!(json.bytes().all(|byte| byte >= 0x20), "{json:?}");
        }
    }

    #[test]
    fn escapes_of_the_engine_reach_the_reader_as_they_are() {
        let escaped = r"\x1b[2J\x7f\x9b\u{202e}";
        let json: serde_json::Value = serde_json::from_str(&record_of_user(escaped.into()).json()).unwrap();
        assert_eq!(json["user"], escaped);
    }

    #[test]
    fn a_text_over_the_bound_is_cut_between_characters_and_marked() {
        let record = record_of_user(format!("a{}", "é".repeat(MAX_TEXT)));
        let user = record.event.user.unwrap();
        assert_eq!(user.len(), MAX_TEXT - 1 + '…'.len_utf8());
        assert!(user.ends_with("é…"));
        assert_eq!(record_of_user("x".repeat(MAX_TEXT)).event.user.unwrap(), "x".repeat(MAX_TEXT));
    }

    #[test]
    fn times_that_rfc_3339_cannot_write_become_the_nearest_one_it_can() {
        let at = |ts| Record::new(ts, None, Event::new(EventKind::GatewayStarted)).json();
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert!(at(early).starts_with(r#"{"ts":"1970-01-01T00:00:00.000000Z""#));
        assert!(at(late).starts_with(r#"{"ts":"9999-12-31T23:59:59.000000Z""#));
    }
}
