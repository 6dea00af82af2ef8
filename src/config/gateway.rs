//! The `gateway:` section.

use super::model::{AuditSink, Gateway, LogSettings, Nftables};
use super::reader::Section;
use super::value;
use super::words::{INTEGRATION, LOG_FORMAT, LOG_LEVEL, ON_STOP};

/// Reads the section; without it every default holds.
pub(super) fn read(top: &mut Section) -> Gateway {
    let mut gateway = Gateway::default();
    let Some(mut section) = top.section("gateway") else { return gateway };
    section.set("admin_socket", &mut (), value::for_now("none"));
    section.unavailable(&["http"]);
    if let Some(sink) = section.section("audit").and_then(audit) {
        gateway.audit = sink;
    }
    if let Some(settings) = section.section("log") {
        log(settings, &mut gateway.log);
    }
    if let Some(settings) = section.section("nftables") {
        nftables(settings, &mut gateway.nftables);
    }
    section.finish();
    gateway
}

fn audit(mut section: Section) -> Option<AuditSink> {
    let mut sinks = Vec::new();
    for (key, sink) in [("stdout", AuditSink::Stdout), ("journald", AuditSink::Journald)] {
        if let Some(value) = section.value(key) {
            sinks.push(value.read(&value::only("true", &[])).map(|()| sink));
        }
    }
    if let Some(value) = section.value("file") {
        sinks.push(value.read(&value::file_path()).map(AuditSink::File));
    }
    if sinks.len() > 1 {
        section.here().refuse("names more than one sink (allowed: one of stdout, file, journald)");
    }
    section.finish();
    sinks.pop().flatten()
}

fn log(mut section: Section, into: &mut LogSettings) {
    section.set("level", &mut into.level, value::word(LOG_LEVEL));
    section.set("format", &mut into.format, value::word(LOG_FORMAT));
    section.finish();
}

fn nftables(mut section: Section, into: &mut Nftables) {
    section.set("table", &mut into.table, value::table_name());
    section.set("integration", &mut into.integration, value::word(INTEGRATION));
    section.set("mark", &mut into.mark, value::mark());
    section.set("on_stop", &mut into.on_stop, value::word(ON_STOP));
    section.finish();
}
