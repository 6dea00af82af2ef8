//! Runs a test in a network namespace of its own, with nft(8), or says why it cannot run.

#![allow(clippy::unwrap_used, reason = "a test that fails shall stop")]

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

use ftp_pinhole::netlink::Nft;

use crate::namespace;

/// Runs `body` as the test `name` of `module` (`module_path!()`). Nothing runs in the namespace that the
/// test program was started in: these tests change the ruleset.
pub fn unshared(module: &str, name: &str, body: impl FnOnce()) {
    let path = module.split_once("::").map_or_else(|| name.to_owned(), |(_, rest)| format!("{rest}::{name}"));
    namespace::isolated(&path, || match obstacle() {
        Some(why) => namespace::skip(&path, &why),
        None => body(),
    });
}

/// Loads `ruleset` with nft(8).
pub fn load(ruleset: &str) {
    assert!(nft(ruleset), "nft refuses {ruleset}");
}

fn obstacle() -> Option<String> {
    if env::var_os("FTP_PINHOLE_TEST_INSIDE").is_none() {
        return Some("no network namespace can be made".to_owned());
    }
    if let Err(error) = Nft::connect("any") {
        return Some(format!("no netlink to nftables: {error}"));
    }
    (!nft("add table inet probe\ndelete table inet probe\n")).then(|| "nft(8) is missing".to_owned())
}

fn nft(ruleset: &str) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let spawned = Command::new("nft").args(["-f", "-"]).env("PATH", path).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else { return false };
    child.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
    child.wait().unwrap().success()
}
