//! Attacks that went through when they were tried, and ordinary networks that broke a transfer.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::stage::{FAMILY, Stage, accept, rest, send_whole, stays_alone};
use super::{KERNEL, PATIENCE, QUIET, ROUTED, scenarios};

scenarios! {
    too_big_message_reaches_the_sender: too_big_reaches_the_sender, KERNEL, "";
    too_big_message_reaches_the_sender_routed: too_big_reaches_the_sender, ROUTED, "";
    many_transfers_do_not_use_up_the_table: many_transfers_go_on, KERNEL, "limits: {sessions: 100},";
    reset_that_is_stopped_ends_the_connection: stopped_reset_ends_it, KERNEL, "";
    closed_pinhole_does_not_open_for_the_same_port: same_port_stays_shut, ROUTED, "";
    grave_of_a_cut_connection_buries_no_other: grave_buries_no_other, KERNEL, "";
    nonlocal_bind_does_not_lead_to_the_relay: nonlocal_bind_is_no_relay, KERNEL, "";
    changed_rule_is_noticed: change_is_noticed, KERNEL, "";
    dormant_table_is_noticed: dormant_is_noticed, KERNEL, "";
}

/// `timeouts` of a cut connection's entry (`GRAVE` in state.rs), and some.
const BEYOND_GRAVE: Duration = Duration::from_secs(33);

/// A router behind the client says that the server's segments are too big (RFC 1191): without that message the
/// transfer hangs.
fn too_big_reaches_the_sender(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    stage.server().nft(
        "table inet seen { chain c { type filter hook input priority 0; icmp type destination-unreachable counter accept; }; }",
    );
    let (from, to) = (client.peer_addr().expect("connected"), client.local_addr().expect("connected"));
    stage.client().run(|| say_too_big(from, to, 1300));
    sleep(QUIET);
    let seen = stage.server().output("nft", &["list", "table", "inet", "seen"]);
    stage.server().nft("delete table inet seen\n");
    assert!(seen.contains("packets 1"), "the server does not hear of it: {seen}");
    drop((client, server));
}

/// Fragmentation needed, about a segment `from` that was sent `to` here.
fn say_too_big(from: SocketAddr, to: SocketAddr, mtu: u16) {
    let (IpAddr::V4(source), IpAddr::V4(here)) = (from.ip(), to.ip()) else { panic!("IPv4 only") };
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend([0x45, 0, 0x05, 0xdc, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    message.extend(source.octets());
    message.extend(here.octets());
    message.extend(from.port().to_be_bytes());
    message.extend(to.port().to_be_bytes());
    message.extend([0; 4]);
    let sum = |bytes: &[u8]| {
        let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !u16::try_from(sum).expect("folded")
    };
    let header = sum(&message[8..28]).to_be_bytes();
    message[18..20].copy_from_slice(&header);
    let whole = sum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&whole);
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).expect("the namespace is ours");
    socket.send_to(&message, &SocketAddr::new(from.ip(), 0).into()).expect("the gateway is reached");
}

/// More transfers in 15 seconds than the sets of those who came have room for: one user does it alone.
fn many_transfers_go_on(stage: &mut Stage) {
    let mut session = stage.session();
    for number in 0..1100 {
        let announced = stage.passive(&mut session);
        let from = stage.client();
        let dialled = from.run(|| TcpStream::connect_timeout(&announced.told, PATIENCE));
        let client = dialled.unwrap_or_else(|error| panic!("transfer {number}: {error}"));
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("TCP sockets have this option");
        drop((client, accept(&announced.listener)));
        // As fast as the gates are collected by the kernel.
        sleep(Duration::from_millis(2));
    }
    stage.one_more_transfer_works(true);
}

/// The client sends a reset that is not let through, as it carries payload against the direction: the record must
/// not say that the pinhole is closed while its connection goes on.
fn stopped_reset_ends_it(stage: &mut Stage) {
    let mut session = stage.session();
    let (mut client, mut server) = stage.download(&mut session, true);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    let port = client.local_addr().expect("connected").port();
    stage.client().nft(&format!(
        "table inet forge {{ chain c {{ type filter hook output priority 0; tcp sport {port} meta length > 52 tcp flags set rst | ack; }}; }}"
    ));
    client.write_all(b"reset").expect("the connection is there");
    stage.record("the end", |record| record["event"] == "pinhole.closed");
    stage.client().nft("delete table inet forge\n");
    client.set_read_timeout(Some(QUIET)).expect("the limit is not zero");
    let sent = server.write_all(b"after the end");
    let came = client.read(&mut [0; 13]);
    assert!(
        sent.is_err() || !came.as_ref().is_ok_and(|count| *count > 0),
        "{came:?} bytes after pinhole.closed"
    );
}

/// A pinhole is closed; whoever used it dials again from the same port. The server listens on that port for
/// somebody else.
fn same_port_stays_shut(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.passive(&mut session);
    let other = stage.server().run(|| TcpListener::bind(announced.told)).expect("another port of the server");
    let (client, server) = stage.join_passive(&announced);
    let from = client.local_addr().expect("connected");
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("TCP sockets have this option");
    drop((client, server));
    stage.record("the end", |record| record["event"] == "pinhole.closed");
    // The elements of the pinhole are gone.
    sleep(Duration::from_secs(2));
    for _ in 0..3 {
        drop(dial_from(stage, from, announced.told));
    }
    stays_alone(&other);
}

/// After ABOR the same addresses and ports are used again, as a server does that dials from port 20 to a gateway
/// with few ports. The second transfer must not end when the first one's entry is taken away.
fn grave_buries_no_other(stage: &mut Stage) {
    let mut session = stage.session();
    let announced = stage.passive(&mut session);
    let told = announced.told;
    let (client, server) = stage.join_passive(&announced);
    let from = client.local_addr().expect("connected");
    session.exchange("RETR file", "150 here it comes");
    session.client.say("ABOR");
    session.server.take(9);
    session.answer("426 aborted");
    session.answer("226 as you wished");
    stage.record("the end", |record| record["reason"] == "aborted");
    SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("TCP sockets have this option");
    drop((client, server));
    let began = Instant::now();
    // A server that dials from port 20 tries again, as its users do.
    let retry = || {
        sleep(Duration::from_secs(1));
        let again = (0..2000).map(|_| stage.passive(&mut session)).find(|again| again.told == told);
        let again = again.expect("there are 100 ports");
        dial_from(stage, from, told).ok().map(|client| (client, again))
    };
    let again = std::iter::repeat_with(retry).take(15).flatten().next();
    let (mut client, again) = again.expect("the addresses and ports can be used again");
    let mut server = accept(&again.listener).expect("the server is dialled");
    session.exchange("RETR file", "150 here it comes");
    client.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
    while began.elapsed() < BEYOND_GRAVE {
        server.write_all(b"x").expect("the transfer goes on");
        client.read_exact(&mut [0]).unwrap_or_else(|error| panic!("{error} after {:?}", began.elapsed()));
        sleep(Duration::from_millis(500));
    }
    send_whole(server, b"end");
    assert_eq!(rest(&mut client), b"end");
}

/// `net.ipv4.ip_nonlocal_bind`, as failover pairs have it: any address can be bound then.
fn nonlocal_bind_is_no_relay(stage: &mut Stage) {
    let set = |value: &str| {
        std::fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", value).expect("the namespace is the test's");
    };
    stage.lab.gateway.run(|| set("1"));
    let mut session = stage.session();
    drop(stage.connect_data(&mut session, true));
    stage.lab.gateway.run(|| set("0"));
    let opened = stage.record("the pinhole", |record| record["event"] == "pinhole.opened");
    assert!(opened["reason"].is_null(), "{opened}");
}

/// As many rules as before, but not the same.
fn change_is_noticed(stage: &mut Stage) {
    let guard = stage.lab.gateway.output("nft", &["-a", "list", "chain", "inet", "ftp_pinhole", "guard"]);
    let rule = guard.lines().find(|line| line.contains("drop")).expect("the table guards the server");
    let (_, handle) = rule.rsplit_once("handle ").expect("nft -a prints handles");
    stage.lab.gateway.nft(&format!("replace rule inet ftp_pinhole guard handle {handle} accept\n"));
    stage.record("the change", |record| record["reason"] == "table-lost");
}

/// A table that is there but does nothing.
fn dormant_is_noticed(stage: &mut Stage) {
    stage.lab.gateway.nft("add table inet ftp_pinhole { flags dormant; }\n");
    stage.record("the change", |record| record["reason"] == "table-lost");
}

/// Dials from a port of the client's that was used before.
fn dial_from(stage: &Stage, from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    assert_eq!(from.ip(), stage.placement.client().ip(FAMILY));
    stage.client().run(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
        socket.connect_timeout(&to.into(), Duration::from_secs(2))?;
        Ok(socket.into())
    })
}
