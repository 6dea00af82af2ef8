//! Every bad start: exit code 2, and one line on standard error that says what to do.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use ftp_pinhole::audit::Audit;
use ftp_pinhole::config::Config;
use ftp_pinhole::proxy::Gateway;

use super::lab::{free_at, own_address, rules, server};
use super::program::{BINARY, Scratch};
use super::skip;

/// What the program says that cannot start, without its log.
pub(super) fn complaint(mut command: Command, rules: &str) -> String {
    // Its log is on standard error, too: only errors of the start are to be left.
    let rules = rules.replace("gateway: {", "gateway: {log: {level: error}, ");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

fn run() -> Command {
    let mut command = Command::new(BINARY);
    command.args(["run", "-"]);
    command
}

fn listening_on(addr: SocketAddr) -> String {
    rules("stdout: true", &[addr], &[server().local_addr().unwrap()], "")
}

#[test]
fn address_in_use_is_named() {
    let taken = server();
    let addr = taken.local_addr().unwrap();
    let expected = format!(
        "service lab cannot listen on {addr} (another program listens there): \
         Address already in use (os error 98)\n"
    );
    assert_eq!(complaint(run(), &listening_on(addr)), expected);
}

#[test]
fn address_of_another_host_is_named() {
    let nonlocal = fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind").unwrap_or_default();
    if nonlocal.trim() == "1" {
        return skip("address_of_another_host_is_named", "net.ipv4.ip_nonlocal_bind is on");
    }
    let expected = "service lab cannot listen on 192.0.2.77:2121 (no interface of this host has that \
                    address): Cannot assign requested address (os error 99)\n";
    assert_eq!(complaint(run(), &listening_on("192.0.2.77:2121".parse().unwrap())), expected);
}

/// Whether the program may bind ports below 1024 even without privilege, or the test cannot tell.
fn low_ports_are_free_for_all() -> bool {
    let start = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    start.trim().parse::<u16>().is_ok_and(|start| start <= 21)
}

/// The program without `capability`; `None` when it cannot be taken from it here.
pub(super) fn run_without(capability: &str) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(run());
    }
    let dropped = format!("-{capability}");
    let without = ["--bounding-set", &dropped, "--inh-caps", &dropped];
    let works = Command::new("setpriv").args(without).arg("true").status();
    works.is_ok_and(|status| status.success()).then(|| {
        let mut command = Command::new("setpriv");
        command.args(without).arg(BINARY).args(["run", "-"]);
        command.arg0("setpriv");
        command
    })
}

#[test]
fn low_port_without_privilege_is_explained() {
    let test = "low_port_without_privilege_is_explained";
    if low_ports_are_free_for_all() {
        return skip(test, "net.ipv4.ip_unprivileged_port_start frees port 21");
    }
    let Some(command) = run_without("net_bind_service") else {
        return skip(test, "setpriv cannot take CAP_NET_BIND_SERVICE away");
    };
    let addr = SocketAddr::new(own_address(), 21);
    let expected = format!(
        "service lab cannot listen on {addr} (ports below 1024 need CAP_NET_BIND_SERVICE): \
         Permission denied (os error 13)\n"
    );
    assert_eq!(complaint(command, &listening_on(addr)), expected);
}

#[test]
fn audit_file_in_a_missing_directory_is_named() {
    let scratch = Scratch::new();
    let path = scratch.path("missing/audit.jsonl");
    let audit = format!("file: \"{}\"", path.display());
    let rules = rules(&audit, &[free_at(own_address())], &[server().local_addr().unwrap()], "");
    let expected = format!(
        "the audit record cannot be kept: cannot open {} for audit records: \
         No such file or directory (os error 2)\n",
        path.display()
    );
    assert_eq!(complaint(run(), &rules), expected);
}

#[tokio::test]
async fn nothing_listens_when_one_of_the_addresses_cannot() {
    let (free, taken) = (free_at(own_address()), server());
    let upstream = [server().local_addr().unwrap()];
    let rules = rules("stdout: true", &[free, taken.local_addr().unwrap()], &upstream, "");
    let config = Config::parse("rules.yaml", &rules).unwrap();
    assert!(Gateway::start(config, Audit::memory().0).is_err());
    TcpListener::bind(free).unwrap();
}
