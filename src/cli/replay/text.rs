//! Records and the summary, for people.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::audit::Record;
use crate::replay::Summary;
use crate::session::EventKind;

/// One line for a record that people want to see; `None` for the others.
pub(super) fn line(record: &Record) -> Option<String> {
    let event = &record.event;
    let mark = match event.kind {
        EventKind::PinholeClosed => "ok",
        EventKind::PinholeExpired | EventKind::PinholeRevoked => "unused",
        _ if record.is_refusal() => "DENIED",
        _ => return None,
    };
    let context = record.context.as_ref();
    let time = humantime::format_rfc3339_millis(record.ts).to_string();
    let session = context.map(|context| context.session.to_string()).unwrap_or_default();
    let client = context.map(|context| context.client.to_string()).unwrap_or_default();
    let what = event.transfer.clone().or_else(|| event.command.clone()).unwrap_or_default();
    let to = event.to.map(|to| format!("to {to}")).unwrap_or_default();
    let reason = event.reason.map(|reason| reason.code()).unwrap_or_default();
    let parts = [&session[..], &client, event.kind.name(), &what, &to, reason];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(format!("{time} {mark:<6} {}", parts.join("  ")))
}

/// The summary.
pub(super) fn summary(summary: &Summary) -> String {
    let mut text = String::from("\n");
    let mut row = |name: &str, value: &dyn Display| writeln!(text, "{name:<22} {value}").expect(STRING);
    row(
        "frames",
        &format_args!(
            "{} ({} without TCP, {} malformed)",
            summary.frames, summary.other_frames, summary.malformed_frames
        ),
    );
    if let Some(dropped) = summary.dropped_frames {
        row("dropped", &format_args!("{dropped} by the kernel"));
    }
    row("sessions", &sessions(summary));
    row("users", &some(&summary.users));
    for (addr, server) in &summary.servers {
        row(
            "server",
            &format_args!(
                "{addr}: sessions {}, passive {}, active {}",
                server.sessions, server.passive, server.active
            ),
        );
    }
    row("set-ups", &counts(&summary.setups));
    row("pinholes", &format_args!("{} opened, {} used", summary.opened, summary.used));
    row("unused", &counts(&summary.unused));
    row("denied pinholes", &counts(&summary.denied));
    row("denied commands", &counts(&summary.denied_commands));
    row("violations", &counts(&summary.violations));
    row("turned away", &counts(&summary.turned_away));
    row("tolerated", &counts(&summary.tolerated));
    row("transfers", &counts(&summary.transfers));
    row(
        "bytes",
        &format_args!("{} to servers, {} to clients", summary.bytes_to_server, summary.bytes_to_client),
    );
    row("passive ports", &ports(summary));
    for link in &summary.unknown_links {
        row("left out", &format_args!("frames with link headers of type {link}, which is not known"));
    }
    text
}

fn sessions(summary: &Summary) -> String {
    let mut text = format!("{}, {} logins", summary.sessions, summary.logins);
    let others = [
        (summary.began_before, "began before the capture"),
        (summary.gaps, "begin behind a gap in the capture, which may be why something was denied"),
        (summary.encrypted, "went on with TLS"),
        (summary.uncovered, "more belong to no service"),
    ];
    for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
        write!(text, ", {count} {what}").expect(STRING);
    }
    text
}

fn ports(summary: &Summary) -> String {
    let needed = summary.passive_ports_needed;
    let announced = summary.server_ports.map(|(low, high)| format!("; servers announced {low} to {high}"));
    format!("{needed} would have been enough{}", announced.unwrap_or_default())
}

/// `name count` for each, the most first.
fn counts<K: Display>(counts: &BTreeMap<K, u64>) -> String {
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let all: Vec<_> = sorted.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// The first few of many.
fn some<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    const FEW: usize = 10;
    let names: Vec<_> = names.into_iter().collect();
    let shown = names.iter().take(FEW).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".to_owned(),
        count if count > FEW => format!("{shown} and {} more", count - FEW),
        _ => shown,
    }
}

const STRING: &str = "a string takes any text";

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::session::Event;

    #[test]
    fn a_capture_may_claim_any_time() {
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        let record = Record::new(late, None, Event::new(EventKind::Violation));
        assert_eq!(line(&record).unwrap(), "9999-12-31T23:59:59.000Z DENIED violation");
    }
}
