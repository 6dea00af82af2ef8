//! The relay backend on real loopback sockets: client and server are sockets of the test, the engine
//! is the test itself. Each test has a gateway address of its own in 127.0.0.0/8, so that they do not
//! meet on a port. The runtime has one thread: what a relay task does in one go is done before the
//! test goes on, so "not dialled" can be told without waiting.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)] // helpers of tests are test code

mod admission;
mod range;
mod transfer;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ftp_pinhole::addr::{AdvertisedAddr, Legs, PortRange, PortSet};
use ftp_pinhole::firewall::{DataObserver, PinholeBackend, Relay};
use ftp_pinhole::ids::PinholeId;
use ftp_pinhole::pinhole::{Closed, DataEvent, Direction, Expectation, OpenError, Opened, Order};
use ftp_pinhole::policy::Policy;
use ftp_pinhole::reason::Reason;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Says `$why` and leaves the test.
macro_rules! skip {
    ($why:expr) => {{
        println!("SKIP: {}", $why);
        return;
    }};
}
use skip;

/// The session's side of a pinhole.
struct Inbox(UnboundedSender<(PinholeId, DataEvent)>);

impl DataObserver for Inbox {
    fn notify(&self, pinhole: PinholeId, event: DataEvent) {
        // A test that has seen enough no longer listens.
        let _ = self.0.send((pinhole, event));
    }
}

/// A relay, the policy that its pinholes get and the events that it sends.
struct Bed {
    relay: Relay,
    policy: Policy,
    gateway: IpAddr,
    inbox: Arc<Inbox>,
    events: UnboundedReceiver<(PinholeId, DataEvent)>,
    strangers: Arc<Mutex<Vec<(SocketAddr, SocketAddr)>>>,
}

impl Bed {
    /// A relay at a gateway address that no other test has, with one port.
    fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        Self::at(IpAddr::V4(Ipv4Addr::new(127, 77, 0, NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    fn at(gateway: IpAddr) -> Self {
        let (sender, events) = unbounded_channel();
        let strangers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&strangers);
        let on_stranger = Arc::new(move |from, listen| seen.lock().unwrap().push((from, listen)));
        let relay = Relay::new(Arc::new(AtomicU64::new(0)), 1, on_stranger);
        let mut bed = Self {
            relay,
            policy: Policy::default(),
            gateway,
            inbox: Arc::new(Inbox(sender)),
            events,
            strangers,
        };
        bed.use_ports(&[free_port(gateway)]);
        bed
    }

    fn use_ports(&mut self, ports: &[u16]) {
        let ranges = ports.iter().map(|&port| PortRange::new(port, port).unwrap()).collect();
        self.policy.passive_ports = PortSet::new(ranges).unwrap();
        self.policy.active_ports = self.policy.passive_ports.clone();
    }

    /// Both legs end at the gateway's address; the ports of the control connection do not matter.
    fn legs(&self, client: IpAddr, server: IpAddr) -> Legs {
        let at = |ip| SocketAddr::new(ip, 21);
        Legs { client: at(client), reached: at(self.gateway), source: at(self.gateway), server: at(server) }
    }

    /// Opens a passive pinhole for `client`, towards the server that listens at `server`.
    fn open_passive(&self, client: IpAddr, server: SocketAddr) -> Result<Opened, OpenError> {
        let legs = self.legs(client, server.ip());
        let permit = self.policy.permit_passive(&legs, server.port(), None).unwrap().permit;
        self.open(Expectation::new(permit, None))
    }

    /// Reserves an active pinhole for `server`, towards the client that listens at `client`.
    fn open_active(&self, client: SocketAddr, server: IpAddr) -> Result<Opened, OpenError> {
        let legs = self.legs(client.ip(), server);
        let permit = self.policy.permit_active(&legs, AdvertisedAddr(client)).unwrap();
        self.open(Expectation::new(permit, None))
    }

    fn open(&self, expectation: Expectation) -> Result<Opened, OpenError> {
        self.relay.open(expectation, &Arc::new(self.policy.clone()), Arc::clone(&self.inbox) as _)
    }

    fn order(&self, pinhole: Opened, order: Order) {
        self.relay.order(pinhole.id, order);
    }

    fn listen(&self, pinhole: Opened) -> SocketAddr {
        SocketAddr::new(self.gateway, pinhole.port)
    }

    async fn event(&mut self) -> (PinholeId, DataEvent) {
        let waited = tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await;
        waited.expect("no event came").unwrap()
    }

    async fn connected(&mut self) -> SocketAddr {
        match self.event().await.1 {
            DataEvent::Connected { from } => from,
            other => panic!("{other:?} instead of Connected"),
        }
    }

    async fn closed(&mut self) -> Closed {
        match self.event().await.1 {
            DataEvent::Closed(closed) => closed,
            other => panic!("{other:?} instead of Closed"),
        }
    }

    /// A connected passive pinhole that waits for its direction: client's end, server's end.
    async fn connect_passive(&mut self) -> (Opened, TcpStream, TcpStream) {
        let server = server();
        let pinhole = self.open_passive(CLIENT, server.local_addr().unwrap()).unwrap();
        let client = TcpStream::connect(self.listen(pinhole)).await.unwrap();
        assert_eq!(self.connected().await, client.local_addr().unwrap());
        let (far, from) = server.accept().await.unwrap();
        assert_eq!(from.ip(), self.gateway, "the far end sees the address of its control connection");
        (pinhole, client, far)
    }

    /// No pinhole is left and no event.
    fn assert_quiet(&mut self) {
        assert!(self.events.try_recv().is_err());
    }
}

/// A listener on the loopback address, for the side that is dialled.
fn server() -> TcpListener {
    server_at(CLIENT)
}

fn server_at(ip: IpAddr) -> TcpListener {
    let listener = StdListener::bind((ip, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    TcpListener::from_std(listener).unwrap()
}

/// A port at `ip` that nobody uses just now.
fn free_port(ip: IpAddr) -> u16 {
    StdListener::bind((ip, 0)).unwrap().local_addr().unwrap().port()
}

/// Connects from `from` without letting the relay's tasks run in between.
fn dial_from(from: IpAddr, to: SocketAddr) -> std::io::Result<StdStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

fn into_tokio(stream: StdStream) -> TcpStream {
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// How the stream ends: all bytes until an orderly end, or `None` for a reset.
async fn read_all(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok().map(|_| bytes)
}

fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Bytes that do not repeat with the size of any buffer.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ (i / 65_521) as u8).collect()
}
