//! An FTP-aware firewall and NAT gateway.
//!
//! The core ([`ftp`], [`packet`], [`policy`], [`stream`], [`pinhole`], [`session`]) has no socket, clock,
//! randomness, file or async: events and the time go in, outputs come out. The shells around it ([`cli`],
//! [`proxy`], [`audit`], [`telemetry`], [`firewall`], [`host`], [`netlink`], [`capture`], [`live`], [`config`]) are thin.
//! Imports only run down the picture in `docs/architecture.md`; a test holds them to it.

pub mod addr;
pub mod audit;
pub mod capture;
pub mod cli;
pub mod config;
pub mod firewall;
pub mod ftp;
pub mod host;
pub mod ids;
pub mod live;
pub mod netlink;
pub mod packet;
pub mod pinhole;
pub mod policy;
pub mod proxy;
pub mod reason;
pub mod replay;
pub mod session;
pub mod stream;
pub mod telemetry;
pub mod time;
pub mod tls;
pub mod trial;
