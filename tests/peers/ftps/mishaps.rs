//! Protected transfers that do not end as they were meant to, and many of them at once.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::rig::{Rig, Upstream};
use super::secure::Secure;
use crate::client::Version;
use crate::operation::{content, put_file};
use crate::process::poll;
use crate::raw::{Raw, Wire};
use crate::route::Setup;
use crate::server::{Kind, open_to_all};
use crate::sessions::{ENDS, HEAD, drain, read_head};

/// More than all buffers on the way hold.
const BIG: u64 = 64 << 20;
/// How long records may come after their cause.
const SETTLE: Duration = Duration::from_secs(10);
const SESSIONS: usize = 30;

/// The server looks at ABOR, which the gateway sends as urgent data to servers without TLS.
pub fn abor_cuts(kind: Kind) {
    aborted(Upstream::Plain(kind), |raw, mut data| {
        read_head(&mut data);
        raw.send("ABOR");
        // Nobody reads the data now, so these come only from a server that was interrupted.
        raw.expect(&ENDS);
        raw.expect(&ENDS);
        assert!(drain(data) < BIG - HEAD, "the whole file arrived");
    });
}

/// Under TLS there is no urgent data: the server may look at ABOR only when the transfer is over.
pub fn abor_is_answered(kind: Kind) {
    aborted(Upstream::Explicit(kind), |raw, mut data| {
        read_head(&mut data);
        raw.send("ABOR");
        drain(data);
        raw.expect(&ENDS);
        raw.expect(&ENDS);
    });
}

/// Behind the ABOR the session still stores and fetches.
fn aborted(upstream: Upstream, act: impl Fn(&mut Raw<Secure>, Secure)) {
    let Some(rig) = Rig::start(upstream, &[], &[upstream.keys()]) else { return };
    lay_out_big(rig.home());
    for setup in [Setup::Epsv, Setup::Port] {
        let mut raw = rig.session(Version::V1_3);
        let data = raw.transfer(setup, "RETR big");
        act(&mut raw, data);
        raw.command("NOOP", &[200]);
        raw.put(setup, "stored.bin", &content("stored.bin"));
        assert!(raw.get(setup, "stored.bin") == content("stored.bin"), "the file comes back changed");
        raw.quit();
    }
}

/// A client that is gone in the middle of a download, and one in the middle of an upload: neither transfer is
/// taken for a whole one, and the next client is served.
pub fn a_client_dies(upstream: Upstream) {
    let Some(rig) = Rig::start(upstream, &[], &[upstream.keys()]) else { return };
    lay_out_big(rig.home());
    let mark = rig.audit().mark();
    let mut raw = rig.session(Version::V1_3);
    let mut data = raw.transfer(Setup::Epsv, "RETR big");
    read_head(&mut data);
    drop((data, raw));
    broken(&rig, mark, "RETR big");
    let mark = rig.audit().mark();
    let mut raw = rig.session(Version::V1_3);
    let mut data = raw.transfer(Setup::Epsv, "STOR half.bin");
    data.write_all(&content("half.bin")).expect("the server takes the file");
    drop((data, raw));
    broken(&rig, mark, "STOR half.bin");
    let mut raw = rig.session(Version::V1_3);
    raw.put(Setup::Epsv, "whole.bin", &content("whole.bin"));
    assert!(raw.get(Setup::Epsv, "whole.bin") == content("whole.bin"), "the file comes back changed");
    raw.quit();
}

/// A server that is gone in the middle of a download: the client does not take what it has for the whole file.
pub fn a_server_dies(upstream: Upstream) {
    let Some(mut rig) = Rig::start(upstream, &[], &[upstream.keys()]) else { return };
    lay_out_big(rig.home());
    let mark = rig.audit().mark();
    let mut raw = rig.session(Version::V1_3);
    let mut data = raw.transfer(Setup::Epsv, "RETR big");
    read_head(&mut data);
    rig.kill_server();
    io::copy(&mut data, &mut io::sink()).expect_err("the data connection does not end in order");
    broken(&rig, mark, "RETR big");
}

/// The upload ends without close_notify, and the client waits for what is said about it.
pub fn an_upload_without_its_end_is_not_reported_stored() {
    let upstream = Upstream::Explicit(Kind::Vsftpd);
    let Some(rig) = Rig::start(upstream, &[], &[upstream.keys()]) else { return };
    let mut raw = rig.session(Version::V1_3);
    let mut data = raw.transfer(Setup::Epsv, "STOR half.bin");
    data.write_all(&content("half.bin")).expect("the server takes the file");
    drop(data);
    raw.expect(&[426]);
    raw.put(Setup::Epsv, "whole.bin", &content("whole.bin"));
    raw.quit();
}

/// Each of many sessions at once stores, fetches and lists, and the gateway counts every byte.
pub fn many_sessions_at_once(upstream: Upstream) {
    let Some(rig) = Rig::start(upstream, &[], &[upstream.keys()]) else { return };
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|number| {
                let (rig, version) = (&rig, if number % 2 == 0 { Version::V1_2 } else { Version::V1_3 });
                scope.spawn(move || one_of_many(rig, version, &format!("file-{number}.bin")))
            })
            .collect();
        sessions.into_iter().for_each(|session| session.join().expect("every session works"));
    });
    let size = content("file").len() as u64;
    let all = poll(SETTLE, || {
        let records = rig.audit().records(0).ok()?;
        let whole = |key: &str| {
            let is = |record: &&Value| record["event"] == "pinhole.closed" && record[key] == size;
            records.iter().filter(is).count()
        };
        ((whole("bytes_to_server"), whole("bytes_to_client")) == (SESSIONS, SESSIONS)).then_some(())
    });
    all.unwrap_or_else(|| panic!("not every transfer is on record:\n{}", rig.audit().tail(0)));
}

fn one_of_many(rig: &Rig, version: Version, name: &str) {
    let mut raw = rig.session(version);
    raw.put(Setup::Pasv, name, &content(name));
    assert!(raw.get(Setup::Pasv, name) == content(name), "{name} comes back changed");
    let mut data = raw.transfer(Setup::Port, "NLST");
    assert!(drain(&mut data) > 0, "the listing is empty");
    data.finish().expect("the data connection ends in order");
    raw.expect(&[226]);
    raw.quit();
    let stored = fs::read(rig.home().join(name)).expect("the server has stored the file");
    assert!(stored == content(name), "{name} is damaged");
}

/// Waits until the transfer since `mark` has ended with a reason, and its session, too.
fn broken(rig: &Rig, mark: usize, transfer: &str) {
    let ended = poll(SETTLE, || {
        let records = rig.audit().records(mark).ok()?;
        let cut = |record: &Value| {
            record["event"] == "pinhole.closed"
                && record["transfer"] == transfer
                && !record["reason"].is_null()
        };
        let closed = |record: &Value| record["event"] == "session.closed";
        (records.iter().any(cut) && records.iter().any(closed)).then_some(())
    });
    ended.unwrap_or_else(|| panic!("{transfer} did not break:\n{}", rig.audit().tail(mark)));
}

fn lay_out_big(home: &Path) {
    let big = home.join("big");
    put_file(&big, b"");
    let file = File::options().write(true).open(&big).expect("the file has just been made");
    file.set_len(BIG).expect("a sparse file takes no room");
    open_to_all(&big, 0o644);
}
