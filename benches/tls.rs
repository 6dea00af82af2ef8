//! FTPS through the real program over loopback: bulk data beside HAProxy that ends TLS in the same run, handshakes,
//! small transfers, and what an idle session costs. `cargo bench --bench tls [-- bulk|handshakes|transfers|idle]`
//!
//! Client, server and gateway share the machine's cores, so ratios say more than rates.

#![allow(clippy::unwrap_used)] // a measurement that fails shall stop

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Bytes of one bulk measurement.
const BULK: usize = 4 << 30;
/// Measurements of each kind; the median counts.
const ROUNDS: usize = 3;
/// Connections at a time where a rate is measured.
const WORKERS: usize = 8;
const LENGTH: Duration = Duration::from_secs(3);
const IDLE: usize = 1000;

fn main() {
    let part = std::env::args().find(|arg| ["bulk", "handshakes", "transfers", "idle"].contains(&&**arg));
    let wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    let keys = Keys::make();
    let server = serve(Some(keys.accept()));
    let edge = Gateway::start(&keys, server, "upstream_tls: none");
    if wanted("bulk") {
        bulk(&keys, &edge);
    }
    if wanted("handshakes") {
        handshakes(&keys, &edge);
    }
    if wanted("transfers") {
        transfers(&keys, &edge);
    }
    if wanted("idle") {
        drop(edge);
        for tls in ["upstream_tls: none", "upstream_tls: explicit, upstream_verify: insecure-none"] {
            idle(&keys, &Gateway::start(&keys, server, tls), tls);
        }
    }
}

/// Downloads of all streams together, the gateway and HAProxy in turn.
fn bulk(keys: &Keys, gateway: &Gateway) {
    let haproxy = Haproxy::start(keys);
    for streams in [1, 8] {
        let each = BULK / streams;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(measure(gateway.child.id(), streams, || {
                let mut client = Client::log_in(gateway.addr, keys.dial());
                move || client.retrieve(each)
            }));
            theirs.extend(haproxy.as_ref().map(|haproxy| {
                measure(haproxy.child.id(), streams, || {
                    let mut stream = dial_tls(keys.dial(), TcpStream::connect(haproxy.addr).unwrap());
                    stream.write_all(format!("{each}\n").as_bytes()).unwrap();
                    move || drain(&mut stream)
                })
            }));
        }
        println!("{streams} streams, download:");
        report("gateway", &ours);
        report("HAProxy", &theirs);
    }
}

/// GB/s and CPU-s/GB of the process `pid` while `streams` streams, made by `begin`, come to their end.
fn measure<F: FnOnce() -> usize + Send>(pid: u32, streams: usize, begin: impl Fn() -> F) -> (f64, f64) {
    let streams: Vec<_> = (0..streams).map(|_| begin()).collect();
    let (cpu, start) = (cpu_of(pid), Instant::now());
    let bytes: usize = thread::scope(|scope| {
        let running: Vec<_> = streams.into_iter().map(|stream| scope.spawn(stream)).collect();
        running.into_iter().map(|stream| stream.join().unwrap()).sum()
    });
    let gigabytes = bytes as f64 / 1e9;
    (gigabytes / start.elapsed().as_secs_f64(), (cpu_of(pid) - cpu).as_secs_f64() / gigabytes)
}

fn report(name: &str, measured: &[(f64, f64)]) {
    if measured.is_empty() {
        return println!("  {name}: not installed");
    }
    let (speed, cpu) = measured.iter().copied().unzip();
    println!("  {name}: {:.2} GB/s, {:.2} CPU-s/GB", median(speed), median(cpu));
}

/// Control connections whose TLS begins anew, and data connections that resume.
fn handshakes(keys: &Keys, gateway: &Gateway) {
    let full = rate(|| {
        // A configuration of its own has nothing to resume.
        drop(Client::connect(gateway.addr, Some(keys.dial())));
    });
    let clear = rate(|| drop(Client::connect(gateway.addr, None)));
    println!("connections/s: with AUTH TLS {full:.0}, without {clear:.0}");
}

/// Downloads of 1 KiB on kept connections; each resumes the session.
fn transfers(keys: &Keys, gateway: &Gateway) {
    let end = Instant::now() + LENGTH;
    let work = || {
        let (mut client, mut done) = (Client::log_in(gateway.addr, keys.dial()), 0);
        while Instant::now() < end {
            assert_eq!(client.retrieve(1024), 1024);
            done += 1;
        }
        done
    };
    let done: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    println!("transfers/s with PROT P: {:.0}", done as f64 / LENGTH.as_secs_f64());
}

fn idle(keys: &Keys, gateway: &Gateway, tls: &str) {
    let before = resident_kib(gateway.child.id());
    let mut sessions: Vec<_> = (0..IDLE).map(|_| Client::log_in(gateway.addr, keys.dial())).collect();
    let after = resident_kib(gateway.child.id());
    sessions.iter_mut().for_each(|session| session.ask("NOOP", "200"));
    println!("{IDLE} idle sessions, {tls}: {:.1} KiB each", (after - before) as f64 / IDLE as f64);
}

/// How often `work` is done in a second by all workers together.
fn rate(work: impl Fn() + Sync) -> f64 {
    let end = Instant::now() + LENGTH;
    let done: usize = thread::scope(|scope| {
        let count = || {
            let mut done = 0;
            while Instant::now() < end {
                work();
                done += 1;
            }
            done
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(count)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    done as f64 / LENGTH.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// User and system time, in ticks of 10 ms.
fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit(") ").next().unwrap();
    let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident_kib(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One certificate for everybody, in a directory of this process.
struct Keys {
    dir: PathBuf,
}

impl Keys {
    fn make() -> Self {
        let dir = std::env::temp_dir().join(format!("ftp-pinhole-bench-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(dir.join("cert.pem"), &chain).unwrap();
        fs::write(dir.join("key.pem"), &key).unwrap();
        fs::write(dir.join("both.pem"), chain + &key).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("cert.pem")).unwrap()
    }

    fn dial(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
    }

    fn accept(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from_pem_file(self.path("key.pem")).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![self.certificate()], key).unwrap())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

fn dial_tls(config: Arc<ClientConfig>, stream: TcpStream) -> Box<dyn Stream> {
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    let mut stream = stream;
    connection.complete_io(&mut stream).unwrap();
    Box::new(StreamOwned::new(connection, stream))
}

/// Reads to the end; tells how many bytes that were.
fn drain(stream: &mut dyn Stream) -> usize {
    let (mut space, mut all) = (vec![0; 256 << 10], 0);
    loop {
        match stream.read(&mut space) {
            Ok(0) => return all,
            // HAProxy closes without close_notify now and then.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return all,
            got => all += got.unwrap(),
        }
    }
}

/// An FTP client that does nothing but what is measured.
struct Client {
    control: Box<dyn Stream>,
    tls: Option<Arc<ClientConfig>>,
    addr: SocketAddr,
}

impl Client {
    fn connect(addr: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        expect(&mut stream, "220");
        let control = match &tls {
            None => Box::new(stream) as Box<dyn Stream>,
            Some(config) => {
                stream.write_all(b"AUTH TLS\r\n").unwrap();
                expect(&mut stream, "234");
                dial_tls(Arc::clone(config), stream)
            }
        };
        Self { control, tls, addr }
    }

    fn log_in(addr: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        let mut client = Self::connect(addr, Some(tls));
        client.ask("PBSZ 0", "200");
        client.ask("PROT P", "200");
        client.ask("USER ftp", "331");
        client.ask("PASS x", "230");
        client
    }

    fn ask(&mut self, command: &str, code: &str) {
        self.say(command);
        expect(&mut self.control, code);
    }

    fn say(&mut self, command: &str) {
        self.control.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    }

    fn retrieve(&mut self, bytes: usize) -> usize {
        self.say("EPSV");
        let reply = expect(&mut self.control, "229");
        let port = reply.split('|').nth(3).unwrap().parse().unwrap();
        let data = TcpStream::connect((self.addr.ip(), port)).unwrap();
        self.ask(&format!("RETR {bytes}"), "150");
        let mut data = match &self.tls {
            Some(config) => dial_tls(Arc::clone(config), data),
            None => Box::new(data),
        };
        let got = drain(&mut data);
        expect(&mut self.control, "226");
        got
    }
}

/// The next line, which begins with `code`.
fn expect(stream: &mut impl Read, code: &str) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while byte != *b"\n" {
        stream.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    let line = String::from_utf8(line).unwrap();
    assert!(line.starts_with(code), "{code} expected, got {line}");
    line
}

/// An FTP server that does nothing but what is measured; AUTH TLS where it has keys.
fn serve(tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, tls) = (stream.unwrap(), tls.clone());
            let session = thread::Builder::new().stack_size(256 << 10);
            session.spawn(move || serve_one(stream, tls)).unwrap();
        }
    });
    addr
}

/// Until the client is gone.
fn serve_one(mut stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 ready\r\n")?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    lines.read_line(&mut first)?;
    match tls.filter(|_| first.starts_with("AUTH")) {
        None => converse(&mut BufReader::new(lines), first),
        Some(config) => {
            stream.write_all(b"234 go\r\n")?;
            let connection = ServerConnection::new(config).unwrap();
            converse(&mut BufReader::new(StreamOwned::new(connection, stream)), String::new())
        }
    }
}

fn converse<S: Read>(stream: &mut BufReader<S>, mut line: String) -> io::Result<()>
where
    BufReader<S>: Reply,
{
    let mut data = None;
    loop {
        let reply = match line.split_at_checked(4) {
            Some(("USER", _)) => "331 password".to_owned(),
            Some(("PASS", _)) => "230 in".to_owned(),
            Some(("PASV", _)) => {
                let listener = data.insert(TcpListener::bind((HOST, 0))?);
                let [high, low] = listener.local_addr()?.port().to_be_bytes();
                format!("227 ok (127,0,0,1,{high},{low})")
            }
            Some(("RETR", bytes)) => {
                stream.reply("150 coming")?;
                send(data.take().unwrap().accept()?.0, bytes.trim().parse().unwrap())?;
                "226 done".to_owned()
            }
            Some(_) => "200 ok".to_owned(),
            None => String::new(),
        };
        if !reply.is_empty() {
            stream.reply(&reply)?;
        }
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
}

trait Reply {
    fn reply(&mut self, text: &str) -> io::Result<()>;
}

impl Reply for BufReader<BufReader<TcpStream>> {
    fn reply(&mut self, text: &str) -> io::Result<()> {
        self.get_ref().get_ref().write_all(format!("{text}\r\n").as_bytes())
    }
}

impl Reply for BufReader<StreamOwned<ServerConnection, TcpStream>> {
    fn reply(&mut self, text: &str) -> io::Result<()> {
        self.get_mut().write_all(format!("{text}\r\n").as_bytes())
    }
}

fn send(mut stream: TcpStream, bytes: usize) -> io::Result<()> {
    let chunk = vec![0; 256 << 10];
    let mut left = bytes;
    while left > 0 {
        let part = chunk.get(..left).unwrap_or(&chunk);
        stream.write_all(part)?;
        left -= part.len();
    }
    Ok(())
}

fn free_addr() -> SocketAddr {
    TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap()
}

fn wait_for(addr: SocketAddr) {
    while TcpStream::connect(addr).is_err() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// The real program, with the server behind it.
struct Gateway {
    child: Child,
    addr: SocketAddr,
}

impl Gateway {
    fn start(keys: &Keys, server: SocketAddr, tls: &str) -> Self {
        let (addr, dir) = (free_addr(), keys.dir.display());
        let rules = keys.path("rules.yaml");
        let text = format!(
            "version: 1\ngateway: {{audit: {{file: /dev/null}}}}\nservices:\n  bench:\n    listen: \"{addr}\"\n    \
             upstream: \"{server}\"\n    passive_ports: 20000-29999\n    \
             limits: {{sessions: 60000, sessions_per_client: 60000}}\n    \
             tls: {{mode: terminate, certificates: {{chain: {dir}/cert.pem, key: {dir}/key.pem}}, \
             min_protection: clear, {tls}}}\n"
        );
        fs::write(&rules, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ftp-pinhole"));
        let child = command.arg("run").arg(&rules).stderr(Stdio::null()).spawn().unwrap();
        wait_for(addr);
        Self { child, addr }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HAProxy, which ends TLS and passes the bytes on to a server that sends as many as it is asked for.
struct Haproxy {
    child: Child,
    addr: SocketAddr,
}

impl Haproxy {
    fn start(keys: &Keys) -> Option<Self> {
        Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().ok()?;
        let (addr, server) = (free_addr(), serve_bytes());
        let threads = thread::available_parallelism().unwrap();
        let settings = format!(
            "global\n nbthread {threads}\n ssl-default-bind-options ssl-min-ver TLSv1.2\n\
             defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
             listen tls\n bind {addr} ssl crt {}\n server s {server}\n",
            keys.path("both.pem").display()
        );
        let path = keys.path("haproxy.cfg");
        fs::write(&path, settings).unwrap();
        let child = start_haproxy(&path);
        wait_for(addr);
        Some(Self { child, addr })
    }
}

fn start_haproxy(settings: &Path) -> Child {
    let mut command = Command::new("haproxy");
    command
        .args(["-db", "-q", "-f"])
        .arg(settings)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a number and sends that many bytes.
fn serve_bytes() -> SocketAddr {
    let listener = TcpListener::bind((HOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || -> io::Result<()> {
                let mut line = String::new();
                BufReader::new(stream.as_ref().unwrap()).read_line(&mut line)?;
                send(stream?, line.trim().parse().unwrap_or(0))
            });
        }
    });
    addr
}
