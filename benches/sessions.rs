//! Whole sessions through the real program over loopback, and what an idle one costs it.
//!
//! `cargo bench --bench sessions [-- IDLE]` prints sessions and kept transfers per second, direct and through the
//! gateway in turn, with the ratio, and the gateway's memory with many idle sessions. Client, server and
//! gateway share the machine's cores, so the ratio says more than the rates.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Sessions at a time.
const WORKERS: usize = 16;
/// One measurement.
const LENGTH: Duration = Duration::from_secs(3);
/// Measurements of each kind; the median counts.
const ROUNDS: usize = 3;
/// Idle sessions held unless the command line says how many: each takes two descriptors in the gateway and
/// two here.
const IDLE: usize = 4000;
/// What a transfer carries.
const FILE: [u8; 1024] = [b'x'; 1024];

#[tokio::main]
async fn main() -> Result<()> {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let direct = server.local_addr()?;
    tokio::spawn(serve(server));
    let gateway = GatewayProcess::start(direct).await?;

    for (name, kept) in [("sessions/s", false), ("transfers/s on kept connections", true)] {
        let (mut straight, mut through) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            straight.push(rate(direct, kept).await?);
            through.push(rate(gateway.addr, kept).await?);
        }
        let (straight, through) = (median(straight), median(through));
        println!("{name}: direct {straight:.0}, gateway {through:.0}, ratio {:.2}", through / straight);
    }
    idle(&gateway).await
}

async fn idle(gateway: &GatewayProcess) -> Result<()> {
    let before = gateway.resident_kib()?;
    let mut sessions = Vec::new();
    let count = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(IDLE);
    for _ in 0..count {
        sessions.push(Client::log_in(gateway.addr).await?);
    }
    let after = gateway.resident_kib()?;
    for session in &mut sessions {
        session.ask("NOOP", "200").await?;
    }
    #[allow(clippy::cast_precision_loss)] // a few megabytes
    let each = after.saturating_sub(before) as f64 / count as f64;
    println!("{count} idle sessions: {each:.2} KiB each, all answer");
    Ok(())
}

/// How many sessions, or transfers on kept sessions, finish in a second.
async fn rate(addr: SocketAddr, kept: bool) -> Result<f64> {
    let start = Instant::now();
    let workers = (0..WORKERS).map(|_| tokio::spawn(work(addr, kept, start + LENGTH)));
    let mut done = 0;
    for worker in workers.collect::<Vec<_>>() {
        done += worker.await??;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

async fn work(addr: SocketAddr, kept: bool, end: Instant) -> Result<u32> {
    let mut done = 0;
    let mut client = Client::log_in(addr).await?;
    while Instant::now() < end {
        client.transfer().await?;
        done += 1;
        if !kept {
            client.ask("QUIT", "221").await?;
            client = Client::log_in(addr).await?;
        }
    }
    Ok(done)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

/// An FTP client that does nothing but what is measured.
struct Client {
    control: BufReader<TcpStream>,
    line: String,
}

impl Client {
    async fn log_in(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let mut client = Self { control: BufReader::new(stream), line: String::new() };
        client.expect("220").await?;
        client.ask("USER ftp", "331").await?;
        client.ask("PASS x", "230").await?;
        client.ask("TYPE I", "200").await?;
        Ok(client)
    }

    async fn ask(&mut self, command: &str, code: &str) -> Result<()> {
        self.control.write_all(format!("{command}\r\n").as_bytes()).await?;
        self.expect(code).await
    }

    async fn expect(&mut self, code: &str) -> Result<()> {
        self.line.clear();
        self.control.read_line(&mut self.line).await?;
        ensure!(self.line.starts_with(code), "{code} expected, got {:?}", self.line);
        Ok(())
    }

    async fn transfer(&mut self) -> Result<()> {
        self.ask("PASV", "227").await?;
        let numbers = self.line.split(['(', ')']).nth(1).context("a 227 has parentheses")?;
        let numbers: Vec<u16> = numbers.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let [.., high, low] = numbers.as_slice() else { anyhow::bail!("a 227 has six numbers") };
        let mut data = TcpStream::connect((Ipv4Addr::LOCALHOST, high * 256 + low)).await?;
        self.ask("RETR file", "150").await?;
        let mut file = Vec::with_capacity(FILE.len());
        data.read_to_end(&mut file).await?;
        ensure!(file == FILE, "the file came changed");
        self.expect("226").await
    }
}

/// An FTP server that does nothing but what is measured.
async fn serve(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve_one(stream));
    }
}

async fn serve_one(stream: TcpStream) -> Result<()> {
    let mut data = None;
    let mut control = BufReader::new(stream);
    let mut line = String::from("220");
    let mut reply = String::from("220 ready\r\n");
    while !line.is_empty() {
        control.write_all(reply.as_bytes()).await?;
        line.clear();
        control.read_line(&mut line).await?;
        reply.clear();
        match line.get(..4) {
            Some("USER") => reply.push_str("331 password\r\n"),
            Some("PASS") => reply.push_str("230 in\r\n"),
            Some("PASV") => {
                let listener = data.insert(listen_for_data()?);
                let [high, low] = listener.local_addr()?.port().to_be_bytes();
                write!(reply, "227 ok (127,0,0,1,{high},{low})\r\n")?;
            }
            Some("RETR") => {
                control.write_all(b"150 coming\r\n").await?;
                let listener = data.take().context("no PASV before RETR")?;
                listener.accept().await?.0.write_all(&FILE).await?;
                reply.push_str("226 done\r\n");
            }
            Some("QUIT") => reply.push_str("221 bye\r\n"),
            _ => reply.push_str("200 ok\r\n"),
        }
    }
    Ok(())
}

/// Ports in turn: the kernel's own search gets slow once thousands are in TIME_WAIT.
fn listen_for_data() -> Result<TcpListener> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..100 {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        let port = 30_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 10_000;
        if socket.bind((Ipv4Addr::LOCALHOST, port).into()).is_ok() {
            return Ok(socket.listen(8)?);
        }
    }
    anyhow::bail!("no port is free for data")
}

/// The real program, with the server behind it.
struct GatewayProcess {
    child: Child,
    addr: SocketAddr,
    rules: std::path::PathBuf,
}

impl GatewayProcess {
    async fn start(upstream: SocketAddr) -> Result<Self> {
        let addr = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let rules = std::env::temp_dir().join(format!("ftp-pinhole-bench-{}.yaml", std::process::id()));
        let text = format!(
            "version: 1\n\
             gateway: {{audit: {{file: /dev/null}}}}\n\
             services:\n  bench:\n    listen: \"{addr}\"\n    upstream: \"{upstream}\"\n    \
             passive_ports: 20000-29999\n    \
             limits: {{sessions: 60000, sessions_per_client: 60000}}\n"
        );
        std::fs::write(&rules, text)?;
        let program = env!("CARGO_BIN_EXE_ftp-pinhole");
        let child = Command::new(program).arg("run").arg(&rules).stderr(Stdio::null()).spawn()?;
        let gateway = Self { child, addr, rules };
        for _ in 0..500 {
            if TcpStream::connect(addr).await.is_ok() {
                return Ok(gateway);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the gateway did not start")
    }

    fn resident_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.rules);
    }
}
