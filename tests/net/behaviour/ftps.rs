//! What opens for a session that is encrypted from end to end, for whom, and for how long. Client and server say
//! something that looks like TLS; the gateway reads no more of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::thread;

use super::stage::{FAMILY, Session, Stage, accept, dial, is_shut, listen, rest, stays_alone};
use super::{KERNEL, OFFICE, OFFICE_GUARDED, OFFICE_RELAY, PATIENCE, RELAY, ROUTED, scenarios};
use crate::lab::Who;
use crate::placement::{DataPath, Integration, Intercept, Placement};
use crate::process::poll;

scenarios! {
    range_is_open_while_its_session_lasts_relay: range_lasts_as_its_session, RELAY, BLIND;
    range_is_open_while_its_session_lasts_nftables: range_lasts_as_its_session, KERNEL, BLIND;
    range_is_open_while_its_session_lasts_routed: range_lasts_as_its_session, ROUTED, BLIND;
    range_is_open_while_its_session_lasts_redirected: range_lasts_as_its_session, REDIRECTED, BLIND;
    range_is_open_while_its_session_lasts_office: range_lasts_as_its_session, OFFICE_GUARDED, BLIND;
    range_is_open_while_its_session_lasts_office_redirected: range_lasts_as_its_session, OFFICE_REDIRECTED, BLIND;

    other_ports_and_other_hosts_stay_out_relay: others_stay_out, RELAY, BLIND;
    other_ports_and_other_hosts_stay_out_nftables: others_stay_out, KERNEL, BLIND;
    other_ports_and_other_hosts_stay_out_routed: others_stay_out, ROUTED, BLIND;
    other_ports_and_other_hosts_stay_out_redirected: others_stay_out, REDIRECTED, BLIND;
    other_ports_and_other_hosts_stay_out_office: others_stay_out, OFFICE_GUARDED, BLIND;
    other_ports_and_other_hosts_stay_out_office_redirected: others_stay_out, OFFICE_REDIRECTED, BLIND;

    pair_is_in_the_set_until_its_last_session_ends_routed: pair_stays_for_its_last_session, ROUTED, BLIND;
    pair_is_in_the_set_until_its_last_session_ends_office: pair_stays_for_its_last_session, OFFICE_GUARDED, BLIND;
    pair_is_in_the_set_until_its_last_session_ends_office_relay: pair_stays_for_its_last_session, OFFICE_RELAY, BLIND;

    flushed_ruleset_comes_back_with_the_pairs_routed: flush_is_repaired, ROUTED, BLIND;
    flushed_ruleset_comes_back_with_the_pairs_office: flush_is_repaired, OFFICE, BLIND;

    killed_gateway_leaves_no_range_open_relay: kill_leaves_nothing_open, RELAY, BLIND;
    killed_gateway_leaves_no_range_open_routed: kill_leaves_nothing_open, ROUTED, BLIND;
    killed_gateway_leaves_no_range_open_redirected: kill_leaves_nothing_open, REDIRECTED, BLIND;
    killed_gateway_leaves_no_range_open_office: kill_leaves_nothing_open, OFFICE_GUARDED, BLIND;
}

const BLIND: &str = "tls: {mode: blind, data_ports: 30000-30002},";
const PORTS: RangeInclusive<u16> = 30000..=30002;
/// A port of the server that is not of the range.
const BESIDE: u16 = 30003;

/// A server with its own address, for which connections are redirected to the gateway.
const REDIRECTED: Placement =
    Placement { intercept: Intercept::Redirect, data_path: DataPath::Relay, ..ROUTED };
/// The same with clients inside, beside an administrator's firewall.
const OFFICE_REDIRECTED: Placement =
    Placement { intercept: Intercept::Redirect, integration: Integration::Cooperative, ..OFFICE_RELAY };

/// The beginning of a handshake, from the client and from the server (RFC 8446 section 5.1).
const HELLO: &[u8] = b"\x16\x03\x01\x00\x05hello";
const ANSWER: &[u8] = b"\x16\x03\x03\x00\x06answer";

/// Shut before AUTH, shut until the server has agreed, open to both directions, and shut when the session is
/// over, which a transfer that runs survives.
fn range_lasts_as_its_session(stage: &mut Stage) {
    let servers = stage.range();
    let mut session = stage.greeted();
    stage.range_is_shut(&servers);
    session.pass("AUTH TLS");
    stage.range_is_shut(&servers);
    session.answer("234 go");
    session.shake_hands();
    for server in &servers {
        converse(stage.enter(server));
    }
    let (mut client, mut server) = stage.enter(&servers[0]);
    server.write_all(b"begin").expect("the transfer has begun");
    client.read_exact(&mut [0; 5]).expect("the transfer has begun");
    drop(session);
    stage.record("the end of the range", |record| {
        record["event"] == "pinhole.revoked" && record["reason"] == "session-ended"
    });
    stage.range_is_shut(&servers);
    converse((client, server));
    stage.record("the end of the session", |record| record["event"] == "session.closed");
    assert_eq!(stage.count("pinhole.connected"), servers.len() + 1);
}

/// While the range is open: the client at another port, and another host at every port.
fn others_stay_out(stage: &mut Stage) {
    let (servers, beside) = (stage.range(), stage.serve(BESIDE));
    let _session = stage.dark();
    is_shut(stage.client(), stage.data_port(BESIDE));
    stays_alone(&beside);
    thread::scope(|scope| {
        for server in &servers {
            scope.spawn(|| {
                is_shut(stage.lab.host(stage.stranger()), stage.data_port(port(server)));
                stays_alone(server);
            });
        }
    });
    // Where connections are intercepted, those of others are none of the gateway's.
    if stage.placement.intercept == Intercept::Listen {
        for server in &servers {
            let listen = stage.data_port(port(server)).to_string();
            let cut = stage.record("the stranger", |record| {
                record["reason"] == "stranger" && record["listen"] == listen
            });
            assert_eq!(cut["from"], stage.stranger().ip(FAMILY).to_string(), "{cut}");
        }
    }
    servers.iter().for_each(|server| converse(stage.enter(server)));
}

/// Two sessions of one client with one server.
fn pair_stays_for_its_last_session(stage: &mut Stage) {
    let servers = stage.range();
    assert!(!stage.has_pair());
    let first = stage.dark();
    assert!(stage.has_pair());
    let second = stage.dark();
    drop(first);
    stage.record("the end of the first", |record| record["event"] == "pinhole.revoked");
    assert!(stage.has_pair(), "the second session lasts");
    converse(stage.enter(&servers[1]));
    drop(second);
    let gone = poll(PATIENCE, || (!stage.has_pair()).then_some(()));
    assert!(gone.is_some(), "nobody has a session any more");
    stage.range_is_shut(&servers);
}

/// Somebody removes every rule while a session lasts.
fn flush_is_repaired(stage: &mut Stage) {
    let servers = stage.range();
    let session = stage.dark();
    stage.lab.gateway.nft("flush ruleset\n");
    let back = poll(PATIENCE, || stage.shows_pair().unwrap_or(false).then_some(()));
    assert!(back.is_some(), "the pair is not back");
    stage.record("the loss", |record| record["reason"] == "table-lost");
    converse(stage.enter(&servers[2]));
    drop(session);
    let gone = poll(PATIENCE, || (!stage.has_pair()).then_some(()));
    assert!(gone.is_some(), "nobody has a session any more");
}

/// `kill -9` while a session lasts; the next gateway knows nothing of it.
fn kill_leaves_nothing_open(stage: &mut Stage) {
    let servers = stage.range();
    let session = stage.dark();
    let killed = stage.gateway.take().expect("the gateway runs").kill();
    stage.killed = true;
    stage.range_is_shut(&servers);
    drop(session);
    stage.gateway = Some(killed.restart().unwrap_or_else(|refused| panic!("{}", refused.reason())));
    stage.range_is_shut(&servers);
    let _session = stage.dark();
    converse(stage.enter(&servers[0]));
}

impl Stage<'_> {
    /// A new session of which nobody can read more.
    fn dark(&self) -> Session {
        let mut session = self.greeted();
        session.exchange("AUTH TLS", "234 go");
        session.shake_hands();
        session
    }

    /// The server's ports, all of which listen.
    fn range(&self) -> Vec<TcpListener> {
        PORTS.map(|port| self.serve(port)).collect()
    }

    fn serve(&self, port: u16) -> TcpListener {
        self.server().run(|| listen(self.placement.server().at(FAMILY, port)))
    }

    /// Where clients dial for a port of the server.
    fn data_port(&self, port: u16) -> SocketAddr {
        self.placement.dialled().at(FAMILY, port)
    }

    /// The client comes in: its end and the server's.
    fn enter(&self, server: &TcpListener) -> (TcpStream, TcpStream) {
        let to = self.data_port(port(server));
        let client = dial(self.client(), to).unwrap_or_else(|error| panic!("{to}: {error}"));
        let server = accept(server).expect("the server is dialled");
        let seen = server.peer_addr().expect("a connected socket has a peer").ip();
        assert_eq!(seen, self.placement.seen().ip(FAMILY));
        (client, server)
    }

    /// The client gets in nowhere, and the server hears of nothing.
    fn range_is_shut(&self, servers: &[TcpListener]) {
        thread::scope(|scope| {
            for server in servers {
                scope.spawn(|| {
                    is_shut(self.client(), self.data_port(port(server)));
                    stays_alone(server);
                });
            }
        });
    }

    fn has_pair(&self) -> bool {
        self.shows_pair().expect("the table is there")
    }

    /// Whether the client and its server are in the gateway's set; `None`: there is no set.
    fn shows_pair(&self) -> Option<bool> {
        let (shown, set) =
            self.lab.gateway.try_feed("nft", &["list", "set", "inet", "ftp_pinhole", "range4"], "");
        let (client, server) = (self.placement.client(), self.placement.server());
        let pair = [client, server].map(|who: Who| who.ip(FAMILY).to_string()).join(" . ");
        shown.then(|| set.contains(&pair))
    }
}

impl Session {
    /// Both sides say what nobody but them can read.
    fn shake_hands(&mut self) {
        self.client.send(HELLO);
        assert_eq!(self.server.take(HELLO.len()), HELLO);
        self.server.send(ANSWER);
        assert_eq!(self.client.take(ANSWER.len()), ANSWER);
    }
}

fn port(server: &TcpListener) -> u16 {
    server.local_addr().expect("a bound socket has an address").port()
}

/// Bytes go both ways, until both ends close.
fn converse((mut client, mut server): (TcpStream, TcpStream)) {
    for end in [&mut client, &mut server] {
        end.write_all(b"ciphertext").expect("the connection stands");
        end.shutdown(Shutdown::Write).expect("the connection stands");
    }
    assert_eq!([rest(&mut client), rest(&mut server)], [b"ciphertext", b"ciphertext"]);
}
