//! A session between a client and a server that are only text, in virtual time.
//!
//! [`Pair`] feeds the engine, answers what it asks of a firewall backend, collects what it puts out
//! and checks after every step what must never happen (P1, P2, P4).

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ftp_pinhole::addr::Legs;
use ftp_pinhole::ids::PinholeId;
use ftp_pinhole::pinhole::{Closed, DataEvent, Direction, Expectation, OpenError, Opened, Order};
use ftp_pinhole::policy::{Policy, TransferMode};
use ftp_pinhole::reason::Reason;
use ftp_pinhole::session::{Event, EventKind, Output, Session, Side};
use ftp_pinhole::time::Timestamp;

/// The first gateway port that the backend gives to a passive pinhole.
pub const PASSIVE_PORT: u16 = 50_000;
/// The first gateway port that the backend gives to an active pinhole.
pub const ACTIVE_PORT: u16 = 40_000;

/// The name of a range.
const RANGE: u64 = 1_000_000;

const MAX_PINHOLES: usize = 1000;
const SET_UPS: [&[u8; 4]; 4] = [b"PASV", b"EPSV", b"PORT", b"EPRT"];

/// A pinhole in the backend.
#[derive(Debug, Default)]
struct Backed {
    active: bool,
    activated: bool,
    connected: bool,
    flows: bool,
    closed: bool,
}

/// One session and both its peers.
#[derive(Debug)]
pub struct Pair {
    pub session: Session,
    pub now: Timestamp,
    pub events: Vec<Event>,
    /// Everything but bytes, in order.
    pub trace: Vec<String>,
    /// Bytes sent to each side and not yet looked at.
    pub client_bytes: Vec<u8>,
    pub server_bytes: Vec<u8>,
    /// Commands that went out behind a Telnet Synch.
    pub urgent: Vec<String>,
    /// What the next openings fail with.
    pub fail: VecDeque<OpenError>,
    /// Openings wait for [`Pair::answer_open`].
    pub answer_later: bool,
    waiting: Option<Expectation>,
    /// Handshakes come to their end at once: whether well, bit by bit.
    pub at_once: Option<u64>,
    /// The handshake that the engine waits for.
    handshake: Option<Side>,
    range_open: bool,
    policy: Arc<Policy>,
    legs: Legs,
    pinholes: BTreeMap<u64, Backed>,
    /// The end of each stream, and what was found in it so far.
    last_four: [u8; 4],
    last_three: [u8; 3],
    setups_sent: usize,
    login_replied: bool,
    opens: usize,
    logged_in: bool,
    over: bool,
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

/// Legs of the families that `client` and `server` name by 4 or 6.
pub fn legs(client: u8, server: u8) -> Legs {
    let (client, reached) = match client {
        4 => ("198.51.100.10:40122", "203.0.113.10:21"),
        _ => ("[2001:db8:c::10]:40122", "[2001:db8::10]:21"),
    };
    let (source, server) = match server {
        4 => ("10.0.0.1:33000", "10.0.0.5:21"),
        _ => ("[fd00::1]:33000", "[fd00::5]:21"),
    };
    Legs { client: socket(client), reached: socket(reached), source: socket(source), server: socket(server) }
}

impl Default for Pair {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl Pair {
    pub fn new(policy: Policy) -> Self {
        Self::between(policy, legs(4, 4))
    }

    pub fn between(policy: Policy, legs: Legs) -> Self {
        Self::begun(policy, legs, Session::new)
    }

    /// The client begins with TLS.
    pub fn implicit(policy: Policy) -> Self {
        Self::begun(policy, legs(4, 4), Session::implicit)
    }

    fn begun(policy: Policy, legs: Legs, begin: fn(Arc<Policy>, Legs, Timestamp) -> Session) -> Self {
        let policy = Arc::new(policy);
        let now = Timestamp::default();
        let mut pair = Self {
            session: begin(policy.clone(), legs, now),
            now,
            events: Vec::new(),
            trace: Vec::new(),
            client_bytes: Vec::new(),
            server_bytes: Vec::new(),
            urgent: Vec::new(),
            fail: VecDeque::new(),
            answer_later: false,
            waiting: None,
            at_once: None,
            handshake: None,
            range_open: false,
            policy,
            legs,
            pinholes: BTreeMap::new(),
            last_four: [0; 4],
            last_three: [0; 3],
            setups_sent: 0,
            login_replied: false,
            opens: 0,
            logged_in: false,
            over: false,
        };
        pair.pump();
        pair
    }

    /// After the greeting.
    pub fn greeted(policy: Policy) -> Self {
        let mut pair = Self::new(policy);
        pair.server("220 hi").at_client("220 hi");
        pair
    }

    /// Logged in as alice; what led there is forgotten.
    pub fn logged_in() -> Self {
        Self::logged_in_with(Policy::default())
    }

    pub fn logged_in_with(policy: Policy) -> Self {
        Self::new(policy).log_in()
    }

    pub fn log_in(mut self) -> Self {
        self.server("220 hi")
            .client("USER alice")
            .server("331 password")
            .client("PASS secret")
            .server("230 in");
        self.forget();
        self
    }

    /// Logged in, with one passive pinhole that nothing has used.
    pub fn passive_ready() -> Self {
        Self::logged_in().pasv()
    }

    pub fn pasv(mut self) -> Self {
        self.client("PASV").server("227 Entering Passive Mode (10,0,0,5,160,2)");
        self.forget();
        self
    }

    /// Logged in, `RETR f` running on pinhole `id` over a data connection.
    pub fn retrieving() -> Self {
        let mut pair = Self::passive_ready();
        pair.connect(1).client("RETR f").server("150 here it comes");
        pair.forget();
        pair
    }

    pub fn client(&mut self, line: &str) -> &mut Self {
        self.client_raw(format!("{line}\r\n").as_bytes())
    }

    pub fn server(&mut self, line: &str) -> &mut Self {
        self.server_raw(format!("{line}\r\n").as_bytes())
    }

    pub fn client_raw(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.last_four =
                [&self.last_four[1..], &[byte.to_ascii_uppercase()]].concat().try_into().unwrap();
            self.setups_sent += usize::from(SET_UPS.contains(&&self.last_four));
        }
        self.session.handle_client(self.now, bytes);
        self.pump()
    }

    pub fn server_raw(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.last_three = [&self.last_three[1..], &[*byte]].concat().try_into().unwrap();
            self.login_replied |= [b"230", b"232", b"202"].contains(&&self.last_three);
        }
        self.session.handle_server(self.now, bytes);
        self.pump()
    }

    pub fn client_closes(&mut self) -> &mut Self {
        self.session.handle_client_closed(self.now);
        self.pump()
    }

    pub fn server_closes(&mut self) -> &mut Self {
        self.session.handle_server_closed(self.now);
        self.pump()
    }

    /// Nobody sees what comes next.
    pub fn lost(&mut self, reason: Reason) -> &mut Self {
        self.session.handle_lost(self.now, reason);
        self.pump()
    }

    pub fn drain(&mut self) -> &mut Self {
        self.session.handle_drain(self.now);
        self.pump()
    }

    pub fn stop(&mut self) -> &mut Self {
        self.session.handle_stop(self.now);
        self.pump()
    }

    /// The handshake that the engine waits for, on this leg, comes to this end.
    pub fn shakes_hands(&mut self, side: Side, result: Result<(), Reason>) -> &mut Self {
        assert_eq!(self.handshake, Some(side));
        self.end_handshake(side, result);
        self.pump()
    }

    fn end_handshake(&mut self, side: Side, result: Result<(), Reason>) {
        self.handshake = None;
        self.session.handle_handshake(self.now, side, result);
    }

    pub fn data(&mut self, id: u64, event: DataEvent) -> &mut Self {
        if let (Some(backed), DataEvent::Connected { .. }) = (self.pinholes.get_mut(&id), event) {
            backed.connected = true;
        }
        if let (Some(backed), DataEvent::Closed(_)) = (self.pinholes.get_mut(&id), event) {
            backed.closed = true;
        }
        self.session.handle_data(self.now, PinholeId(id), event);
        self.pump()
    }

    /// The expected peer connects to pinhole `id`.
    pub fn connect(&mut self, id: u64) -> &mut Self {
        self.data(id, DataEvent::Connected { from: self.legs.client })
    }

    /// Both ends of the data connection of pinhole `id` close, after so many bytes.
    pub fn close(&mut self, id: u64, to_server: u64, to_client: u64) -> &mut Self {
        self.close_for(id, to_server, to_client, None)
    }

    pub fn close_for(
        &mut self,
        id: u64,
        to_server: u64,
        to_client: u64,
        reason: Option<Reason>,
    ) -> &mut Self {
        let duration = Duration::from_millis(1500);
        let (bytes_to_server, bytes_to_client) = (Some(to_server), Some(to_client));
        self.data(id, DataEvent::Closed(Closed { bytes_to_server, bytes_to_client, duration, reason }))
    }

    /// The backend answers the opening that waits.
    pub fn answer_open(&mut self) -> &mut Self {
        if let Some(expectation) = self.waiting.take() {
            self.open(&expectation);
        }
        self.pump()
    }

    /// Time passes; what falls due does so at its own time.
    pub fn wait(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.pump();
            let next = self.session.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a time-out that is due again at once");
        }
        self.now = end;
        self
    }

    pub fn wait_secs(&mut self, seconds: u64) -> &mut Self {
        self.wait(Duration::from_secs(seconds))
    }

    /// Exactly these lines went to the client since the last look.
    #[track_caller]
    pub fn at_client(&mut self, lines: &str) -> &mut Self {
        assert_eq!(take_lines(&mut self.client_bytes), lines, "at the client");
        self
    }

    /// Exactly these lines went to the server since the last look.
    #[track_caller]
    pub fn at_server(&mut self, lines: &str) -> &mut Self {
        assert_eq!(take_lines(&mut self.server_bytes), lines, "at the server");
        self
    }

    /// Exactly these outputs other than bytes came since the last look, separated by `; `.
    #[track_caller]
    pub fn did(&mut self, trace: &str) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.trace).join("; "), trace);
        self
    }

    /// Nothing came out since the last look.
    #[track_caller]
    pub fn quiet(&mut self) -> &mut Self {
        self.at_client("").at_server("").did("")
    }

    /// The client connects at `port` of the range; the connection is pinhole `id`.
    pub fn enter(&mut self, id: u64, port: u16) -> &mut Self {
        self.pinholes.insert(id, Backed { connected: true, flows: true, ..Backed::default() });
        self.data(RANGE, DataEvent::Entered { pinhole: PinholeId(id), port })
    }

    pub fn forget(&mut self) -> &mut Self {
        self.client_bytes.clear();
        self.server_bytes.clear();
        self.trace.clear();
        self.events.clear();
        self.urgent.clear();
        self
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    /// How often the backend was asked to open.
    pub fn opens(&self) -> usize {
        self.opens
    }

    /// Pinholes that the backend holds and was not told to close.
    pub fn open_pinholes(&self) -> usize {
        self.pinholes.values().filter(|backed| !backed.closed).count()
    }

    /// The names of the pinholes that the backend ever opened.
    pub fn pinhole_ids(&self) -> Vec<u64> {
        self.pinholes.keys().copied().collect()
    }

    /// Takes every output, answers openings, checks what must always hold.
    fn pump(&mut self) -> &mut Self {
        loop {
            while let Some(output) = self.session.poll_output() {
                assert!(!self.over, "after the end: {output:?}");
                self.take(output);
            }
            let Some(side) = self.handshake else { break };
            assert!(!self.session.wants_client() && !self.session.wants_server(), "in a handshake");
            let Some(bits) = self.at_once else { break };
            self.at_once = Some(bits.rotate_right(1));
            let failed = if side == Side::Client { Reason::ClientTls } else { Reason::UpstreamTls };
            self.end_handshake(side, if bits & 1 == 1 { Ok(()) } else { Err(failed) });
        }
        let pending =
            self.pinholes.values().filter(|backed| !backed.closed && !backed.flows && !backed.connected);
        assert!(pending.count() <= 1, "more than one pinhole without a transfer: {:?}", self.pinholes);
        assert!(self.open_pinholes() <= MAX_PINHOLES);
        if self.over {
            assert_eq!(self.session.poll_timeout(), None, "a time-out after the end");
            assert!(!self.session.wants_client() && !self.session.wants_server());
        }
        self
    }

    fn take(&mut self, output: Output) {
        let to = match output {
            Output::ToClient(_) => Some(Side::Client),
            Output::ToServer(_) | Output::SynchToServer(_) => Some(Side::Server),
            _ => None,
        };
        // P7: a leg in a handshake is sent nothing in plain text.
        assert!(to.is_none() || to != self.handshake, "in a handshake: {output:?}");
        match output {
            Output::ToClient(bytes) => self.client_bytes.extend(bytes),
            Output::ToServer(bytes) => {
                // A name that the server has not accepted yet logs nobody in.
                if bytes.starts_with(b"USER") {
                    self.logged_in = false;
                }
                self.server_bytes.extend(bytes);
            }
            Output::SynchToServer(bytes) => {
                self.urgent.push(take_lines(&mut bytes.clone()));
                self.server_bytes.extend(bytes);
            }
            Output::Handshake(side) => {
                assert!(self.handshake.replace(side).is_none(), "two handshakes at a time");
                self.trace.push(format!("handshake {side:?}").to_lowercase());
            }
            Output::OpenRange(permit) => {
                assert_eq!(
                    (permit.dialler(), permit.server()),
                    (self.legs.client.ip(), self.legs.server.ip())
                );
                self.trace.push(format!("open range {}", permit.ports()));
                let id = PinholeId(RANGE);
                let result = self.fail.pop_front().map_or(Ok(id), Err);
                self.range_open = result.is_ok();
                // Nobody hears the login behind it.
                self.logged_in = true;
                self.session.handle_range(self.now, result);
            }
            Output::Open(expectation) => self.asked_to_open(expectation),
            Output::Order(id, order) => self.ordered(id, order),
            Output::Record(event) => self.recorded(event),
            Output::Tolerated(tolerance) => self.trace.push(format!("tolerated {}", tolerance.code())),
            Output::HangUp => self.trace.push("hang-up".into()),
            Output::Over => {
                self.over = true;
                self.trace.push("over".into());
            }
        }
    }

    fn asked_to_open(&mut self, expectation: Expectation) {
        let permit = expectation.permit();
        let (dialler, listen, to) = match permit.mode() {
            TransferMode::Passive => (self.legs.client, self.legs.reached, self.legs.server),
            TransferMode::Active => (self.legs.server, self.legs.source, self.legs.client),
        };
        assert_eq!(
            (permit.dialler(), permit.listen(), permit.to().ip()),
            (dialler.ip(), listen.ip(), to.ip())
        );
        assert!(permit.to().port() >= 1024);
        self.opens += 1;
        assert!(!self.policy.require_login || self.logged_in, "a pinhole before the login");
        let again = self.policy.tolerate.reused_port;
        assert!(again || self.opens <= self.setups_sent, "a pinhole that the client did not ask for");
        let terminated = if expectation.terminated { " under TLS" } else { "" };
        self.trace.push(format!("open {} to {}{terminated}", permit.mode().as_str(), permit.to()));
        if self.answer_later {
            assert!(self.waiting.replace(expectation).is_none(), "two openings at a time");
        } else {
            self.open(&expectation);
        }
    }

    fn open(&mut self, expectation: &Expectation) {
        let active = expectation.mode() == TransferMode::Active;
        let result = match self.fail.pop_front() {
            Some(error) => Err(error),
            None => {
                let id = self.pinholes.len() as u64 + 1;
                self.pinholes.insert(id, Backed { active, ..Backed::default() });
                let base = if active { ACTIVE_PORT } else { PASSIVE_PORT };
                let port = expectation.port.unwrap_or(base + ((id - 1) % 1000) as u16);
                Ok(Opened { id: PinholeId(id), port, relayed: None })
            }
        };
        self.session.handle_opened(self.now, result);
    }

    fn ordered(&mut self, id: PinholeId, order: Order) {
        if id == PinholeId(RANGE) {
            assert!(std::mem::take(&mut self.range_open) && order == Order::Close, "{order:?} for a range");
            return self.trace.push("range close".into());
        }
        let backed = self.pinholes.get_mut(&id.0).expect("an order for a pinhole that was opened");
        let name = match order {
            Order::Activate => {
                assert!(backed.active && !backed.activated && !backed.closed, "{id} activated: {backed:?}");
                backed.activated = true;
                "activate"
            }
            Order::Protect(legs) => {
                assert!(legs.any() && !backed.flows, "{id} protected: {backed:?}");
                match (legs.client, legs.server) {
                    (true, true) => "protect both",
                    (true, false) => "protect client",
                    _ => "protect server",
                }
            }
            Order::Flow(direction) => {
                assert!(!backed.closed && !backed.flows, "{id} flows: {backed:?}");
                assert!(!backed.active || backed.activated, "{id} flows before the server agreed");
                backed.flows = true;
                match direction {
                    Direction::ToServer => "to-server",
                    Direction::ToClient => "to-client",
                    Direction::Both => "both",
                }
            }
            Order::Close => {
                backed.closed = true;
                "close"
            }
        };
        self.trace.push(format!("{id} {name}"));
    }

    fn recorded(&mut self, event: Event) {
        if event.kind == EventKind::SessionLogin {
            assert!(self.login_replied, "a login that the server did not accept");
            self.logged_in = true;
        }
        let reason = event.reason.map_or(String::new(), |reason| format!(" {reason}"));
        self.trace.push(format!("{}{reason}", event.kind.name()));
        self.events.push(event);
    }
}

fn take_lines(bytes: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(&std::mem::take(bytes)).replace("\r\n", "\n");
    text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
}

/// The policy of the defaults, changed by `change`.
pub fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}

/// An address that is neither the client's nor the server's.
pub const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
