//! The proxy: control connections over real sockets, each driven through a session engine.
//!
//! Does: listen, dial the server, carry bytes and time between the sockets and the
//! [engine](crate::session), hand pinholes to the [firewall backend](crate::firewall), drain on
//! SIGTERM. Does not: know FTP. Called by `cli`.

mod accept;
mod dial;
mod driver;
mod gateway;
mod inbox;
mod leg;
mod limits;
mod report;
mod route;
mod shared;
mod workers;

pub use gateway::{Gateway, RunError, run};
