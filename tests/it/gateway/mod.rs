//! The whole gateway over real loopback sockets: in this process where that is enough, as a program
//! where signals, memory, descriptors and exit codes matter. Clients and servers are scripts.
//!
//! Each gateway and each server has a loopback address of its own, so tests neither share ports nor
//! wait for each other. Nothing sleeps: a test waits for the line, record or end that it expects.

mod disk;
mod foreign;
mod ftps;
mod host;
mod lab;
mod limits;
mod load;
mod peer;
mod pinholes;
mod program;
mod secure;
mod start;
mod stop;
mod stream;
mod trail;
mod upstream;
mod urgent;

use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(30);

/// The client, unless a test needs more than one.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Says that `test` cannot run here; a lab that must run them all sets `FTP_PINHOLE_REQUIRE_PEERS=1`.
fn skip(test: &str, why: &str) {
    eprintln!("SKIP {test}: {why}");
    let required = env::var("FTP_PINHOLE_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{test} cannot run: {why}");
}

/// Whether [::1] is missing, so that `test` has to be skipped.
fn lacks_ipv6(test: &str) -> bool {
    match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => false,
        Err(error) => {
            skip(test, &format!("no [::1]: {error}"));
            true
        }
    }
}
