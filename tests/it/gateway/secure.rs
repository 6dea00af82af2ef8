//! TLS over a peer's socket: the peer goes on with the same words.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};

use super::peer::Peer;

/// One end of a TLS connection.
#[derive(Debug)]
pub(super) struct Tls(Box<Connection>);

impl Tls {
    fn begin(connection: impl Into<Connection>, stream: &mut TcpStream) -> io::Result<Self> {
        let mut connection = connection.into();
        while connection.is_handshaking() {
            connection.complete_io(stream)?;
        }
        let mut tls = Self(Box::new(connection));
        tls.flush(stream)?;
        Ok(tls)
    }

    fn flush(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        while self.0.wants_write() {
            self.0.write_tls(stream)?;
        }
        Ok(())
    }

    pub(super) fn send(&mut self, stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = self.0.writer().write(bytes)?;
            bytes = &bytes[taken..];
            self.flush(stream)?;
        }
        Ok(())
    }

    /// The next bytes; none at the peer's close_notify, an error at an end without it.
    pub(super) fn receive(&mut self, stream: &mut TcpStream, space: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.reader().read(space) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.0.read_tls(stream)?;
            self.0.process_new_packets().map_err(io::Error::other)?;
            self.flush(stream)?;
        }
    }
}

impl Peer {
    /// Has a handshake as the TLS client, asking for `name`.
    pub(super) fn begin_tls(&mut self, config: &Arc<ClientConfig>, name: &str) {
        self.try_tls(config, name).unwrap();
    }

    /// The same, where it may fail.
    pub(super) fn try_tls(&mut self, config: &Arc<ClientConfig>, name: &str) -> io::Result<()> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        self.tls = Some(Tls::begin(connection, &mut self.stream)?);
        Ok(())
    }

    /// Has a handshake as the TLS server.
    pub(super) fn accept_tls(&mut self, config: &Arc<ServerConfig>) {
        self.try_accept_tls(config).unwrap();
    }

    /// The same, where it may fail.
    pub(super) fn try_accept_tls(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        self.tls = Some(Tls::begin(connection, &mut self.stream)?);
        Ok(())
    }

    /// Whether its handshake resumed an earlier session.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.as_ref().unwrap().0.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Says that no more will come, by close_notify.
    pub(super) fn finish_tls(&mut self) {
        let tls = self.tls.as_mut().unwrap();
        tls.0.send_close_notify();
        tls.flush(&mut self.stream).unwrap();
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}
