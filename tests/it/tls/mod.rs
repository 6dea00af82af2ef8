//! Keys, certificates, trust and tied sessions, with certificates of the tests' own and handshakes over pipes in
//! memory.

mod clients;
mod files;
mod sessions;
mod trust;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ftp_pinhole::config::Config;
use ftp_pinhole::tls::{Keys, Terminal, TlsError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, TlsStream, client};

use crate::pki::{Pki, TLS12, TLS13, Version};

/// Where the server of the rules file is.
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5));
const VERSIONS: [Version; 2] = [&TLS12, &TLS13];
const ANY_VERSION: &[Version] = &[&TLS12, &TLS13];

/// The first certificate of every service here.
const FIRST: &str = "certificates: {chain: DIR/ftp.pem, key: DIR/ftp.key}";

type Client = client::TlsStream<DuplexStream>;
type Gateway = TlsStream<DuplexStream>;

/// A service with these lines under `tls:`, as loaded; `DIR` is the directory of `pki`.
fn load(pki: &Pki, lines: &str) -> Result<Terminal, TlsError> {
    let lines: String = lines.lines().map(|line| format!("      {line}\n")).collect();
    let rules = format!(
        "version: 1\ngateway: {{audit: {{stdout: true}}}}\nservices:\n  a:\n    listen: 127.0.0.1:2121\n    \
         upstream: \"{SERVER}:21\"\n    tls:\n      mode: terminate\n{}",
        pki.rules(&lines)
    );
    let config = Config::parse("rules.yaml", &rules).unwrap_or_else(|errors| panic!("{errors}"));
    Ok(Terminal::of(&config.services[0])?.expect("the service has TLS"))
}

/// A session of a service with these lines, beside those that every service has, and `ftp.example.com` in its
/// certificate.
fn session(pki: &Pki, lines: &str) -> Arc<Keys> {
    pki.issue("ftp", &["ftp.example.com"]);
    new_session(&load(pki, &format!("{FIRST}\n{lines}")).unwrap())
}

fn new_session(terminal: &Terminal) -> Arc<Keys> {
    Arc::new(terminal.keys(SERVER))
}

/// Both ends of a control connection of the client's, each as far as it came.
async fn accept(
    keys: &Arc<Keys>,
    config: ClientConfig,
    name: &str,
) -> (io::Result<Gateway>, io::Result<Client>) {
    let (near, far) = duplex(1 << 16);
    let dialled = TlsConnector::from(Arc::new(config)).connect(server_name(name), far);
    tokio::join!(Arc::clone(keys).accept_control(near), dialled)
}

/// The client's end of a control connection that stands, once all that comes with the handshake has come.
async fn accepted(keys: &Arc<Keys>, config: ClientConfig, name: &str) -> io::Result<Client> {
    let (gateway, client) = accept(keys, config, name).await;
    let (mut gateway, mut client) = (gateway?, client?);
    exchange(&mut gateway, &mut client).await?;
    Ok(client)
}

/// A byte goes each way; tickets come along.
async fn exchange(
    one: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    other: &mut Client,
) -> io::Result<()> {
    one.write_all(b"1").await?;
    one.flush().await?;
    other.read_u8().await?;
    other.write_all(b"2").await?;
    other.flush().await?;
    one.read_u8().await.map(drop)
}

fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

fn is_resumed(client: &Client) -> bool {
    client.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}
