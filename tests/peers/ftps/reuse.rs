//! Many transfers in one session, where each data connection has to resume the control connection's TLS
//! session: towards the server, which demands it, and towards the gateway, which does so by default.
//!
//! A server may hand out tickets of TLS 1.3 with each handshake, with downloads only, or on the control
//! connection only; rustls, the gateway's and this client's TLS, uses each once.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use super::rig::{Rig, Upstream};
use super::secure::Secure;
use crate::client::{Call, Client, Job, Version};
use crate::operation::{Operation, content, put_file};
use crate::process::{find, run};
use crate::raw::{Raw, Wire};
use crate::route::Setup;
use crate::server::Kind;

const TRANSFERS: usize = 12;
const TICKETS_OF_THE_GATEWAY: usize = 8;

/// What the gateway may say when the server's data connection cannot be protected, and servers when a session
/// is not resumed.
const REFUSALS: [u16; 2] = [425, 522];

/// Twelve files come down whole.
pub fn downloads(kind: Kind, upstream: Version) {
    let Some(rig) = rig(kind, upstream) else { return };
    put_file(&rig.home().join("data.bin"), &content("data.bin"));
    // With TLS 1.3, too: every download brings the client another ticket.
    for version in [Version::V1_2, Version::V1_3] {
        let mut raw = rig.session(version);
        for number in 1..=TRANSFERS {
            assert!(raw.get(Setup::Epsv, "data.bin") == content("data.bin"), "download {number} is damaged");
        }
        raw.quit();
    }
}

/// Twelve files go up whole.
pub fn uploads(kind: Kind, upstream: Version) {
    let Some(rig) = rig(kind, upstream) else { return };
    let mut raw = rig.session(Version::V1_2);
    for number in 1..=TRANSFERS {
        assert_eq!(store(&rig, &mut raw, number), 226, "upload {number}");
    }
    raw.quit();
}

/// The server hands out no tickets with uploads. When those of the control connection are used up an upload
/// cannot resume, and the server refuses it; its full handshake may bring tickets for those behind it.
pub fn uploads_run_out(kind: Kind) {
    let Some(rig) = rig(kind, Version::V1_3) else { return };
    let mut raw = rig.session(Version::V1_2);
    let codes: Vec<_> = (1..=TRANSFERS).map(|number| store(&rig, &mut raw, number)).collect();
    println!("the replies to uploads are {codes:?}");
    let refused = |code: &u16| REFUSALS.contains(code);
    assert_eq!(codes[0], 226);
    assert!(codes.iter().any(refused), "{codes:?}");
    assert!(codes.iter().all(|code| *code == 226 || refused(code)), "{codes:?}");
    raw.quit();
}

/// Twelve uploads by one run of a program that leaves unread what a data connection brings. Over TLS 1.3 it has
/// to use a ticket again: curl keeps one and uses it once, so without a gateway most of its uploads fail, too.
pub fn a_program_uploads(client: &Client, versions: &[Version]) {
    let server = Upstream::Explicit(Kind::Vsftpd);
    let Some(rig) = Rig::start(server, client.programs, &[server.keys()]) else { return };
    for version in versions.iter().copied() {
        let work = rig.dir().join(format!("{version:?}"));
        fs::create_dir(&work).expect("the directory is new");
        put_file(&work.join("new.bin"), &content("new.bin"));
        let mark = rig.audit().mark();
        let call = twelve_times(client, &rig.job(Operation::Put("new.bin"), version));
        let mut command = Command::new(find(call.program).expect("missing programs have been looked for"));
        command.args(&call.args).current_dir(&work);
        let finished = run(&mut command, &call.input, &rig.dir().join("client.log"));
        assert!(finished.success, "TLS {version:?}: {}", finished.output);
        rig.audit().verify(mark, Setup::Epsv, None).unwrap_or_else(|why| panic!("{why}"));
        let records = rig.audit().records(mark).expect("they have just been read");
        let size = content("new.bin").len() as u64;
        let whole = records.iter().filter(|record| record["bytes_to_server"] == size).count();
        assert_eq!(whole, TRANSFERS, "TLS {version:?}: uploads on record");
    }
}

fn twelve_times(client: &Client, job: &Job) -> Call {
    let mut call = (client.call)(job).expect("every client stores files");
    let put = "put \"new.bin\"";
    match client.name {
        "curl" => {
            // `-T FILE URL` ends its arguments.
            let last = call.args[call.args.len() - 3..].to_vec();
            (1..TRANSFERS).for_each(|_| call.args.extend(last.clone()));
        }
        "lftp" => call.args.iter_mut().for_each(|arg| *arg = arg.replace(put, &[put; TRANSFERS].join("; "))),
        _ => (1..TRANSFERS).for_each(|_| call.args.push("new.bin".to_owned())),
    }
    call
}

/// As lftp does it: with a ticket left unread its close would be a reset, and bytes that the gateway has not got
/// yet would be lost.
pub fn an_upload_needs_no_reading() {
    let Some(rig) = rig(Kind::Vsftpd, Version::V1_2) else { return };
    let bytes = vec![b'x'; 4 << 20];
    let mut raw = rig.session(Version::V1_3);
    let mut data = raw.transfer(Setup::Epsv, "STOR stored.bin");
    data.write_all(&bytes).and_then(|()| data.leave()).expect("the server takes the file");
    raw.expect(&[226]);
    let stored = fs::read(rig.home().join("stored.bin")).expect("the server has stored the file");
    assert!(stored == bytes, "{} bytes arrived", stored.len());
    raw.quit();
}

/// Uploads bring this client no tickets, and it uses each of the control connection's once.
pub fn a_client_may_run_out() {
    let Some(rig) = rig(Kind::Vsftpd, Version::V1_2) else { return };
    let mut raw = rig.session(Version::V1_3);
    for number in 1..=TICKETS_OF_THE_GATEWAY {
        assert_eq!(store(&rig, &mut raw, number), 226, "upload {number}");
    }
    assert_eq!(store(&rig, &mut raw, 0), 522);
    raw.quit();
}

/// Without a gateway: what the other tests rely on.
pub fn the_server_demands_it(kind: Kind) {
    let Some(rig) = rig(kind, Version::V1_2) else { return };
    for version in [Version::V1_2, Version::V1_3] {
        let mut raw = Secure::with(rig.pki(), version).forgetful().explicit(rig.server());
        raw.protect();
        raw.log_in(rig.login());
        let code = store(&rig, &mut raw, 1);
        assert!(REFUSALS.contains(&code), "TLS {version:?}: the server says {code}");
    }
}

fn rig(kind: Kind, upstream: Version) -> Option<Rig> {
    let version = match upstream {
        Version::V1_2 => "1.2",
        Version::V1_3 => "1.3",
    };
    let server = Upstream::Explicit(kind);
    let keys = format!("{}, upstream_max_version: \"{version}\"", server.keys());
    Rig::start(server, &[], &[&keys])
}

/// Stores a file and returns the final reply's code. What was reported stored has to be there.
fn store(rig: &Rig, raw: &mut Raw<Secure>, number: usize) -> u16 {
    let name = format!("stored-{number}.bin");
    if let Ok(mut data) = raw.try_transfer(Setup::Epsv, &format!("STOR {name}")) {
        // A connection that breaks is what the reply is about.
        let _ = data.write_all(&content(&name)).and_then(|()| data.finish());
    }
    let (code, text) = raw.reply();
    println!("upload {number}: {code}{text}");
    if code == 226 {
        let stored = fs::read(rig.home().join(&name)).expect("the server has stored the file");
        assert!(stored == content(&name), "upload {number} is damaged");
    }
    code
}
