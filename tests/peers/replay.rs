//! Captures of tests/replay as tshark's FTP dissector reads them, and as `replay` does: the same addresses and ports
//! in the same frames.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // what a test unwraps fails that test

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::namespace::{skip, test_name};
use crate::process::find;

/// An address that was set up, and the frame that names it.
type Named = BTreeSet<(u64, SocketAddr)>;

#[test]
fn tshark_reads_the_same_addresses_in_the_same_frames() {
    let Some(tshark) = find("tshark") else { return skip(&test_name(), "tshark is not installed") };
    for case in ["vsftpd-passive", "proftpd-active", "pure-ftpd-session", "bounce", "both-sides"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay").join(case);
        let theirs = dissected(&tshark, &folder);
        let ours = replayed(&folder, &theirs);
        assert!(!theirs.is_empty(), "{case}");
        assert_eq!(ours, theirs, "{case}");
    }
}

fn dissected(tshark: &Path, folder: &Path) -> Named {
    const FIELDS: [&str; 5] = ["ftp.passive", "ftp.active", "ftp.eprt", "ftp.epsv", "ftp.epsv"];
    const ADDRESSES: [&str; 5] = ["ip", "cip", "ip,ipv6", "ip", "ipv6"];
    let mut named = Named::new();
    for (field, addresses) in FIELDS.iter().zip(ADDRESSES) {
        for address in addresses.split(',') {
            let (ip, port) = (format!("{field}.{address}"), format!("{field}.port"));
            let mut command = Command::new(tshark);
            command.args(["-r", "input.pcap", "-T", "fields", "-e", "frame.number", "-e", &ip, "-e", &port]);
            let output =
                command.args(["-Y", &format!("{ip} and {port}")]).current_dir(folder).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            named.extend(text.lines().filter_map(row));
        }
    }
    named
}

fn row(line: &str) -> Option<(u64, SocketAddr)> {
    let [frame, ip, port] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
    let (ip, port): (IpAddr, u16) = (ip.parse().unwrap(), port.parse().unwrap());
    // PORT 198,51,100,10,256,1: tshark reads a port of more than 16 bits as its low ones, the gateway does not.
    (port != 1).then(|| (frame.parse().unwrap(), SocketAddr::new(ip, port)))
}

fn replayed(folder: &Path, theirs: &Named) -> Named {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ftp-pinhole"));
    let output = command.args(["replay", "--json", "input.pcap"]).current_dir(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter_map(|record| named(&record, theirs)).collect()
}

fn named(record: &Value, theirs: &Named) -> Option<(u64, SocketAddr)> {
    let (event, frame) = (record["event"].as_str()?, record["frame"].as_u64()?);
    let to = record["to"].as_str()?.parse().unwrap();
    match (event, record["mode"].as_str()?) {
        ("pinhole.opened", "passive") | ("pinhole.denied", _) => Some((frame, to)),
        // Opened with the server's reply, which comes right behind the command.
        ("pinhole.opened", _) => {
            theirs.range((frame - 2, to)..(frame, to)).find(|named| named.1 == to).copied()
        }
        _ => None,
    }
}
