//! The gateway between network namespaces: real interfaces, routes and firewall rules, real servers.
//!
//! [`netlink`] tests our own netlink code against the kernel in the same way.
//!
//! Each test has namespaces of its own, which any user can make; the gateway runs in the outer one, as on a
//! router. Needs `ip` and `nft`; the servers are found as those of the `peers` tests are, by the same
//! environment variables.

// Whatever a test unwraps or indexes fails that test, helpers included.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../peers/audit.rs"]
#[allow(dead_code, reason = "shared with the peers tests")]
mod audit;
#[path = "../peers/namespace.rs"]
#[allow(dead_code, reason = "shared with the peers tests")]
mod namespace;
#[path = "../peers/operation.rs"]
#[allow(dead_code, reason = "shared with the peers tests")]
mod operation;
#[path = "../peers/process.rs"]
#[allow(dead_code, reason = "shared with the peers tests")]
mod process;
#[path = "../peers/raw.rs"]
#[allow(dead_code, reason = "shared with the peers tests")]
mod raw;
#[path = "../peers/route.rs"]
#[allow(dead_code, reason = "shared with the peers tests")]
mod route;
#[path = "../peers/server.rs"]
#[allow(dead_code, reason = "shared with the peers tests")]
mod server;

mod behaviour;
mod cell;
mod examples;
mod ftps;
mod gateway;
mod host;
mod lab;
mod matrix;
mod monitor;
mod netlink;
mod placement;
mod snapshot;
mod unshared;
