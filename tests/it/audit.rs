//! Audit records: their form is the contract's, none is lost while a sink fails or rotates, nothing
//! opens that could not be recorded, and the documentation names every event and reason.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, process, thread};

use ftp_pinhole::audit::{Audit, AuditError, CAPACITY, Record, SessionContext};
use ftp_pinhole::config::model::AuditSink;
use ftp_pinhole::ids::{PinholeId, SessionId};
use ftp_pinhole::policy::TransferMode;
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::{Event, EventKind};

/// The keys of a record, in order.
const KEYS: [&str; 19] = [
    "ts",
    "event",
    "service",
    "session",
    "pinhole",
    "mode",
    "command",
    "client",
    "user",
    "server",
    "from",
    "listen",
    "to",
    "rule",
    "reason",
    "transfer",
    "bytes_to_server",
    "bytes_to_client",
    "duration_ms",
];

/// Longer than any test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// 2026-01-31T12:00:00.123456Z.
fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(1_769_860_800_123_456)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn context() -> SessionContext {
    SessionContext {
        service: "warehouse".into(),
        session: SessionId(0x1f),
        client: addr("198.51.100.10:40122"),
        server: Some(addr("10.0.0.5:21")),
    }
}

fn opened() -> Event {
    Event {
        user: Some("alice".into()),
        pinhole: Some(PinholeId(0x2a)),
        mode: Some(TransferMode::Passive),
        command: Some("EPSV".into()),
        from: Some(addr("198.51.100.10:0").ip()),
        listen: Some(addr("203.0.113.10:50017")),
        to: Some(addr("10.0.0.5:41234")),
        ..Event::new(EventKind::PinholeOpened)
    }
}

/// A record that can be told from all others.
fn numbered(number: usize) -> Record {
    let event = Event { transfer: Some(format!("RETR /{number}")), ..Event::new(EventKind::PinholeClosed) };
    Record::new(noon(), Some(context()), event)
}

/// What `numbered` records hold, in order; panics when a line is not a whole record.
fn transfers(text: &str) -> Vec<String> {
    let transfer = |line: &str| {
        let json: serde_json::Value = serde_json::from_str(line).expect(line);
        json["transfer"].as_str().expect(line).to_owned()
    };
    text.lines().map(transfer).collect()
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("RETR /{number}")).collect()
}

/// Lets other threads run until `condition` holds.
fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "the condition never came to hold");
        thread::yield_now();
    }
}

/// A directory of its own for one test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("ftp-pinhole-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open_file(path: &Path) -> Audit {
    Audit::open(&AuditSink::File(path.to_owned())).unwrap()
}

#[test]
fn a_record_is_the_contract_s_to_the_byte() {
    assert_eq!(
        Record::new(noon(), Some(context()), opened()).json(),
        concat!(
            r#"{"ts":"2026-01-31T12:00:00.123456Z","event":"pinhole.opened","service":"warehouse","#,
            r#""session":"s-1f","pinhole":"p-2a","mode":"passive","command":"EPSV","#,
            r#""client":"198.51.100.10:40122","user":"alice","server":"10.0.0.5:21","#,
            r#""from":"198.51.100.10","listen":"203.0.113.10:50017","to":"10.0.0.5:41234","rule":null,"#,
            r#""reason":null,"transfer":null,"bytes_to_server":null,"bytes_to_client":null,"#,
            r#""duration_ms":null}"#
        )
    );
}

#[test]
fn the_end_of_a_transfer_carries_reason_bytes_and_duration() {
    let event = Event {
        reason: Some(Reason::DataIdle),
        transfer: Some("STOR a.iso".into()),
        bytes_to_server: Some(u64::MAX),
        bytes_to_client: Some(0),
        duration: Some(Duration::from_micros(1_234_900)),
        ..Event::new(EventKind::PinholeClosed)
    };
    let json = Record::new(noon(), None, event).json();
    let end = r#""reason":"data-idle","transfer":"STOR a.iso","bytes_to_server":18446744073709551615,"bytes_to_client":0,"duration_ms":1234}"#;
    assert!(json.ends_with(end), "{json}");
}

#[test]
fn every_event_has_every_key_in_order_and_null_where_nothing_applies() {
    let keys: String = KEYS[2..].iter().map(|key| format!(",\"{key}\":null")).collect();
    for kind in EventKind::ALL {
        let name = kind.name();
        assert_eq!(
            Record::new(noon(), None, Event::new(*kind)).json(),
            format!("{{\"ts\":\"2026-01-31T12:00:00.123456Z\",\"event\":\"{name}\"{keys}}}")
        );
    }
}

#[test]
fn memory_shows_a_record_as_soon_as_it_is_written() {
    let (audit, log) = Audit::memory();
    audit.record(numbered(1));
    audit.record(Record::new(noon(), Some(context()), opened()));
    let found = log.wait_for(PATIENCE, |record| record.event.kind == EventKind::PinholeOpened);
    assert_eq!(found, Some(Record::new(noon(), Some(context()), opened())));
    assert_eq!(log.records().len(), 2);
}

#[test]
fn p6_p8_a_failing_sink_bounds_the_queue_refuses_pinholes_and_recovers() {
    let (audit, log) = Audit::memory();
    log.set_failing(true);
    (0..CAPACITY + 3).for_each(|number| audit.record(numbered(number)));
    until(|| !audit.can_open());
    assert_eq!(audit.dropped(), 3);

    log.set_failing(false);
    until(|| audit.can_open());
    audit.close(PATIENCE).unwrap();
    let wanted: Vec<Record> = (0..CAPACITY).map(numbered).collect();
    assert!(log.records() == wanted);
}

#[test]
fn d43_a_flood_of_refusals_leaves_the_pinholes_of_others_their_room() {
    let (audit, log) = Audit::memory();
    log.set_failing(true);
    let refusal = || Record::new(noon(), Some(context()), Event::new(EventKind::CommandDenied));
    (0..CAPACITY).for_each(|_| audit.record(refusal()));
    assert_eq!(audit.dropped(), u64::try_from(CAPACITY - CAPACITY / 4).unwrap());

    log.set_failing(false);
    until(|| audit.can_open());
    audit.close(PATIENCE).unwrap();
    assert_eq!(log.records().len(), CAPACITY / 4);
}

#[test]
fn close_gives_up_at_its_deadline_and_says_how_many_are_lost() {
    let (audit, log) = Audit::memory();
    log.set_failing(true);
    audit.record(numbered(0));
    let after = audit.clone();
    let error = audit.close(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.to_string(), "1 audit records were not written within 1ms");

    after.record(numbered(1));
    assert_eq!((after.dropped(), after.can_open()), (1, false));
}

#[test]
fn the_last_handle_leaves_nothing_unwritten() {
    let (audit, log) = Audit::memory();
    audit.record(numbered(7));
    drop(audit);
    assert_eq!(log.wait_for(PATIENCE, |_| true), Some(numbered(7)));
}

#[test]
fn a_file_that_cannot_be_opened_stops_the_start() {
    let path = PathBuf::from("/nonexistent/audit.jsonl");
    let error = Audit::open(&AuditSink::File(path.clone())).unwrap_err();
    assert_eq!(error.to_string(), "cannot open /nonexistent/audit.jsonl for audit records");
    assert!(matches!(error, AuditError::Open { path: named, .. } if named == path));
}

#[test]
fn a_file_is_appended_to_and_others_cannot_read_it() {
    let scratch = Scratch::new("append");
    let path = scratch.path("audit.jsonl");
    for number in 0..2 {
        let audit = open_file(&path);
        audit.record(numbered(number));
        audit.close(PATIENCE).unwrap();
    }
    assert_eq!(transfers(&fs::read_to_string(&path).unwrap()), expected(0..2));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o027, 0);
}

/// The sink's path is a symbolic link: to /dev/full at first, then to a file.
#[test]
fn p8_a_full_disk_refuses_pinholes_and_nothing_is_lost_once_there_is_room() {
    if !Path::new("/dev/full").exists() {
        eprintln!("SKIP: this system has no /dev/full");
        return;
    }
    let scratch = Scratch::new("full");
    let (path, good) = (scratch.path("audit.jsonl"), scratch.path("good.jsonl"));
    symlink("/dev/full", &path).unwrap();
    let audit = open_file(&path);
    assert!(audit.can_open());
    (0..500).for_each(|number| audit.record(numbered(number)));
    until(|| !audit.can_open());

    fs::remove_file(&path).unwrap();
    symlink(&good, &path).unwrap();
    audit.reopen();
    until(|| audit.can_open());
    (500..600).for_each(|number| audit.record(numbered(number)));
    audit.close(PATIENCE).unwrap();
    assert_eq!(transfers(&fs::read_to_string(&good).unwrap()), expected(0..600));
}

#[test]
fn a_path_that_cannot_be_opened_anew_leaves_the_old_file_in_use() {
    let scratch = Scratch::new("stay");
    let (path, moved) = (scratch.path("audit.jsonl"), scratch.path("moved.jsonl"));
    let audit = open_file(&path);
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    audit.reopen();
    audit.record(numbered(0));
    audit.close(PATIENCE).unwrap();
    assert_eq!(transfers(&fs::read_to_string(&moved).unwrap()), expected(0..1));
}

/// Ten times the file is moved away, as logrotate does it, while two threads record.
#[test]
fn rotation_under_load_keeps_lines_whole_and_loses_none() {
    const TURNS: usize = 10;
    const EACH: usize = 300;
    let scratch = Scratch::new("rotate");
    let path = scratch.path("audit.jsonl");
    let audit = open_file(&path);
    let mut files = Vec::new();
    for turn in 0..TURNS {
        files.push(scratch.path(&format!("audit.{turn}.jsonl")));
        thread::scope(|scope| {
            for first in [2 * turn * EACH, (2 * turn + 1) * EACH] {
                let audit = &audit;
                scope.spawn(move || (first..first + EACH).for_each(|number| audit.record(numbered(number))));
            }
            fs::rename(&path, &files[turn]).unwrap();
            audit.reopen();
            until(|| path.exists());
        });
    }
    audit.close(PATIENCE).unwrap();
    files.push(path);
    let found: Vec<String> =
        files.iter().flat_map(|path| transfers(&fs::read_to_string(path).unwrap())).collect();
    assert_eq!(found.len(), 2 * TURNS * EACH);
    assert_eq!(
        found.into_iter().collect::<HashSet<_>>(),
        expected(0..2 * TURNS * EACH).into_iter().collect()
    );
}

#[test]
fn a_record_reaches_the_journal_as_one_datagram_with_fields() {
    let scratch = Scratch::new("journal");
    let path = scratch.path("socket");
    let journal = UnixDatagram::bind(&path).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    let audit = Audit::journald(&path).unwrap();
    let record = Record::new(noon(), Some(context()), opened());
    audit.record(record.clone());
    audit.record(Record::new(noon(), None, Event::new(EventKind::GatewayStopped)));

    let mut buffer = [0; 4096];
    let size = journal.recv(&mut buffer).unwrap();
    let wanted = format!(
        "MESSAGE={}\nPRIORITY=6\nSYSLOG_IDENTIFIER=ftp-pinhole\nFTP_PINHOLE_EVENT=pinhole.opened\n\
         FTP_PINHOLE_SESSION=s-1f\nFTP_PINHOLE_SERVICE=warehouse\n",
        record.json()
    );
    assert_eq!(str::from_utf8(&buffer[..size]).unwrap(), wanted);
    let size = journal.recv(&mut buffer).unwrap();
    assert!(buffer[..size].ends_with(b"\nFTP_PINHOLE_EVENT=gateway.stopped\n"));
}

#[test]
fn a_journal_that_restarts_gets_every_record() {
    let scratch = Scratch::new("restart");
    let path = scratch.path("socket");
    let journal = UnixDatagram::bind(&path).unwrap();
    let audit = Audit::journald(&path).unwrap();
    drop(journal);
    audit.record(numbered(0));
    until(|| !audit.can_open());

    fs::remove_file(&path).unwrap();
    let journal = UnixDatagram::bind(&path).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 4096];
    let size = journal.recv(&mut buffer).unwrap();
    assert!(buffer[..size].starts_with(format!("MESSAGE={}\n", numbered(0).json()).as_bytes()));
    audit.close(PATIENCE).unwrap();
}

#[test]
fn the_documentation_has_one_heading_per_event_and_reason_and_no_other() {
    let headings: Vec<&str> = DOCUMENTATION.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let events = EventKind::ALL.iter().map(|kind| kind.name());
    let reasons = Reason::ALL.iter().map(|reason| reason.code());
    assert_eq!(headings, events.chain(reasons).collect::<Vec<_>>());
}

#[test]
fn the_documentation_explains_every_key() {
    let rows: Vec<&str> = DOCUMENTATION
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(rows, KEYS);
}

const DOCUMENTATION: &str = include_str!("../../docs/audit.md");
