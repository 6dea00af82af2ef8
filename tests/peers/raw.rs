//! A bare FTP client for what no program does on demand: ABOR in mid-transfer, commands byte by byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::process::poll;
use crate::route::Setup;
use crate::server::Login;

/// How long a reply, a connection or data may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two single bytes: long enough that most reach the other end alone.
const BYTE_GAP: Duration = Duration::from_micros(300);

/// Telnet commands (RFC 854).
const IAC: u8 = 255;
const IP: u8 = 244;
const DM: u8 = 242;

/// A control connection, over TCP or something on top of it.
pub struct Raw<W: Wire = TcpStream> {
    wire: BufReader<W>,
    /// Whether each byte of a command travels alone.
    pub one_by_one: bool,
}

/// What a control connection runs over, and its data connections.
pub trait Wire: Read + Write + Sized {
    /// The socket below.
    fn socket(&self) -> &TcpStream;

    /// Makes a connected socket the data connection of this control connection.
    fn data(&self, socket: TcpStream) -> io::Result<Self>;

    /// Says that no more will come, and waits for the peer to have said so, too, if that matters.
    fn finish(self) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn data(&self, socket: TcpStream) -> io::Result<Self> {
        Ok(socket)
    }

    fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

/// A data connection that is set up but has not carried anything.
enum Pending {
    Connected(TcpStream),
    Listening(TcpListener),
}

impl Raw {
    /// Connects, reads the greeting and logs in.
    pub fn login(address: SocketAddr, login: Login, one_by_one: bool) -> Self {
        let mut raw = Self::over(connect(address), one_by_one);
        raw.expect(&[220]);
        raw.log_in(login);
        raw
    }
}

impl<W: Wire> Raw<W> {
    /// Speaks over `wire`, which has not said anything.
    pub fn over(wire: W, one_by_one: bool) -> Self {
        Self { wire: BufReader::new(wire), one_by_one }
    }

    /// What it speaks over.
    pub fn into_wire(self) -> W {
        self.wire.into_inner()
    }

    /// The same, to be changed.
    pub fn wire_mut(&mut self) -> &mut W {
        self.wire.get_mut()
    }

    /// Logs in.
    pub fn log_in(&mut self, login: Login) {
        self.command(&format!("USER {}", login.user), &[331]);
        self.command(&format!("PASS {}", login.password), &[230]);
        self.command("TYPE I", &[200]);
    }

    /// Sends a command and returns its reply's text; panics when the code is none of these.
    pub fn command(&mut self, line: &str, codes: &[u16]) -> String {
        self.send(line);
        self.expect(codes)
    }

    /// Sends a command.
    pub fn send(&mut self, line: &str) {
        let bytes = format!("{line}\r\n").into_bytes();
        let step = if self.one_by_one { 1 } else { bytes.len() };
        for part in bytes.chunks(step) {
            let wire = self.wire.get_mut();
            wire.write_all(part).and_then(|()| wire.flush()).expect("the control connection is open");
            if self.one_by_one {
                thread::sleep(BYTE_GAP);
            }
        }
    }

    /// Sends ABOR with the Telnet Synch of RFC 959 section 4.1.3: IAC IP, then IAC DM as urgent data.
    pub fn send_urgent_abor(&mut self) {
        let mut socket = self.wire.get_ref().socket();
        let sent = socket.write_all(&[IAC, IP]).and_then(|()| {
            SockRef::from(socket).send_out_of_band(&[IAC])?;
            socket.write_all(&[DM])?;
            socket.write_all(b"ABOR\r\n")
        });
        sent.expect("the control connection is open");
    }

    /// Reads one reply; panics when its code is none of these.
    pub fn expect(&mut self, codes: &[u16]) -> String {
        let (code, text) = self.reply();
        assert!(codes.contains(&code), "the reply is {code}{text}, not one of {codes:?}");
        text
    }

    /// Reads one reply, over as many lines as it has.
    pub fn reply(&mut self) -> (u16, String) {
        let first = self.line();
        let (code, mut text) = (first.get(..3).unwrap_or_default().to_owned(), first.clone());
        if first.get(3..4) == Some("-") {
            let last = format!("{code} ");
            while !text.lines().last().is_some_and(|line| line.starts_with(&last)) {
                text.push_str(&self.line());
            }
        }
        let number = code.parse().unwrap_or_else(|_| panic!("{first:?} is not a reply"));
        (number, text.get(3..).unwrap_or_default().trim_end().to_owned())
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.wire.read_until(b'\n', &mut line).expect("a reply comes in time");
        assert!(line.ends_with(b"\n"), "the control connection ended");
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Sets up a data connection, sends a transfer command, waits for its 150 and returns the connection.
    pub fn transfer(&mut self, setup: Setup, command: &str) -> W {
        self.try_transfer(setup, command).expect("the data connection is made")
    }

    /// The same where the data connection may fail on top of TCP.
    pub fn try_transfer(&mut self, setup: Setup, command: &str) -> io::Result<W> {
        let pending = self.set_up(setup);
        self.send(command);
        self.expect(&[125, 150]);
        let socket = match pending {
            Pending::Connected(socket) => socket,
            Pending::Listening(listener) => accept(&listener),
        };
        limit(&socket);
        self.wire.get_ref().data(socket)
    }

    /// Fetches a file.
    pub fn get(&mut self, setup: Setup, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut data = self.transfer(setup, &format!("RETR {name}"));
        data.read_to_end(&mut bytes).expect("the file arrives");
        data.finish().expect("the data connection ends in order");
        self.expect(&[226]);
        bytes
    }

    /// Stores a file.
    pub fn put(&mut self, setup: Setup, name: &str, bytes: &[u8]) {
        let mut data = self.transfer(setup, &format!("STOR {name}"));
        data.write_all(bytes).expect("the server takes the file");
        data.finish().expect("the data connection ends in order");
        self.expect(&[226]);
    }

    /// Says good-bye.
    pub fn quit(mut self) {
        self.command("QUIT", &[221]);
    }

    fn set_up(&mut self, setup: Setup) -> Pending {
        match setup {
            Setup::Pasv => Pending::Connected(self.dial(pasv_address)),
            Setup::Epsv => Pending::Connected(self.dial(epsv_address)),
            Setup::Port | Setup::Eprt => {
                let ip = self
                    .wire
                    .get_ref()
                    .socket()
                    .local_addr()
                    .expect("a connected socket has an address")
                    .ip();
                let listener = TcpListener::bind((ip, 0)).expect("a loopback address has a free port");
                let port = listener.local_addr().expect("a bound socket has an address").port();
                self.command(&announcement(setup, ip, port), &[200]);
                Pending::Listening(listener)
            }
        }
    }

    fn dial(&mut self, read: fn(&mut Self, IpAddr) -> SocketAddr) -> TcpStream {
        let peer = self.wire.get_ref().socket().peer_addr().expect("a connected socket has a peer").ip();
        let address = read(self, peer);
        assert_eq!(address.ip(), peer, "the reply names another host");
        TcpStream::connect_timeout(&address, PATIENCE).expect("the announced port answers")
    }
}

/// Connects, with limits on how long the peer may take.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the control port answers");
    limit(&stream);
    stream.set_nodelay(true).expect("TCP sockets have this option");
    stream
}

fn pasv_address<W: Wire>(raw: &mut Raw<W>, _: IpAddr) -> SocketAddr {
    let text = raw.command("PASV", &[227]);
    let numbers: Vec<u8> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [a, b, c, d, high, low] = numbers[..] else { panic!("{text:?} holds no address") };
    SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
}

fn epsv_address<W: Wire>(raw: &mut Raw<W>, peer: IpAddr) -> SocketAddr {
    let text = raw.command("EPSV", &[229]);
    let port = text.split("|||").nth(1).and_then(|rest| rest.split('|').next()?.parse().ok());
    SocketAddr::new(peer, port.unwrap_or_else(|| panic!("{text:?} holds no port")))
}

fn announcement(setup: Setup, ip: IpAddr, port: u16) -> String {
    let [high, low] = port.to_be_bytes();
    match (setup, ip) {
        (Setup::Port, _) => format!("PORT {},{high},{low}", ip.to_string().replace('.', ",")),
        (_, IpAddr::V4(_)) => format!("EPRT |1|{ip}|{port}|"),
        (_, IpAddr::V6(_)) => format!("EPRT |2|{ip}|{port}|"),
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("TCP sockets have this option");
    let accepted = poll(PATIENCE, || match listener.accept() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        result => Some(result.expect("a listening socket accepts")),
    });
    let (stream, _) = accepted.expect("the other side dials in time");
    stream.set_nonblocking(false).expect("TCP sockets have this option");
    stream
}

fn limit(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("the limit is not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("the limit is not zero");
}
