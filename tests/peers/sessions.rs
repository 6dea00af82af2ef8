//! What happens on the control connection while data moves: ABOR, STAT, commands byte by byte.

use std::fs::File;
use std::io::Read;

use crate::gateway::{Rig, Via};
use crate::namespace::{skip, test_name};
use crate::operation::{content, put_file};
use crate::raw::Raw;
use crate::route::{Family, Route, Setup};
use crate::server::{Kind, open_to_all};

/// Far more than all buffers on the way hold, so that the server is stopped in the middle.
const BIG: u64 = 256 << 20;
/// What is read of the big file before the client speaks.
pub const HEAD: u64 = 64 << 10;
/// Replies that end a transfer or answer ABOR (RFC 959 section 5.4).
pub const ENDS: [u16; 4] = [225, 226, 426, 451];

/// ABOR behind a Telnet Synch: the server gives up at once, and says so before the data has been read.
pub fn urgent_abor_cuts(kind: Kind) {
    each_cell(kind, |raw, setup| abor_cuts(raw, setup, Raw::send_urgent_abor));
}

/// ABOR as any other command, to a server that looks at it in mid-transfer.
pub fn plain_abor_cuts(kind: Kind) {
    each_cell(kind, |raw, setup| abor_cuts(raw, setup, |raw| raw.send("ABOR")));
}

/// ABOR as any other command, to a server that may look at it only when the transfer is over.
pub fn plain_abor_is_answered(kind: Kind) {
    each_cell(kind, |raw, setup| {
        let mut data = raw.transfer(setup, "RETR big");
        read_head(&mut data);
        raw.send("ABOR");
        drain(data);
        raw.expect(&ENDS);
        raw.expect(&ENDS);
    });
}

/// STAT while data moves: answered then or afterwards, and every byte arrives.
pub fn stat_cuts_nothing(kind: Kind) {
    each_cell(kind, |raw, setup| {
        let mut data = raw.transfer(setup, "RETR big");
        read_head(&mut data);
        raw.send("STAT");
        assert_eq!(drain(data), BIG - HEAD, "bytes of the file after STAT");
        let mut codes = [raw.reply().0, raw.reply().0];
        codes.sort_unstable();
        assert!(matches!(codes, [211..=213, 226]), "the replies are {codes:?}");
    });
}

/// Every byte of every command in a segment of its own.
pub fn bytes_one_by_one(kind: Kind) {
    if (kind, Via::chosen()) == (Kind::Proftpd, Via::Direct) {
        return skip(
            &test_name(),
            "ProFTPD never answers commands in parts unless a gateway puts them together",
        );
    }
    each(kind, true, |_, _| {});
}

fn abor_cuts(raw: &mut Raw, setup: Setup, send: impl Fn(&mut Raw)) {
    let mut data = raw.transfer(setup, "RETR big");
    read_head(&mut data);
    send(raw);
    // Nobody reads the data now, so these come only from a server that was interrupted.
    raw.expect(&ENDS);
    raw.expect(&ENDS);
    assert!(drain(data) < BIG - HEAD, "the whole file arrived");
}

fn each_cell(kind: Kind, act: impl Fn(&mut Raw, Setup)) {
    each(kind, false, act);
}

/// For each route and set-up: log in, act, and then the session must still list, store and fetch.
fn each(kind: Kind, one_by_one: bool, act: impl Fn(&mut Raw, Setup)) {
    let Some(rig) = Rig::start(kind, &[], Via::chosen()) else { return };
    lay_out(&rig);
    for (route, setup) in cells(&rig) {
        println!("{kind:?} {route} {setup:?}");
        let mark = rig.audit().map(|audit| audit.mark());
        let mut raw = Raw::login(rig.address(route), rig.login(), one_by_one);
        act(&mut raw, setup);
        still_works(&mut raw, setup);
        raw.quit();
        if let Some((audit, mark)) = rig.audit().zip(mark) {
            audit.verify(mark, setup, None).unwrap_or_else(|why| panic!("{route} {setup:?}: {why}"));
        }
    }
}

fn still_works(raw: &mut Raw, setup: Setup) {
    raw.command("NOOP", &[200]);
    let stored = content("stored.bin");
    raw.put(setup, "stored.bin", &stored);
    assert!(raw.get(setup, "stored.bin") == stored, "the file that was stored comes back changed");
    raw.command("DELE stored.bin", &[250]);
}

fn cells(rig: &Rig) -> Vec<(Route, Setup)> {
    let setups = |route: Route| match route.client {
        Family::V4 => [Setup::Pasv, Setup::Epsv, Setup::Port, Setup::Eprt].iter(),
        Family::V6 => [Setup::Epsv, Setup::Eprt].iter(),
    };
    rig.routes().iter().flat_map(|route| setups(*route).map(|setup| (*route, *setup))).collect()
}

fn lay_out(rig: &Rig) {
    let big = rig.home().join("big");
    put_file(&big, b"");
    let file = File::options().write(true).open(&big).expect("the file has just been made");
    file.set_len(BIG).expect("a sparse file takes no room");
    open_to_all(&big, 0o644);
}

pub fn read_head(data: &mut impl Read) {
    let read = std::io::copy(&mut data.take(HEAD), &mut std::io::sink());
    assert_eq!(read.expect("the transfer begins"), HEAD);
}

/// Reads to the end, whichever way that comes, and counts.
pub fn drain(mut data: impl Read) -> u64 {
    let mut buffer = vec![0; 1 << 18];
    let mut count = 0;
    while let Ok(read @ 1..) = data.read(&mut buffer) {
        count += read as u64;
    }
    count
}
