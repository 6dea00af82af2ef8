//! What may end a running transfer, and what must not.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::SockRef;

use super::stage::{Stage, is_shut, rest, send_whole};
use super::{KERNEL, OFFICE, PATIENCE, QUIET, RELAY, ROUTED, scenarios};

scenarios! {
    bytes_against_a_download_are_stopped_relay: wrong_direction_is_stopped, RELAY, "";
    bytes_against_a_download_are_stopped_nftables: wrong_direction_is_stopped, KERNEL, "";
    bytes_against_a_download_are_stopped_office: wrong_direction_is_stopped, OFFICE, "";

    bytes_against_an_upload_are_stopped_relay: wrong_direction_of_upload_is_stopped, RELAY, "";
    bytes_against_an_upload_are_stopped_nftables: wrong_direction_of_upload_is_stopped, KERNEL, "";
    bytes_against_an_active_upload_are_stopped_nftables: wrong_direction_of_active_upload_is_stopped, KERNEL, "";

    bytes_before_the_command_wait_for_it_relay: early_bytes_wait, RELAY, "";
    bytes_before_the_command_wait_for_it_nftables: early_bytes_wait, KERNEL, "";
    bytes_before_the_command_wait_for_it_office: early_bytes_wait, OFFICE, "";

    reset_is_on_record_relay: reset_is_on_record, RELAY, "";
    reset_is_on_record_nftables: reset_is_on_record, KERNEL, "";
    reset_is_on_record_office: reset_is_on_record, OFFICE, "";

    abor_cuts_relay: abor_cuts, RELAY, "";
    abor_cuts_nftables: abor_cuts, KERNEL, "";
    abor_cuts_office: abor_cuts, OFFICE, "";

    idle_data_connection_is_cut_relay: idle_is_cut, RELAY, "timeouts: {data_idle: 1s},";
    idle_data_connection_is_cut_nftables: idle_is_cut, KERNEL, "timeouts: {data_idle: 1s},";
    idle_data_connection_is_cut_office: idle_is_cut, OFFICE, "timeouts: {data_idle: 1s},";

    stopping_cuts_no_transfer_relay: stopping_cuts_nothing, RELAY, "";
    stopping_cuts_no_transfer_nftables: stopping_cuts_nothing, KERNEL, "";
    stopping_cuts_no_transfer_routed: stopping_cuts_nothing, ROUTED, "";
    stopping_cuts_no_transfer_office: stopping_cuts_nothing, OFFICE, "";

    stopped_gateway_leaves_a_transfer_to_the_kernel: leaving_cuts_nothing, KERNEL, "timeouts: {drain: 100ms},";
    stopped_gateway_leaves_a_transfer_to_the_kernel_routed: leaving_cuts_nothing, ROUTED, "timeouts: {drain: 100ms},";
    stopped_gateway_leaves_a_transfer_to_the_kernel_office: leaving_cuts_nothing, OFFICE, "timeouts: {drain: 100ms},";

    killed_gateway_cuts_no_kernel_transfer: kill_cuts_nothing, KERNEL, "timeouts: {pinhole: 1s},";
    killed_gateway_cuts_no_kernel_transfer_routed: kill_cuts_nothing, ROUTED, "timeouts: {pinhole: 1s},";
    killed_gateway_cuts_no_kernel_transfer_office: kill_cuts_nothing, OFFICE, "timeouts: {pinhole: 1s},";
}

/// `timeouts.pinhole`, and the kernel's tick.
const TIME_OUT: Duration = Duration::from_millis(1050);
/// What the server sends after something has happened.
const LATE: &[u8] = b"late";
/// ABOR behind IAC IP and the DM of a Telnet Synch (RFC 959 section 4.1.3), without its urgent byte.
const TELNET_ABOR: &[u8] = b"\xff\xf4\xf2ABOR\r\n";
/// More than the buffers of the sockets on the way hold.
const MANY: usize = 32 << 20;

/// During RETR the client sends: none of it arrives, and it is on record.
fn wrong_direction_is_stopped(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"the file").expect("the transfer has begun");
    let mut file = [0; 8];
    client.read_exact(&mut file).expect("the right direction is open");
    client.write_all(b"smuggled").expect("the connection is still there");
    stage.record("the direction", |record| record["reason"] == "wrong-direction");
    assert!(!arrives(&mut server, b"smuggled"), "bytes against the direction arrive");
}

/// During STOR the server sends.
fn wrong_direction_of_upload_is_stopped(stage: &mut Stage) {
    upload_is_one_way(stage, true);
}

/// The same where the server has dialled.
fn wrong_direction_of_active_upload_is_stopped(stage: &mut Stage) {
    upload_is_one_way(stage, false);
}

fn upload_is_one_way(stage: &mut Stage, passive: bool) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.connect_data(&mut session, passive);
    session.exchange("STOR file", "150 go ahead");
    client.write_all(b"the file").expect("the transfer has begun");
    server.read_exact(&mut [0; 8]).expect("the right direction is open");
    server.write_all(b"smuggled").expect("the connection is still there");
    stage.record("the direction", |record| record["reason"] == "wrong-direction");
    assert!(!arrives(&mut client, b"smuggled"), "bytes against the direction arrive");
}

/// A server that sends at once: nothing arrives before RETR, everything after it.
fn early_bytes_wait(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, server) = stage.connect_data(&mut session, true);
    send_whole(server, b"too early");
    assert!(!arrives(&mut client, b"too early"), "bytes arrive without a transfer command");
    session.exchange("RETR file", "150 here it was");
    session.answer("226 done");
    client.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
    assert_eq!(rest(&mut client), b"too early");
}

/// The server's end is reset in mid-transfer: the record has a reason, and no number that is a guess.
fn reset_is_on_record(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    SockRef::from(&server).set_linger(Some(Duration::ZERO)).expect("TCP sockets have this option");
    drop(server);
    session.answer("426 something broke");
    let closed = stage.record("the end", |record| record["event"] == "pinhole.closed");
    assert!(!closed["reason"].is_null(), "{closed}");
    let count = &closed["bytes_to_client"];
    assert!(count.is_null() || *count == 5, "{closed}");
}

/// The server answers ABOR but goes on sending: the gateway ends the transfer.
fn abor_cuts(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    session.client.say("ABOR");
    assert_eq!(session.server.take(TELNET_ABOR.len()), TELNET_ABOR);
    session.answer("426 aborted");
    session.answer("226 as you wished");
    stage.record("the end", |record| closed_for(record, "aborted"));
    let _ = server.write_all(LATE);
    assert!(!arrives(&mut client, LATE), "the transfer goes on after ABOR");
    session.exchange("NOOP", "200 still here");
}

/// No byte moves for `timeouts.data_idle`.
fn idle_is_cut(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    stage.record("the end", |record| closed_for(record, "data-idle"));
    let _ = server.write_all(LATE);
    assert!(!arrives(&mut client, LATE), "the transfer goes on after its time");
}

/// SIGTERM in mid-transfer: every byte arrives, and the 226; then the gateway ends.
fn stopping_cuts_nothing(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    let mut gateway = stage.gateway.take().expect("the gateway runs");
    gateway.terminate();
    finish(client, server);
    session.answer("226 done");
    drop(session);
    gateway.ended();
    stage.restart_clean();
}

/// The gateway ends before the transfer does: every byte arrives, and the record says that nobody counted them.
fn leaving_cuts_nothing(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    let left = stage.gateway.take().expect("the gateway runs").leave();
    // The host keeps what the transfer needs.
    stage.killed = true;
    finish(client, server);
    stage.gateway = Some(left.restart().unwrap_or_else(|refused| panic!("{}", refused.reason())));
    stage.record("the transfer that was left", |record| {
        record["event"] == "pinhole.closed"
            && record["reason"] == "draining"
            && record["bytes_to_client"].is_null()
    });
    stage.one_more_transfer_works(true);
}

/// `kill -9` in mid-transfer: every byte arrives; the pinhole that was pending is shut when its time is over;
/// a new gateway serves.
fn kill_cuts_nothing(stage: &mut Stage) {
    let (mut session, mut waiting) = (stage.session(), stage.session());
    let pending = stage.passive(&mut waiting);
    let due = Instant::now() + TIME_OUT;
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    let killed = stage.gateway.take().expect("the gateway runs").kill();
    stage.killed = true;
    finish(client, server);
    // Nobody is there to say so: the time-out itself is what is tested.
    thread::sleep(due.saturating_duration_since(Instant::now()));
    is_shut(stage.client(), pending.told);
    stage.gateway = Some(killed.restart().unwrap_or_else(|refused| panic!("{}", refused.reason())));
    stage.one_more_transfer_works(true);
    stage.one_more_transfer_works(false);
}

/// The server sends the rest, while the client reads it.
fn finish(mut client: TcpStream, server: TcpStream) {
    let many = vec![b'x'; MANY];
    let received = thread::scope(|scope| {
        let sending = scope.spawn(|| send_whole(server, &many));
        let received = rest(&mut client);
        sending.join().expect("sending does not panic");
        received
    });
    assert!(received == many, "{} of {MANY} bytes arrive", received.len());
}

fn closed_for(record: &Value, reason: &str) -> bool {
    record["event"] == "pinhole.closed" && record["reason"] == reason
}

/// Whether these bytes come, rather than an end or nothing.
fn arrives(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.set_read_timeout(Some(QUIET)).expect("the limit is not zero");
    let mut found = vec![0; bytes.len()];
    match stream.read(&mut found) {
        Ok(count) => count > 0,
        Err(error) => {
            let kinds = [ErrorKind::WouldBlock, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(kinds.contains(&error.kind()), "{error}");
            false
        }
    }
}
