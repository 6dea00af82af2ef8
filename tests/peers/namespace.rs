//! Gives each test a network of its own, and says when a test cannot run.
//!
//! A test program has threads, so it cannot enter a user namespace itself: each test starts this program
//! again under `unshare`, for that one test. The PID namespace ends every daemon when the test ends,
//! however it ends. Where no namespace can be had the test runs in place: all ports are picked free.

use std::env;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set inside the namespace.
const INSIDE: &str = "FTP_PINHOLE_TEST_INSIDE";

/// Arguments of `unshare`, best first: as root, with all of the user's ids, with the user's one id.
const WAYS: [&[&str]; 4] = [
    &["--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
    &["--map-root-user", "--map-auto", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
    &["--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"],
    &["--map-root-user", "--net"],
];

/// Brings loopback up, with the addresses of [`crate::route`] if the kernel has IPv6, and becomes the program
/// in the arguments.
const ENTER: &str = "PATH=$PATH:/usr/sbin:/sbin; ip link set lo up && { \
    ip address add 2001:db8::1/128 dev lo nodad && ip address add 2001:db8::2/128 dev lo nodad || true; \
    } && exec \"$0\" \"$@\"";

/// Runs `body` as the test `name` (its path inside this program) in a new network namespace.
pub fn isolated(name: &str, body: impl FnOnce()) {
    match way() {
        Some(way) if !inside() => relay(name, &again(name, way)),
        _ => body(),
    }
}

/// Whether this process has been started in a namespace of its test.
pub fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Says that `test` cannot run. An environment that promises all peers makes this a failure.
pub fn skip(test: &str, why: &str) {
    assert!(env::var_os("FTP_PINHOLE_REQUIRE_PEERS").is_none_or(|v| v != "1"), "{test} cannot run: {why}");
    report_skip(&format!("{test}: {why}"));
}

/// The name of the running test.
pub fn test_name() -> String {
    let thread = std::thread::current().name().unwrap_or("main").to_owned();
    env::var(INSIDE).unwrap_or(thread)
}

/// The first way into a namespace that works here.
fn way() -> Option<&'static [&'static str]> {
    static WAY: OnceLock<Option<&[&str]>> = OnceLock::new();
    *WAY.get_or_init(|| WAYS.into_iter().find(|way| works(way)))
}

fn works(way: &[&str]) -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(way).args(["sh", "-c", ENTER, "true"]);
    let status = unshare.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn again(name: &str, way: &[&str]) -> Output {
    let program = env::current_exe().expect("the running program has a path");
    let mut unshare = Command::new("unshare");
    unshare.args(way).args(["sh", "-c", ENTER]).arg(program);
    unshare.args(["--exact", name, "--nocapture", "--include-ignored"]);
    unshare.env(INSIDE, name).stdin(Stdio::null()).output().expect("unshare has just worked")
}

/// Passes the inner run's output and verdict on.
fn relay(name: &str, inner: &Output) {
    let text = String::from_utf8_lossy(&inner.stdout);
    print!("{text}");
    let (skips, rest): (Vec<_>, Vec<_>) = String::from_utf8_lossy(&inner.stderr)
        .lines()
        .map(str::to_owned)
        .partition(|l| l.starts_with("SKIP "));
    skips.iter().filter_map(|line| line.strip_prefix("SKIP ")).for_each(report_skip);
    eprintln!("{}", rest.join("\n"));
    let ran = inner.status.success() && text.contains("1 passed");
    assert!(ran, "{name} failed in its namespace ({}); its output stands above", inner.status);
}

/// Prints a line of its own, counted, past the test runner's capture, which would hide the line of a test that passes.
pub fn report_skip(what: &str) {
    static SKIPS: AtomicUsize = AtomicUsize::new(0);
    let count = SKIPS.fetch_add(1, Ordering::Relaxed) + 1;
    let counted = if inside() { String::new() } else { format!(" ({count} so far)") };
    writeln!(std::io::stderr(), "SKIP {what}{counted}").expect("standard error is open");
}
