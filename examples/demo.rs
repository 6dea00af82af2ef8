//! A real FTP server, the gateway in front of it, and a client that moves files through it in every mode.
//!
//! `cargo run --release --example demo` checks the transfers, prints each audit record as it happens,
//! then stays up for you to try; `-- --once` stops after the check. Everything is on loopback.

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ftp_pinhole::audit::Audit;
use ftp_pinhole::config::Config;
use ftp_pinhole::proxy::Gateway;
use libunftp::ServerBuilder;
use libunftp::options::ActivePassiveMode;
use suppaftp::types::Mode;
use suppaftp::{FtpStream, Status};
use unftp_sbe_fs::Filesystem;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/quickstart.yaml");

/// Verb, how the client is told to use it, and the family of its address.
const MODES: [(&str, Mode, bool); 5] = [
    ("PASV", Mode::Passive, false),
    ("EPSV", Mode::ExtendedPassive, false),
    ("PORT", Mode::Active, false),
    ("EPSV", Mode::ExtendedPassive, true),
    ("EPRT", Mode::Active, true),
];

fn main() -> ExitCode {
    let once = std::env::args().any(|argument| argument == "--once");
    match run(once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(once: bool) -> anyhow::Result<()> {
    let files = TempDir::new()?;
    let config = Config::load(Path::new(RULES))?;
    let service = config.services.first().context("the quickstart has a service")?.clone();
    let server = *service.upstream.first().context("the service has an upstream")?;
    let audit = Audit::open(&config.gateway.audit)?;

    tokio::spawn(serve_files(files.0.clone(), server));
    wait_for(server).await?;
    let gateway = Gateway::start(config, audit.clone())?;
    println!("FTP server on {server}, gateway on {:?}; one audit record a line:", service.listen);

    let listen = service.listen.clone();
    tokio::task::spawn_blocking(move || check_all(&listen)).await??;
    println!("all transfers arrived unchanged");
    if !once {
        stay_up(&service.listen).await?;
    }
    gateway.drain(std::future::pending()).await;
    audit.close(Duration::from_secs(5))?;
    Ok(())
}

async fn serve_files(root: std::path::PathBuf, addr: SocketAddr) {
    let storage = Box::new(move || Filesystem::new(&root).expect("the directory was just made"));
    let server = ServerBuilder::new(storage)
        .active_passive_mode(ActivePassiveMode::ActiveAndPassive)
        .passive_ports(30_000..=30_999)
        .build()
        .expect("the settings fit together");
    if let Err(error) = server.listen(addr.to_string()).await {
        eprintln!("demo: the FTP server cannot listen on {addr}: {error}");
    }
}

async fn wait_for(server: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(server).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the FTP server on {server} did not start")
}

fn check_all(listen: &[SocketAddr]) -> anyhow::Result<()> {
    for (verb, mode, ipv6) in MODES {
        let Some(&gateway) = listen.iter().find(|addr| addr.is_ipv6() == ipv6) else {
            bail!("the quickstart does not listen on {}", if ipv6 { "IPv6" } else { "IPv4" });
        };
        if ipv6 && std::net::TcpListener::bind("[::1]:0").is_err() {
            println!("SKIP {verb} over IPv6: this host has no [::1]");
            continue;
        }
        check(gateway, mode).with_context(|| format!("{verb} through {gateway}"))?;
    }
    Ok(())
}

/// Uploads, lists and downloads, and compares every byte.
fn check(gateway: SocketAddr, mode: Mode) -> anyhow::Result<()> {
    let sent: Vec<u8> = (0..250_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut ftp = FtpStream::connect(gateway)?;
    if mode == Mode::Active {
        ftp = ftp.active_mode(Duration::from_secs(10));
    }
    ftp.set_mode(mode);
    ftp.login("anonymous", "demo@example.org")?;
    ftp.transfer_type(suppaftp::types::FileType::Binary)?;
    ftp.put_file("demo.bin", &mut Cursor::new(&sent))?;
    let listed = ftp.nlst(None)?;
    ensure!(listed.iter().any(|name| name.ends_with("demo.bin")), "demo.bin is not listed: {listed:?}");
    let received = ftp.retr_as_buffer("demo.bin")?.into_inner();
    ensure!(received == sent, "the file came back changed");
    ftp.rm("demo.bin")?;
    ftp.custom_command("NOOP", &[Status::CommandOk])?;
    Ok(ftp.quit()?)
}

async fn stay_up(listen: &[SocketAddr]) -> anyhow::Result<()> {
    println!("\nStill running; press Ctrl-C to stop. Try, from another terminal:");
    for addr in listen {
        println!("  curl -T README.md ftp://{addr}/ && curl ftp://{addr}/README.md");
        println!("  curl --ftp-port - ftp://{addr}/");
        println!("  lftp -e 'ls; bye' ftp://{addr}");
    }
    Ok(tokio::signal::ctrl_c().await?)
}

/// A directory of the demo's own, gone with it.
struct TempDir(std::path::PathBuf);

impl TempDir {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("ftp-pinhole-demo-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
