//! Replays of captures on disk, beside `tshark -Y ftp` where it is installed: bytes a second of bulk data, control
//! lines a second. `cargo bench --bench replay`

#![allow(clippy::unwrap_used)] // a measurement that fails shall stop

use std::fs::{self, File};
use std::io::BufWriter;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ftp_pinhole::capture::{Conversation, Reader, Speaker, Writer};
use ftp_pinhole::replay::Replay;

/// Bytes of the bulk capture, in transfers of 64 MiB.
const TRANSFERS: usize = 8;
const TRANSFER: usize = 64 << 20;
/// Sessions of the control-heavy capture, and the commands of each.
const SESSIONS: u16 = 4000;
const COMMANDS: usize = 50;
/// Measured runs; the best one counts.
const RUNS: usize = 3;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let bulk = folder.path().join("bulk.pcapng");
    let lines = folder.path().join("control.pcapng");
    write(&bulk, write_bulk);
    write(&lines, write_control);
    compare("bulk", &bulk, None);
    compare("control", &lines, Some(2 * COMMANDS * usize::from(SESSIONS)));
}

fn compare(name: &str, capture: &Path, lines: Option<usize>) {
    let bytes = fs::metadata(capture).unwrap().len();
    let best = |run: &dyn Fn()| (0..RUNS).map(|_| time(run)).min().unwrap();
    let ours = best(&|| replay(capture));
    let rate = bytes as f64 / ours.as_secs_f64() / 1e9;
    print!("{name:<8} {:5} MB  replay {:6.3} s {rate:5.2} GB/s", bytes / 1_000_000, ours.as_secs_f64());
    if let Some(lines) = lines {
        print!(" {:5.2} million lines/s", lines as f64 / ours.as_secs_f64() / 1e6);
    }
    let tshark = || {
        Command::new("tshark")
            .args(["-Y", "ftp", "-r"])
            .arg(capture)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    match Command::new("tshark").arg("-v").stdout(Stdio::null()).status() {
        Ok(_) => {
            let theirs = time(&|| assert!(tshark().unwrap().success()));
            println!(
                "  tshark {:6.3} s, {:.0} times as long",
                theirs.as_secs_f64(),
                theirs.as_secs_f64() / ours.as_secs_f64()
            );
        }
        Err(_) => println!("  SKIP tshark: it is not installed"),
    }
}

fn time(run: &dyn Fn()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn replay(capture: &Path) {
    let mut reader = Reader::open(capture).unwrap();
    let mut replay = Replay::new(None, false);
    while let Some(frame) = reader.next().unwrap() {
        replay.handle_frame(&frame);
        while replay.poll_record().is_some() {}
    }
    replay.finish();
    assert!(!replay.summary().has_denials());
}

/// A capture that is written packet by packet.
struct Tape {
    writer: Writer<BufWriter<File>>,
    at: Duration,
}

impl Tape {
    fn add(&mut self, packets: Vec<Vec<u8>>) {
        for packet in packets {
            self.at += Duration::from_micros(1);
            self.writer.write(self.at, &packet, None).unwrap();
        }
    }

    fn say(&mut self, control: &mut Conversation, dialogue: &[(Speaker, &str)]) {
        for (speaker, line) in dialogue {
            self.add(control.say(*speaker, format!("{line}\r\n").as_bytes()));
        }
    }
}

fn write(path: &Path, content: fn(&mut Tape)) {
    let writer = Writer::new(BufWriter::new(File::create(path).unwrap())).unwrap();
    let mut tape = Tape { writer, at: Duration::from_secs(1) };
    content(&mut tape);
    tape.writer.finish().unwrap();
}

const LOGIN: &[(Speaker, &str)] = &[
    (Speaker::Server, "220 hi"),
    (Speaker::Client, "USER alice"),
    (Speaker::Server, "331 password"),
    (Speaker::Client, "PASS secret"),
    (Speaker::Server, "230 in"),
];

fn control(tape: &mut Tape, port: u16) -> Conversation {
    let mut control = Conversation::new(([10, 1, 0, 1], port).into(), ([10, 0, 0, 5], 21).into()).unwrap();
    tape.add(control.open());
    tape.say(&mut control, LOGIN);
    control
}

fn write_bulk(tape: &mut Tape) {
    let mut control = control(tape, 40_000);
    let payload = vec![b'x'; TRANSFER];
    for port in (50_000..).take(TRANSFERS) {
        let server: SocketAddr = ([10, 0, 0, 5], port).into();
        let passive = format!("227 ok (10,0,0,5,{},{})", port >> 8, port & 255);
        tape.say(&mut control, &[(Speaker::Client, "PASV"), (Speaker::Server, &passive)]);
        tape.say(&mut control, &[(Speaker::Client, "RETR f"), (Speaker::Server, "150 here")]);
        let mut data = Conversation::new(([10, 1, 0, 1], port).into(), server).unwrap();
        tape.add(data.open());
        tape.add(data.say(Speaker::Server, &payload));
        tape.add(data.close(Speaker::Server));
        tape.say(&mut control, &[(Speaker::Server, "226 done")]);
    }
}

fn write_control(tape: &mut Tape) {
    for port in (20_000..).take(usize::from(SESSIONS)) {
        let mut control = control(tape, port);
        for _ in 0..COMMANDS {
            tape.say(
                &mut control,
                &[(Speaker::Client, "SIZE some/file.bin"), (Speaker::Server, "213 123456")],
            );
        }
        tape.say(&mut control, &[(Speaker::Client, "QUIT"), (Speaker::Server, "221 bye")]);
        tape.add(control.close(Speaker::Client));
    }
}
