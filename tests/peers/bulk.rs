//! One gibibyte in each direction, every byte compared, none of them held in memory.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::audit::{Bytes, Transfer};
use crate::gateway::{Rig, Via};
use crate::operation::put_file;
use crate::process::{Group, find};
use crate::route::{Family, Route, Setup};
use crate::server::Kind;

const BLOCK: usize = 1 << 20;
const BLOCKS: u64 = 1 << 10;
const SIZE: u64 = BLOCKS * BLOCK as u64;
/// How long curl may run on a slow machine.
const LIMIT: Duration = Duration::from_secs(300);
const ROUTE: Route = Route { client: Family::V4, server: Family::V4 };

/// curl downloads a sparse file.
pub fn comes_down_whole(kind: Kind) {
    let Some(rig) = Rig::start(kind, &["curl"], Via::chosen()) else { return };
    write_sparse(&rig);
    curl(&rig, &[], Transfer::of("RETR", "bulk", Bytes::ToClient(SIZE)), |_, mut output| {
        compare(&mut output)
    });
}

/// curl uploads what it reads from a pipe.
pub fn goes_up_whole(kind: Kind) {
    let Some(rig) = Rig::start(kind, &["curl"], Via::chosen()) else { return };
    curl(&rig, &["-T", "-"], Transfer::of("STOR", "bulk", Bytes::ToServer(SIZE)), |mut input, _| {
        (0..BLOCKS).for_each(|number| input.write_all(&block(number)).expect("curl reads its input"));
    });
    compare(&mut File::open(rig.home().join("bulk")).expect("the server has stored the file"));
}

fn curl(rig: &Rig, args: &[&str], transfer: Transfer, move_data: impl FnOnce(ChildStdin, ChildStdout)) {
    let login = rig.login();
    let mut command = Command::new(find("curl").expect("it has been looked for"));
    command.args(["-q", "-sS", "-u", &format!("{}:{}", login.user, login.password)]).args(args);
    command.arg(format!("ftp://{}/bulk", rig.address(ROUTE))).env_remove("ftp_proxy").env_remove("all_proxy");
    let mut curl = Group::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let leader = curl.leader();
    let pipes = leader.stdin.take().zip(leader.stdout.take()).expect("both are pipes");
    move_data(pipes.0, pipes.1);
    let status = curl.wait(LIMIT).expect("curl ends in time");
    assert!(status.success(), "curl ends with {status}");
    if let Some(audit) = rig.audit() {
        audit.verify(0, Setup::Epsv, Some(transfer)).unwrap_or_else(|why| panic!("{why}"));
    }
}

/// Zeros, but for its number at the head: a block that is lost, doubled or moved shows.
fn block(number: u64) -> Vec<u8> {
    let mut block = number.to_le_bytes().to_vec();
    block.resize(BLOCK, 0);
    block
}

fn write_sparse(rig: &Rig) {
    let path = rig.home().join("bulk");
    put_file(&path, b"");
    let file = File::options().write(true).open(path).expect("the file has just been made");
    file.set_len(SIZE).expect("a sparse file takes little room");
    for number in 0..BLOCKS {
        file.write_at(&number.to_le_bytes(), number * BLOCK as u64).expect("the disk has room");
    }
}

fn compare(source: &mut impl Read) {
    let mut found = vec![0; BLOCK];
    for number in 0..BLOCKS {
        source.read_exact(&mut found).unwrap_or_else(|error| panic!("block {number}: {error}"));
        assert!(found == block(number), "block {number} differs");
    }
    assert_eq!(source.read(&mut found).expect("the end can be read"), 0, "more than was sent");
}
