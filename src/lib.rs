//! An FTP-aware firewall and NAT gateway.
//!
//! The core ([`ftp`], [`policy`], [`pinhole`], [`session`]) has no socket, clock, randomness, file or
//! async: events and the time go in, outputs come out. The shells around it ([`proxy`], [`firewall`],
//! [`host`], [`audit`], [`telemetry`], [`config`], [`cli`]) are thin. Imports only run down this list; a test
//! holds them to it. `docs/architecture.md` has the picture.

pub mod addr;
pub mod audit;
pub mod cli;
pub mod config;
pub mod firewall;
pub mod ftp;
pub mod host;
pub mod ids;
pub mod pinhole;
pub mod policy;
pub mod proxy;
pub mod reason;
pub mod session;
pub mod telemetry;
pub mod time;
