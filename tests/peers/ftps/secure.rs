//! The raw client under TLS: rustls, which uses each ticket of TLS 1.3 once.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::pki::Pki;
use crate::client::Version;
use crate::raw::{Raw, Wire, connect};

/// How to begin a session.
#[derive(Clone)]
pub struct Opener {
    config: Arc<ClientConfig>,
}

/// A control connection that began in plain text, or a connection under TLS.
pub struct Secure {
    transport: Transport,
    opener: Opener,
    /// PROT P has been agreed to.
    private: bool,
}

enum Transport {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Secure {
    /// Speaks this version, trusts the authority, and resumes sessions.
    pub fn with(pki: &Pki, version: Version) -> Opener {
        let version = match version {
            Version::V1_2 => &TLS12,
            Version::V1_3 => &TLS13,
        };
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(pki.path("authority.pem"));
        roots.add(authority.expect("the authority is PEM")).expect("the authority is a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider has both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Opener { config: Arc::new(config) }
    }

    /// Says that no more will come and closes. Anything unread makes that a reset.
    pub fn leave(mut self) -> io::Result<()> {
        if let Transport::Tls(stream) = &mut self.transport {
            stream.conn.send_close_notify();
        }
        self.flush()
    }

    /// The certificate that the peer showed.
    pub fn certificate(&self) -> Vec<u8> {
        let Transport::Tls(stream) = &self.transport else { panic!("there is no TLS") };
        let shown = stream.conn.peer_certificates().and_then(|chain| chain.first());
        shown.expect("servers show certificates").to_vec()
    }
}

impl Opener {
    /// The same, but it resumes nothing.
    pub fn forgetful(self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config) }
    }

    /// Connects, reads the greeting and sends AUTH TLS.
    pub fn explicit(&self, address: SocketAddr) -> Raw<Secure> {
        let mut raw = self.plain(address);
        raw.command("AUTH TLS", &[234]);
        let Transport::Clear(socket) = raw.into_wire().transport else { panic!("TLS has not begun") };
        Raw::over(self.begin(socket).expect("the handshake succeeds"), false)
    }

    /// Connects and reads the greeting.
    pub fn plain(&self, address: SocketAddr) -> Raw<Secure> {
        let mut raw = self.connected(address);
        raw.expect(&[220]);
        raw
    }

    /// Connects.
    pub fn connected(&self, address: SocketAddr) -> Raw<Secure> {
        let transport = Transport::Clear(connect(address));
        Raw::over(Secure { transport, opener: self.clone(), private: false }, false)
    }

    fn begin(&self, mut socket: TcpStream) -> io::Result<Secure> {
        let peer = ServerName::from(socket.peer_addr()?.ip());
        let mut tls = ClientConnection::new(Arc::clone(&self.config), peer).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let transport = Transport::Tls(Box::new(StreamOwned::new(tls, socket)));
        Ok(Secure { transport, opener: self.clone(), private: false })
    }
}

impl Raw<Secure> {
    /// Asks for private data.
    pub fn protect(&mut self) {
        self.command("PBSZ 0", &[200]);
        self.command("PROT P", &[200]);
        self.wire_mut().private = true;
    }
}

impl Wire for Secure {
    fn socket(&self) -> &TcpStream {
        match &self.transport {
            Transport::Clear(socket) => socket,
            Transport::Tls(stream) => &stream.sock,
        }
    }

    fn data(&self, socket: TcpStream) -> io::Result<Self> {
        match self.private {
            true => self.opener.begin(socket),
            false => {
                Ok(Self { transport: Transport::Clear(socket), opener: self.opener.clone(), private: false })
            }
        }
    }

    /// Reads to the peer's end, too: its tickets may come last.
    fn finish(mut self) -> io::Result<()> {
        if let Transport::Tls(stream) = &mut self.transport {
            stream.conn.send_close_notify();
            stream.flush()?;
            stream.sock.shutdown(Shutdown::Write)?;
            io::copy(stream, &mut io::sink())?;
        }
        Ok(())
    }
}

impl Read for Secure {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match &mut self.transport {
            Transport::Clear(socket) => socket.read(space),
            Transport::Tls(stream) => stream.read(space),
        }
    }
}

impl Write for Secure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.transport {
            Transport::Clear(socket) => socket.write(bytes),
            Transport::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.transport {
            Transport::Clear(socket) => socket.flush(),
            Transport::Tls(stream) => stream.flush(),
        }
    }
}
