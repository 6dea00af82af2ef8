//! Logs and counters: what the gateway tells about itself while it runs.
//!
//! Does: sets up `tracing` once ([`init`]) and counts events ([`Counters`]). Does not: write audit
//! records, which are `audit`'s, or decide what is logged. Called by `main` and `proxy`.

mod counters;
mod logs;

pub use counters::Counters;
pub use logs::{TelemetryError, init};
