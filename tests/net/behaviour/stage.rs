//! A gateway, a server's control port played by the test, and sessions through both.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use super::peer::Peer;
use super::{PATIENCE, QUIET};
use crate::gateway::Gateway;
use crate::host::Host;
use crate::lab::{FTP, Lab, Who};
use crate::placement::Placement;
use crate::process::poll;
use crate::route::Family;

/// The families are alike where the matrix passes; here one is enough.
pub(super) const FAMILY: Family = Family::V4;

pub(super) struct Stage<'a> {
    pub(super) lab: &'a Lab,
    pub(super) placement: Placement,
    /// `None` while a scenario has taken it.
    pub(super) gateway: Option<Gateway>,
    /// Whether a gateway was killed on this stage.
    pub(super) killed: bool,
    /// The server's control port.
    pub(super) control: TcpListener,
}

/// A control connection, both ends of it.
pub(super) struct Session {
    pub(super) client: Peer,
    pub(super) server: Peer,
}

/// A data connection that has been announced.
pub(super) struct Announced {
    /// Where one side was told to dial.
    pub(super) told: SocketAddr,
    /// Where the other side waits.
    pub(super) listener: TcpListener,
}

impl<'a> Stage<'a> {
    /// Starts the gateway and lets the server's control port listen.
    pub(super) fn set(lab: &'a Lab, placement: Placement, more: &str) -> Self {
        let gateway = Gateway::start(|audit| placement.rules(audit, more));
        let gateway =
            gateway.unwrap_or_else(|refused| panic!("the gateway does not start: {}", refused.reason()));
        let server = placement.server();
        let control = lab.host(server).run(|| listen(server.at(FAMILY, FTP)));
        Self { lab, placement, gateway: Some(gateway), killed: false, control }
    }

    /// Stops the gateway, which is to leave nothing behind.
    pub(super) fn end(self) {
        self.gateway.expect("the scenario has put the gateway back").stop();
    }

    pub(super) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("the gateway is on the stage")
    }

    pub(super) fn client(&self) -> &Host {
        self.lab.host(self.placement.client())
    }

    pub(super) fn server(&self) -> &Host {
        self.lab.host(self.placement.server())
    }

    /// The host beside the client.
    pub(super) fn stranger(&self) -> Who {
        match self.placement.client() {
            Who::Near => Who::Neighbour,
            _ => Who::Stranger,
        }
    }

    /// A new session, logged in.
    pub(super) fn session(&self) -> Session {
        let mut session = self.greeted();
        session.exchange("USER joe", "331 password");
        session.exchange("PASS secret", "230 in");
        session
    }

    /// A new session, greeted.
    pub(super) fn greeted(&self) -> Session {
        let (client, dialled) =
            (self.placement.client().ip(FAMILY), self.placement.dialled().at(FAMILY, FTP));
        let client = self.client().run(|| Peer::connect(client, dialled));
        let server = Peer::accept(&self.control);
        let mut session = Session { client, server };
        session.answer("220 ready");
        session
    }

    /// PASV: where the client is told to dial, and the server's port.
    pub(super) fn passive(&self, session: &mut Session) -> Announced {
        let server = self.placement.server();
        let listener = self.server().run(|| listen(server.at(FAMILY, 0)));
        session.pass("PASV");
        session.server.say(&format!("227 Entering Passive Mode ({}).", host_port(here(&listener))));
        let told = read_host_port(&session.client.line());
        Announced { told, listener }
    }

    /// PORT without its reply: where the server is told to dial, and the client's port.
    pub(super) fn announce(&self, session: &mut Session) -> Announced {
        let client = self.placement.client();
        let listener = self.client().run(|| listen(client.at(FAMILY, 0)));
        session.client.say(&format!("PORT {}", host_port(here(&listener))));
        let told = read_host_port(&session.server.line());
        Announced { told, listener }
    }

    /// PORT with its reply.
    pub(super) fn active(&self, session: &mut Session) -> Announced {
        let announced = self.announce(session);
        session.answer("200 PORT is fine");
        announced
    }

    /// A data connection over which RETR has begun: its client's end and its server's end.
    pub(super) fn download(&self, session: &mut Session, passive: bool) -> (TcpStream, TcpStream) {
        let ends = self.connect_data(session, passive);
        session.exchange("RETR file", "150 here it comes");
        ends
    }

    /// A data connection without a transfer: its client's end and its server's end.
    pub(super) fn connect_data(&self, session: &mut Session, passive: bool) -> (TcpStream, TcpStream) {
        if passive {
            let announced = self.passive(session);
            self.join_passive(&announced)
        } else {
            let announced = self.active(session);
            self.join_active(&announced)
        }
    }

    /// The client dials.
    pub(super) fn join_passive(&self, announced: &Announced) -> (TcpStream, TcpStream) {
        let client = dial(self.client(), announced.told);
        let client = client.unwrap_or_else(|error| panic!("{}: {error}", announced.told));
        (client, accept(&announced.listener).expect("the server is dialled"))
    }

    /// The server dials.
    pub(super) fn join_active(&self, announced: &Announced) -> (TcpStream, TcpStream) {
        let server = dial(self.server(), announced.told);
        let server = server.unwrap_or_else(|error| panic!("{}: {error}", announced.told));
        (accept(&announced.listener).expect("the client is dialled"), server)
    }

    /// A whole download in a session of its own.
    pub(super) fn one_more_transfer_works(&self, passive: bool) {
        let mut session = self.session();
        let (mut client, server) = self.download(&mut session, passive);
        send_whole(server, b"all is well");
        session.answer("226 done");
        assert_eq!(rest(&mut client), b"all is well");
        session.exchange("QUIT", "221 bye");
    }

    /// Waits for a record that `is`.
    pub(super) fn record(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let audit = self.gateway().audit();
        let found = poll(PATIENCE, || audit.records(0).expect("the records are JSON").into_iter().find(&is));
        found.unwrap_or_else(|| panic!("no record of {what}"))
    }

    /// How many records there are of an event.
    pub(super) fn count(&self, event: &str) -> usize {
        let records = self.gateway().audit().records(0).expect("the records are JSON");
        records.iter().filter(|record| record["event"] == event).count()
    }
}

impl Session {
    /// A line from the client arrives at the server unchanged.
    pub(super) fn pass(&mut self, line: &str) {
        self.client.say(line);
        self.server.expect(line);
    }

    /// A reply from the server arrives at the client unchanged.
    pub(super) fn answer(&mut self, line: &str) {
        self.server.say(line);
        self.client.expect(line);
    }

    pub(super) fn exchange(&mut self, line: &str, reply: &str) {
        self.pass(line);
        self.answer(reply);
    }
}

pub(super) fn listen(address: SocketAddr) -> TcpListener {
    TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"))
}

fn here(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}

/// Connects from a host; a lost first segment may be sent again.
pub(super) fn dial(from: &Host, to: SocketAddr) -> io::Result<TcpStream> {
    dial_within(from, to, PATIENCE)
}

/// [`dial`] with another limit.
pub(super) fn dial_within(from: &Host, to: SocketAddr, limit: std::time::Duration) -> io::Result<TcpStream> {
    let stream = from.run(|| TcpStream::connect_timeout(&to, limit))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The next connection, if one comes in time.
pub(super) fn accept(listener: &TcpListener) -> Option<TcpStream> {
    accept_within(listener, PATIENCE)
}

fn accept_within(listener: &TcpListener, limit: std::time::Duration) -> Option<TcpStream> {
    listener.set_nonblocking(true).expect("TCP sockets have this option");
    let (stream, _) = poll(limit, || listener.accept().ok())?;
    stream.set_nonblocking(false).expect("TCP sockets have this option");
    stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("the limit is not zero");
    Some(stream)
}

/// Nobody connects.
pub(super) fn stays_alone(listener: &TcpListener) {
    let came = accept_within(listener, QUIET).map(|stream| stream.peer_addr());
    assert!(came.is_none(), "{came:?} has come through");
}

/// Who dials gets no connection, or one that is cut before it carries a byte.
pub(super) fn is_shut(from: &Host, to: SocketAddr) {
    let Ok(mut stream) = dial_within(from, to, QUIET) else { return };
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => {}
        Ok(_) => panic!("{to} sends bytes"),
        Err(error) => assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "{to} stays open"),
    }
}

/// Everything up to an orderly end.
pub(super) fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{error} after {} bytes", bytes.len()));
    bytes
}

/// Sends these bytes and the end.
pub(super) fn send_whole(mut stream: TcpStream, bytes: &[u8]) {
    io::Write::write_all(&mut stream, bytes).expect("the other end reads");
}

/// `h1,h2,h3,h4,p1,p2`.
pub(super) fn host_port(address: SocketAddr) -> String {
    let [high, low] = address.port().to_be_bytes();
    format!("{},{high},{low}", address.ip().to_string().replace('.', ","))
}

/// The address in a 227 or in PORT.
fn read_host_port(line: &str) -> SocketAddr {
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let numbers: Vec<u8> = numbers.filter_map(|word| word.parse().ok()).collect();
    let [.., a, b, c, d, high, low] = numbers[..] else { panic!("{line:?} holds no address") };
    SocketAddr::new(IpAddr::from([a, b, c, d]), u16::from_be_bytes([high, low]))
}
