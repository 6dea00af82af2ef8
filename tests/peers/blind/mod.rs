//! FTPS that passes through from end to end (`tls: {mode: blind}`), and CCC, after which the gateway sees commands
//! again (RFC 4217 section 6).
//!
//! Scenario of each test: a client lists, downloads and uploads; the records tell which connections came through
//! the static range and which through a pinhole of their own.

mod rig;
mod server;

use std::fs;

use serde_json::Value;

use crate::namespace::isolated;
use crate::operation::{content, put_file};
use rig::{Program, Rig};
use server::Kind::{self, Proftpd, PureFtpd};

/// One test for each line, in a namespace of its own.
macro_rules! tests {
    ($($(#[$meta:meta])* $name:ident: $run:expr;)+) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                isolated(concat!("blind::", stringify!($name)), || $run);
            }
        )+
    };
}

tests! {
    curl_passes_to_proftpd: passes(Program::Curl, Proftpd);
    curl_passes_to_pure_ftpd: passes(Program::Curl, PureFtpd);
    lftp_passes_to_proftpd: passes(Program::Lftp, Proftpd);
    lftp_passes_to_pure_ftpd: passes(Program::Lftp, PureFtpd);
    // Pure-FTPd answers the client's close_notify with none: curl's passive way waits for it, with or without a
    // gateway. lftp gives a session up now and then when ProFTPD's comes, and does a transfer twice then.
    curl_clears_the_way_to_proftpd: clears(Program::CurlCcc { active: false }, Proftpd);
    curl_clears_the_way_to_proftpd_first: clears(Program::CurlCcc { active: true }, Proftpd);
    curl_clears_the_way_to_pure_ftpd: clears(Program::CurlCcc { active: true }, PureFtpd);
}

/// Everything is encrypted to the end: all data comes through the range.
fn passes(program: Program, kind: Kind) {
    let Some(rig) = Rig::start(program, kind) else { return };
    let sessions = do_all(&rig, program);
    let records = rig.records_of(sessions);
    assert_eq!(reasons(&records, "pinhole.opened"), vec!["blind"; sessions]);
    assert_eq!(reasons(&records, "pinhole.revoked"), vec!["session-ended"; sessions]);
    let connected = of(&records, "pinhole.connected");
    assert_eq!(connected.len(), 3, "{records:#?}");
    assert!(connected.iter().all(|record| rig.is_in_range(record)), "{records:#?}");
    assert_in_order(&records);
}

/// CCC behind the login: no data comes through the range, which is shut before the first pinhole opens.
fn clears(program: Program, kind: Kind) {
    let Some(rig) = Rig::start(program, kind) else { return };
    let sessions = do_all(&rig, program);
    let records = rig.records_of(sessions);
    let opened = of(&records, "pinhole.opened");
    let (ranges, pinholes): (Vec<_>, Vec<_>) =
        opened.into_iter().partition(|opened| opened["reason"] == "blind");
    assert_eq!(ranges.len(), sessions, "{records:#?}");
    for pinhole in &pinholes {
        assert!(pinhole["reason"].is_null() && !rig.is_in_range(pinhole), "{pinhole}");
        let place = |found: &dyn Fn(&Value) -> bool| records.iter().position(found);
        let shut = place(&|record| record["reason"] == "ccc" && record["session"] == pinhole["session"]);
        assert!(
            shut.is_some() && shut < place(&|record| record == *pinhole),
            "the range is open beside {pinhole}"
        );
        for event in ["pinhole.connected", "pinhole.closed"] {
            let its =
                of(&records, event).into_iter().filter(|record| record["pinhole"] == pinhole["pinhole"]);
            assert_eq!(its.count(), 1, "{event} of {pinhole}");
        }
    }
    let transfers =
        of(&records, "pinhole.closed").into_iter().filter_map(|closed| closed["transfer"].as_str());
    let mut verbs: Vec<_> = transfers.filter_map(|transfer| transfer.split(' ').next()).collect();
    verbs.sort_unstable();
    assert_eq!((verbs, pinholes.len()), (vec!["LIST", "RETR", "STOR"], 3), "{records:#?}");
    assert_in_order(&records);
}

/// Has the client do everything; in how many sessions.
fn do_all(rig: &Rig, program: Program) -> usize {
    put_file(&rig.home().join("data.bin"), &content("data.bin"));
    fs::write(rig.work().join("new.bin"), content("new.bin")).expect("the test's directory takes files");
    let sessions = rig.run(program);
    let read = |path| fs::read(path).unwrap_or_default();
    assert!(read(rig.work().join("data.bin")) == content("data.bin"), "the file arrives changed");
    assert!(read(rig.home().join("new.bin")) == content("new.bin"), "the file is stored changed");
    sessions
}

fn assert_in_order(records: &[Value]) {
    for event in ["violation", "command.denied", "pinhole.denied", "pinhole.expired"] {
        assert_eq!(of(records, event), Vec::<&Value>::new());
    }
}

fn reasons(records: &[Value], event: &str) -> Vec<String> {
    let named = of(records, event).into_iter().filter_map(|record| record["reason"].as_str());
    named.map(str::to_owned).collect()
}

fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event"] == event).collect()
}
