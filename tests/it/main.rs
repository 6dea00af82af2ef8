//! Tests of the library and the program, a module per topic.

// Whatever a test unwraps or indexes fails that test, helpers included.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod abort;
mod attacks;
mod audit;
mod audit_events;
mod blind;
mod captures;
mod check;
mod config;
mod cuts;
mod families;
mod filter;
mod ftps;
mod fuzz_smoke;
mod gateway;
mod layering;
mod life;
mod login;
mod model;
mod pair;
mod pipelining;
mod pki;
mod properties;
mod relay;
mod replay;
mod replay_cases;
mod rules;
mod streams;
mod tape;
mod tls;
mod transfers;
