//! The folders of tests/replay: captures of real servers and clients, and the records that the gateway would have
//! written. `FTP_PINHOLE_BLESS=1` writes expect.jsonl anew; read the difference before it is committed.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ftp_pinhole::capture::Reader;
use serde_json::Value;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// Runs `replay` in a folder.
pub fn replay(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftp-pinhole"));
    command.arg("replay").args(args).current_dir(folder).output().unwrap()
}

fn records(folder: &Path) -> Output {
    match folder.join("rules.yaml").exists() {
        true => replay(folder, &["--json", "--rules", "rules.yaml", "input.pcap"]),
        false => replay(folder, &["--json", "input.pcap"]),
    }
}

#[test]
fn every_case_has_the_records_that_it_expects() {
    let cases = cases();
    assert!(cases.len() >= 9, "the cases were found");
    for case in cases {
        let output = records(&case);
        let name = case.display();
        assert!(output.stderr.is_empty(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let expected = case.join("expect.jsonl");
        if env::var_os("FTP_PINHOLE_BLESS").is_some() {
            fs::write(&expected, &output.stdout).unwrap();
        }
        let expected = fs::read_to_string(expected).unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        for (number, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "{name}, line {}", number + 1);
        }
        assert_eq!(found.lines().count(), expected.lines().count(), "{name}");
        let denied = ["denied", "violation", "not-allowed"].iter().any(|word| {
            let records = found.lines().filter(|line| !line.starts_with("{\"summary\""));
            records.clone().any(|line| line.contains(word))
        });
        assert_eq!(output.status.code(), Some(i32::from(denied)), "{name}");
        assert!(case.join("README.md").exists(), "{name} says what it is");
    }
}

#[test]
fn suggested_rules_let_everything_pass_that_was_seen() {
    let folder = tempfile::tempdir().unwrap();
    for case in ["vsftpd-passive", "proftpd-active", "both-sides"] {
        let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay").join(case).join("input.pcap");
        let input = input.to_str().unwrap();
        let suggested = replay(folder.path(), &["--suggest", input]);
        assert_eq!(suggested.status.code(), Some(0), "{case}");
        fs::write(folder.path().join("rules.yaml"), &suggested.stdout).unwrap();
        let output = replay(folder.path(), &["--rules", "rules.yaml", "--json", input]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{case}: {text}");
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(summary["summary"]["uncovered"], 0, "{case}");
        assert_ne!(summary["summary"]["used"], 0, "{case}");
    }
}

#[test]
fn what_is_written_replays_and_holds_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay/pure-ftpd-session/input.pcap");
    let written = replay(folder.path(), &["--write", "out.pcapng", input.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(1));
    let bytes = fs::read(folder.path().join("out.pcapng")).unwrap();
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(!holds(b"labpass"));
    assert!(holds(b"PASS xxxx\r\n") && holds(b"pinhole.opened p-1"));
    // The gateway's own ports are in the replies.
    assert!(holds(b"(10,77,0,2,195,80)"));
    let again = replay(folder.path(), &["--json", "out.pcapng"]);
    let events: BTreeSet<_> = String::from_utf8(again.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().map(str::to_owned))
        .collect();
    assert!(events.contains("session.login") && events.contains("pinhole.opened"), "{events:?}");
    assert!(!events.contains("violation"), "{events:?}");
    let text = String::from_utf8(replay(folder.path(), &["--json", input.to_str().unwrap()]).stdout).unwrap();
    assert_eq!(handshakes(&folder.path().join("out.pcapng")), text.matches(r#""session.opened""#).count());
}

/// How many connections begin in a capture of IP packets.
fn handshakes(path: &Path) -> usize {
    let (mut reader, mut count) = (Reader::open(path).unwrap(), 0);
    while let Some(frame) = reader.next().unwrap() {
        let header = if frame.data[0] >> 4 == 4 { 20 } else { 40 };
        count += usize::from(frame.data[header + 13] == 2);
    }
    count
}

#[test]
fn several_captures_are_one_and_gzip_is_read() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let input = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay/vsftpd-passive/input.pcap");
    let bytes = fs::read(&input).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    fs::write(folder.path().join("a.pcap.gz"), gzip.finish().unwrap()).unwrap();
    fs::write(folder.path().join("cut.pcap"), &bytes[..bytes.len() - 7]).unwrap();
    let plain = replay(folder.path(), &[input.to_str().unwrap()]);
    assert_eq!(replay(folder.path(), &["a.pcap.gz"]).stdout, plain.stdout);

    let cut = replay(folder.path(), &["cut.pcap"]);
    assert_eq!(String::from_utf8_lossy(&cut.stderr), "warning: cut.pcap: the capture ends inside a frame\n");
}

#[test]
fn errors_name_the_file_and_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty"), b"").unwrap();
    fs::write(folder.path().join("text"), b"hello world").unwrap();
    for (args, expected) in [
        (
            &["missing.pcap"][..],
            "missing.pcap: cannot read the capture: No such file or directory (os error 2)\n",
        ),
        (&["empty"], "empty: the capture is empty\n"),
        (&["text"], "text: not a capture: it begins with 68 65 6c 6c, neither pcap nor pcapng\n"),
        (&["--rules", "text", "empty"], "text:1:1: "),
    ] {
        let output = replay(folder.path(), args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.starts_with(expected), "{stderr}");
        assert_eq!(output.status.code(), Some(2));
    }
}
