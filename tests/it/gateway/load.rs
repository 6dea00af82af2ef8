//! Many sessions at once, and nothing left of them.

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Instant;

use super::lab::host_port;
use super::peer::Peer;
use super::program::Program;
use super::{CLIENT, PATIENCE};

const SESSIONS: usize = 200;
const TRANSFERS: usize = 5;

/// A small FTP server: whatever is retrieved is its own name.
fn serve(mut control: Peer) {
    let mut listener = None;
    control.say("220 ready");
    loop {
        let line = control.line();
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "USER" => control.say("331 password"),
            "PASS" => control.say("230 in"),
            "PASV" => {
                let data = TcpListener::bind((control.here().ip(), 0)).unwrap();
                control.say(&format!("227 passive ({})", host_port(data.local_addr().unwrap())));
                listener = Some(data);
            }
            "RETR" => {
                let mut data = Peer::accept(&listener.take().unwrap());
                control.say("150 here");
                data.send(argument);
                drop(data);
                control.say("226 done");
            }
            "QUIT" => return control.say("221 bye"),
            _ => control.say("500 what"),
        }
    }
}

/// One client with all its transfers; every file has a name of its own.
fn download(number: usize, addr: SocketAddr) {
    let mut control = Peer::connect(CLIENT, addr);
    control.expect("220 ready");
    control.ask("USER alice", "331 password");
    control.ask("PASS secret", "230 in");
    for transfer in 0..TRANSFERS {
        control.say("EPSV");
        let reply = control.line();
        let port: u16 = reply.split('|').nth(3).unwrap_or_else(|| panic!("{reply}")).parse().unwrap();
        let data = Peer::connect(CLIENT, SocketAddr::new(addr.ip(), port));
        let name = format!("file-{number}-{transfer}");
        control.ask(&format!("RETR {name}"), "150 here");
        assert_eq!(data.rest(), name.as_bytes());
        control.expect("226 done");
    }
    control.ask("QUIT", "221 bye");
    assert!(control.rest().is_empty());
}

#[test]
fn p6_two_hundred_sessions_leave_nothing_open() {
    let program = Program::start("stdout: true", "limits: {sessions_per_client: 1000}");
    let before = program.sockets();
    let listener = program.server.try_clone().unwrap();
    thread::spawn(move || {
        for _ in 0..SESSIONS {
            let control = Peer::accept(&listener);
            thread::spawn(move || serve(control));
        }
    });
    let addr = program.addr;
    let clients: Vec<_> = (0..SESSIONS).map(|number| thread::spawn(move || download(number, addr))).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());

    let start = Instant::now();
    while program.sockets() != before {
        assert!(start.elapsed() < PATIENCE, "{:?} after {before} sockets", program.descriptors());
    }
    let pipes = program.descriptors().iter().filter(|link| link.starts_with("pipe:")).count();
    assert!(pipes <= 2 * 64 + 4, "{pipes} ends of pipes");
}
