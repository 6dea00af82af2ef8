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

/// A control connection.
pub struct Raw {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
    /// Whether each byte of a command travels alone.
    pub one_by_one: bool,
}

/// A data connection that is set up but has not carried anything.
enum Pending {
    Connected(TcpStream),
    Listening(TcpListener),
}

impl Raw {
    /// Connects, reads the greeting and logs in.
    pub fn login(address: SocketAddr, login: Login, one_by_one: bool) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the control port answers");
        limit(&stream);
        stream.set_nodelay(true).expect("TCP sockets have this option");
        let replies = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        let mut raw = Self { stream, replies, one_by_one };
        raw.expect(&[220]);
        raw.command(&format!("USER {}", login.user), &[331]);
        raw.command(&format!("PASS {}", login.password), &[230]);
        raw.command("TYPE I", &[200]);
        raw
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
            self.stream.write_all(part).expect("the control connection is open");
            if self.one_by_one {
                thread::sleep(BYTE_GAP);
            }
        }
    }

    /// Sends ABOR with the Telnet Synch of RFC 959 section 4.1.3: IAC IP, then IAC DM as urgent data.
    pub fn send_urgent_abor(&mut self) {
        let sent = self.stream.write_all(&[IAC, IP]).and_then(|()| {
            SockRef::from(&self.stream).send_out_of_band(&[IAC])?;
            self.stream.write_all(&[DM])?;
            self.stream.write_all(b"ABOR\r\n")
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
        self.replies.read_until(b'\n', &mut line).expect("a reply comes in time");
        assert!(line.ends_with(b"\n"), "the control connection ended");
        String::from_utf8_lossy(&line).into_owned()
    }

    /// Sets up a data connection, sends a transfer command, waits for its 150 and returns the connection.
    pub fn transfer(&mut self, setup: Setup, command: &str) -> TcpStream {
        let pending = self.set_up(setup);
        self.send(command);
        self.expect(&[125, 150]);
        let data = match pending {
            Pending::Connected(data) => data,
            Pending::Listening(listener) => accept(&listener),
        };
        limit(&data);
        data
    }

    /// Fetches a file.
    pub fn get(&mut self, setup: Setup, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut data = self.transfer(setup, &format!("RETR {name}"));
        data.read_to_end(&mut bytes).expect("the file arrives");
        self.expect(&[226]);
        bytes
    }

    /// Stores a file.
    pub fn put(&mut self, setup: Setup, name: &str, bytes: &[u8]) {
        let mut data = self.transfer(setup, &format!("STOR {name}"));
        data.write_all(bytes).expect("the server takes the file");
        drop(data);
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
                let ip = self.stream.local_addr().expect("a connected socket has an address").ip();
                let listener = TcpListener::bind((ip, 0)).expect("a loopback address has a free port");
                let port = listener.local_addr().expect("a bound socket has an address").port();
                self.command(&announcement(setup, ip, port), &[200]);
                Pending::Listening(listener)
            }
        }
    }

    fn dial(&mut self, read: fn(&mut Self, IpAddr) -> SocketAddr) -> TcpStream {
        let peer = self.stream.peer_addr().expect("a connected socket has a peer").ip();
        let address = read(self, peer);
        assert_eq!(address.ip(), peer, "the reply names another host");
        TcpStream::connect_timeout(&address, PATIENCE).expect("the announced port answers")
    }
}

fn pasv_address(raw: &mut Raw, _: IpAddr) -> SocketAddr {
    let text = raw.command("PASV", &[227]);
    let numbers: Vec<u8> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
    let [a, b, c, d, high, low] = numbers[..] else { panic!("{text:?} holds no address") };
    SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
}

fn epsv_address(raw: &mut Raw, peer: IpAddr) -> SocketAddr {
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
