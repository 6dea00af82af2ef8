//! One end of a connection, spoken by a test line by line.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};

use socket2::{Domain, SockRef, Socket, Type};

use super::PATIENCE;
use super::secure::Tls;

/// A socket and what was read from it beyond the last line.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    /// What runs over the socket, once it does.
    pub(super) tls: Option<Tls>,
    read: Vec<u8>,
}

/// What comes in, under TLS or not.
struct Incoming<'a>(&'a mut Peer);

impl Read for Incoming<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        match &mut self.0.tls {
            Some(tls) => tls.receive(&mut self.0.stream, space),
            None => self.0.stream.read(space),
        }
    }
}

impl Peer {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, tls: None, read: Vec::new() }
    }

    /// Connects from an address of the caller's choice.
    pub(super) fn connect(from: IpAddr, to: SocketAddr) -> Self {
        Self::connect_with(from, to, |_| {})
    }

    /// As [`Self::connect`], with small buffers: who does not read or is not read notices soon.
    pub(super) fn connect_narrow(from: IpAddr, to: SocketAddr) -> Self {
        Self::connect_with(from, to, |socket| {
            socket.set_recv_buffer_size(4096).unwrap();
            socket.set_send_buffer_size(4096).unwrap();
        })
    }

    /// Connects only to be reset, at once or when the gateway has tried the other side.
    pub(super) fn connect_to_be_cut(from: IpAddr, to: SocketAddr) {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        match socket.connect(&to.into()) {
            Ok(()) => assert!(Self::new(socket.into()).rest_until_reset().is_empty()),
            // So soon that the handshake had hardly ended.
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }

    fn connect_with(from: IpAddr, to: SocketAddr, prepare: impl FnOnce(&Socket)) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        prepare(&socket);
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket
            .connect_timeout(&to.into(), PATIENCE)
            .unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
        Self::new(socket.into())
    }

    /// Takes the next connection to `listener`.
    pub(super) fn accept(listener: &TcpListener) -> Self {
        SockRef::from(listener).set_read_timeout(Some(PATIENCE)).unwrap();
        Self::new(listener.accept().expect("somebody connects").0)
    }

    /// Where this end is.
    pub(super) fn here(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Where the other end is.
    pub(super) fn there(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.tls {
            Some(tls) => tls.send(&mut self.stream, bytes.as_ref()),
            None => self.stream.write_all(bytes.as_ref()),
        }
        .unwrap();
    }

    /// Sends one line.
    pub(super) fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n"));
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.read.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).unwrap();
            }
            let mut bytes = [0; 16384];
            let count = Incoming(self).read(&mut bytes).unwrap_or_else(|error| panic!("no line: {error}"));
            assert!(count > 0, "no line but the end after {:?}", String::from_utf8_lossy(&self.read));
            self.read.extend(&bytes[..count]);
        }
    }

    /// Takes the next line, which has to be this one.
    pub(super) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Sends a line and takes the answer.
    pub(super) fn ask(&mut self, line: &str, answer: &str) {
        self.say(line);
        assert_eq!(self.line(), answer, "to {line}");
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        assert!(self.read.is_empty(), "lines and bytes do not mix");
        let mut bytes = vec![0; count];
        Incoming(self).read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Says that no more will come.
    pub(super) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything up to an orderly end.
    pub(super) fn rest(mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.read);
        Incoming(&mut self)
            .read_to_end(&mut bytes)
            .unwrap_or_else(|error| panic!("{error} after {}", bytes.escape_ascii()));
        bytes
    }

    /// [`Self::rest`] as text.
    pub(super) fn rest_of_text(self) -> String {
        String::from_utf8(self.rest()).unwrap()
    }

    /// Reads to the end, which has to be a reset; gives what came before it.
    pub(super) fn rest_until_reset(mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.read);
        match Incoming(&mut self).read_to_end(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
            other => panic!("{other:?} instead of a reset"),
        }
    }
}
