//! The netlink module against the real kernel.

#![allow(clippy::unwrap_used, reason = "a test that fails shall stop")]

mod conntrack;
mod log;
mod nft;
mod state;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Both loopback addresses, with any free port.
fn any_ports() -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into()]
}

/// A connection over loopback, client first.
fn connection(at: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(at).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Asks `done` again and again, for ten seconds.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what} does not happen");
        std::thread::yield_now();
    }
}

/// Client and server send that many bytes and close, the client first.
fn transfer((mut client, mut server): (TcpStream, TcpStream), up: usize, down: usize) {
    let serving = std::thread::spawn(move || {
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        server.write_all(&vec![2; down]).unwrap();
        received.len()
    });
    client.write_all(&vec![1; up]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!((serving.join().unwrap(), received.len()), (up, down));
}
