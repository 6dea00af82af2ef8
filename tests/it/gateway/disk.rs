//! The audit file's disk fills up, and the file is rotated.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;

use super::PATIENCE;
use super::program::{Program, Scratch};

const REFUSED: &str = "425 The gateway cannot open a data connection now.";

fn file(scratch: &Scratch) -> String {
    format!("file: \"{}\"", scratch.path("audit.jsonl").display())
}

#[test]
fn p8_full_disk_refuses_pinholes_and_lets_running_transfers_finish() {
    if !Path::new("/dev/full").exists() {
        return super::skip(
            "p8_full_disk_refuses_pinholes_and_lets_running_transfers_finish",
            "no /dev/full",
        );
    }
    let scratch = Scratch::new();
    let records = scratch.path("records");
    fs::write(&records, "").unwrap();
    scratch.link("audit.jsonl", &records);
    let program = Program::start(&file(&scratch), "");
    let mut pair = program.log_in();
    let ends = pair.begin_retrieve();

    scratch.link("audit.jsonl", Path::new("/dev/full"));
    program.signal(Signal::HUP);
    program.logs("audit sink opened anew");
    let mut other = program.log_in();
    program.logs("audit sink fails");
    assert_eq!(other.ask_passive().1, REFUSED);
    other.client.ask("PORT 127,0,0,1,200,1", REFUSED);
    pair.finish_retrieve(ends, b"whole all the same");

    scratch.link("audit.jsonl", &records);
    program.signal(Signal::HUP);
    program.logs("audit sink works again");
    let ends = other.begin_retrieve();
    other.finish_retrieve(ends, b"as before");
    drop((pair, other));
    stop(program);
    let text = fs::read_to_string(&records).unwrap();
    for event in ["pinhole.denied", "pinhole.closed", "gateway.stopped"] {
        assert!(text.contains(&format!("\"event\":\"{event}\"")), "{event} is missing in {text}");
    }
    assert_eq!(text.matches("\"event\":\"pinhole.closed\"").count(), 2);
}

#[test]
fn p8_disk_that_is_full_from_the_start_refuses_pinholes() {
    if !Path::new("/dev/full").exists() {
        return super::skip("p8_disk_that_is_full_from_the_start_refuses_pinholes", "no /dev/full");
    }
    let mut program = Program::start("file: /dev/full", "");
    program.logs("audit sink fails");
    let mut pair = program.log_in();
    assert_eq!(pair.ask_passive().1, REFUSED);
    pair.pass("QUIT", "221 bye");
    drop(pair);
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), Some(2), "the last records are lost, and the exit code says so");
}

#[test]
fn audit_file_is_opened_anew_at_sighup_after_rotation() {
    let scratch = Scratch::new();
    let (new, old) = (scratch.path("audit.jsonl"), scratch.path("audit.jsonl.1"));
    let program = Program::start(&file(&scratch), "");
    wait_until_written(&new, "gateway.started");
    fs::rename(&new, &old).unwrap();
    program.signal(Signal::HUP);
    program.logs("audit sink opened anew");
    let mut pair = program.log_in();
    let ends = pair.begin_retrieve();
    pair.finish_retrieve(ends, b"after rotation");
    drop(pair);
    stop(program);
    let (new, old) = (fs::read_to_string(new).unwrap(), fs::read_to_string(old).unwrap());
    assert!(old.contains("gateway.started") && !old.contains("pinhole.opened"), "{old}");
    assert!(new.contains("pinhole.closed") && new.contains("gateway.stopped"), "{new}");
    assert!(old.ends_with("}\n") && new.ends_with("}\n"));
}

fn wait_until_written(path: &Path, text: &str) {
    let start = Instant::now();
    while !fs::read_to_string(path).unwrap().contains(text) {
        assert!(start.elapsed() < PATIENCE, "{text} is not written");
    }
}

fn stop(mut program: Program) {
    program.signal(Signal::TERM);
    assert_eq!(program.exit_code(), Some(0));
}
