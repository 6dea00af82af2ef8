//! Bulk throughput of the relay over loopback, beside socat and HAProxy in the same run, and the rate of
//! small transfers. `cargo bench --bench relay [-- bulk|small]`
//!
//! Sender, relay and receiver share the machine's cores; CPU per byte is that of the relay's threads
//! alone (the others: of their processes).

#![allow(clippy::unwrap_used)] // a measurement that fails shall stop

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ftp_pinhole::addr::Legs;
use ftp_pinhole::firewall::{DataObserver, PinholeBackend, Relay};
use ftp_pinhole::ids::PinholeId;
use ftp_pinhole::pinhole::{DataEvent, Direction, Expectation, Opened, Order};
use ftp_pinhole::policy::Policy;
use tokio::runtime::{Builder, Runtime};

const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 78, 0, 1));
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const BULK_BYTES: usize = 8 << 30;
const SMALL_TRANSFERS: u32 = 5_000;

fn main() {
    let relay = Bench::new();
    let part = std::env::args().find(|arg| arg == "bulk" || arg == "small");
    if part.as_deref() != Some("small") {
        relay.bulk();
    }
    if part.as_deref() != Some("bulk") {
        relay.small();
    }
}

fn report(name: &str, speed: f64, cpu: Duration) {
    let per_gb = cpu.as_secs_f64() / (BULK_BYTES as f64 / 1e9);
    println!("  {name}: {speed:.2} GB/s, {per_gb:.3} CPU-s/GB");
}

/// Sends [`BULK_BYTES`] over `streams` connections that `through` leads to; GB/s of all together.
fn bulk(streams: usize, through: impl Fn(SocketAddr) -> SocketAddr) -> f64 {
    let each = BULK_BYTES / streams;
    let begun = Instant::now();
    let ends: Vec<_> = (0..streams)
        .flat_map(|_| {
            let server = TcpListener::bind((HOST, 0)).unwrap();
            let mut client = TcpStream::connect(through(server.local_addr().unwrap())).unwrap();
            let send = thread::spawn(move || {
                let chunk = vec![7; 256 << 10];
                let mut stream = server.accept().unwrap().0;
                (0..each / chunk.len()).for_each(|_| stream.write_all(&chunk).unwrap());
            });
            let receive = thread::spawn(move || {
                let (mut chunk, mut left) = (vec![0; 256 << 10], each);
                while left > 0 {
                    let got = client.read(&mut chunk).unwrap();
                    assert_ne!(got, 0, "cut short");
                    left -= got;
                }
            });
            [send, receive]
        })
        .collect();
    ends.into_iter().for_each(|end| end.join().unwrap());
    BULK_BYTES as f64 / 1e9 / begun.elapsed().as_secs_f64()
}

/// A relay on a runtime of its own, whose threads are known.
struct Bench {
    relay: Relay,
    runtime: Runtime,
    policy: Arc<Policy>,
    threads: Arc<Mutex<Vec<String>>>,
    inbox: Arc<Inbox>,
    closed: Receiver<PinholeId>,
}

struct Inbox(Mutex<Sender<PinholeId>>);

impl DataObserver for Inbox {
    fn notify(&self, pinhole: PinholeId, event: DataEvent) {
        if let DataEvent::Closed(closed) = event {
            assert_eq!(closed.reason, None);
            self.0.lock().unwrap().send(pinhole).unwrap();
        }
    }
}

impl Bench {
    fn new() -> Self {
        let threads: Arc<Mutex<Vec<String>>> = Arc::default();
        let known = Arc::clone(&threads);
        let note = move || {
            let path = fs::read_link("/proc/thread-self").unwrap();
            known.lock().unwrap().push(format!("/proc/{}/schedstat", path.display()));
        };
        let runtime = Builder::new_multi_thread().enable_all().on_thread_start(note).build().unwrap();
        let relay = Relay::new(Arc::new(AtomicU64::new(0)), 1, Arc::new(|_, _| panic!("a stranger came")));
        let (sender, closed) = channel();
        let inbox = Arc::new(Inbox(Mutex::new(sender)));
        Self { relay, runtime, policy: Arc::new(Policy::default()), threads, inbox, closed }
    }

    /// A pinhole to the server at `to`, and where to connect to.
    fn open(&self, to: SocketAddr, direction: Direction) -> (Opened, SocketAddr) {
        let at = |ip| SocketAddr::new(ip, 21);
        let legs = Legs { client: at(HOST), reached: at(GATEWAY), source: at(GATEWAY), server: at(to.ip()) };
        let permit = self.policy.permit_passive(&legs, to.port(), None).unwrap().permit;
        let _runtime = self.runtime.enter();
        let expectation = Expectation::new(permit, None);
        let opened = self.relay.open(expectation, &self.policy, Arc::clone(&self.inbox) as _).unwrap();
        self.relay.order(opened.id, Order::Flow(direction));
        (opened, SocketAddr::new(GATEWAY, opened.port))
    }

    /// Bulk, one and many streams, twice each because of noise.
    fn bulk(&self) {
        for streams in [1, 8] {
            let direct = bulk(streams, |to| to);
            println!("{streams} streams: direct {direct:.2} GB/s");
            for _ in 0..2 {
                let before = self.cpu();
                let speed = bulk(streams, |to| self.open(to, Direction::ToClient).1);
                report("relay", speed, self.cpu() - before);
                println!("  relay / direct {:.2}", speed / direct);
                for other in ["socat", "haproxy"].into_iter().filter_map(Other::find) {
                    let before = children_cpu();
                    let beside = bulk(streams, |to| other.open(to));
                    let name = other.end();
                    report(name, beside, children_cpu() - before);
                    println!("  relay / {name} {:.2}", speed / beside);
                }
            }
        }
    }

    /// What the relay's threads have used so far.
    fn cpu(&self) -> Duration {
        let nanos = |path: &String| -> u64 {
            fs::read_to_string(path).unwrap().split(' ').next().unwrap().parse().unwrap()
        };
        Duration::from_nanos(self.threads.lock().unwrap().iter().map(nanos).sum())
    }

    /// Transfers of 1 KiB, one after the other, through a server that stands.
    fn small(&self) {
        let server = TcpListener::bind((HOST, 0)).unwrap();
        let to = server.local_addr().unwrap();
        let serve = move || {
            (0..2 * SMALL_TRANSFERS).for_each(|_| server.accept().unwrap().0.write_all(&[7; 1024]).unwrap())
        };
        let server = thread::spawn(serve);
        let fetch = |at| {
            let got = TcpStream::connect(at).unwrap().read_to_end(&mut Vec::with_capacity(2048)).unwrap();
            assert_eq!(got, 1024);
        };
        while self.closed.try_recv().is_ok() {}
        let begun = Instant::now();
        (0..SMALL_TRANSFERS).for_each(|_| fetch(to));
        let direct = begun.elapsed();
        let (begun, before) = (Instant::now(), self.cpu());
        for _ in 0..SMALL_TRANSFERS {
            let (pinhole, at) = self.open(to, Direction::ToClient);
            fetch(at);
            assert_eq!(self.closed.recv().unwrap(), pinhole.id);
        }
        let (took, cpu) = (begun.elapsed(), (self.cpu() - before) / SMALL_TRANSFERS);
        server.join().unwrap();
        let rate = |took: Duration| f64::from(SMALL_TRANSFERS) / took.as_secs_f64();
        println!(
            "1 KiB, one at a time: direct {:.0}/s, relay {:.0}/s, {cpu:?} CPU each",
            rate(direct),
            rate(took)
        );
    }
}

/// Another relay, a process for each connection.
struct Other {
    name: &'static str,
    children: Mutex<Vec<Child>>,
}

impl Other {
    fn find(name: &'static str) -> Option<Self> {
        let option = if name == "socat" { "-V" } else { "-v" };
        Command::new(name).arg(option).stdout(Stdio::null()).status().ok()?;
        Some(Self { name, children: Mutex::default() })
    }

    fn open(&self, to: SocketAddr) -> SocketAddr {
        let port = TcpListener::bind((GATEWAY, 0)).unwrap().local_addr().unwrap().port();
        let child = match self.name {
            "socat" => socat(port, to),
            _ => haproxy(port, to),
        };
        self.children.lock().unwrap().push(child);
        // It may take one connection only, so it cannot be probed by connecting.
        let row = format!("0100{:02X}7F:{port:04X} 00000000:0000 0A", 78);
        while !fs::read_to_string("/proc/net/tcp").unwrap().contains(&row) {
            thread::sleep(Duration::from_millis(1));
        }
        // It has read them; only HAProxy has any.
        let _ = fs::remove_file(haproxy_settings(port));
        SocketAddr::new(GATEWAY, port)
    }

    /// Ends its processes, so that what they used is known.
    fn end(self) -> &'static str {
        for mut child in self.children.into_inner().unwrap() {
            if self.name == "haproxy" {
                child.kill().unwrap();
            }
            child.wait().unwrap();
        }
        self.name
    }
}

/// With the largest buffer that helps it.
fn socat(port: u16, to: SocketAddr) -> Child {
    let listen = format!("TCP-LISTEN:{port},bind={GATEWAY},reuseaddr");
    Command::new("socat").args(["-b", "65536", &listen, &format!("TCP:{to}")]).spawn().unwrap()
}

fn haproxy_settings(port: u16) -> PathBuf {
    std::env::temp_dir().join(format!("ftp-pinhole-bench-{}-{port}.cfg", std::process::id()))
}

/// With forced splicing and the largest pipes, which it is fastest with.
fn haproxy(port: u16, to: SocketAddr) -> Child {
    let path = haproxy_settings(port);
    let settings = format!(
        "global\n nbthread 1\n tune.pipesize 1048576\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n \
         option splice-request\n option splice-response\n\
         listen relay\n bind {GATEWAY}:{port}\n server s {to}\n"
    );
    fs::write(&path, settings).unwrap();
    let mut command = Command::new("haproxy");
    command.args(["-db", "-q", "-f"]).arg(&path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What all children that have ended used, in ticks of 10 ms.
fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks: u64 = after_name.split(' ').skip(13).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
