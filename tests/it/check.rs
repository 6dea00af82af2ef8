//! The commands `check` and `run` as a shell sees them: output, errors, exit codes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::config::{EVERY_KEY, parse};

fn gateway(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ftp-pinhole"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that does not read its input closes the pipe; what matters is what it says.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn check_says_in_one_line_that_all_is_well() {
    let output = gateway(&["check", "rules/quickstart.yaml"], "");
    assert_eq!(stdout(&output), "rules/quickstart.yaml: ok: 1 service, 2 listen addresses\n");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn check_reads_standard_input_and_prints_what_it_read() {
    let output = gateway(&["check", "-", "--print"], EVERY_KEY);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(parse(stdout(&output)), parse(EVERY_KEY));
}

#[test]
fn an_error_goes_to_standard_error_with_code_2() {
    let output = gateway(&["check", "-"], "version: 1\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).is_empty());
    assert!(stderr(&output).starts_with("<stdin>:1:1: services: is missing"), "{}", stderr(&output));

    let output = gateway(&["run", "no/such.yaml"], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "no/such.yaml: cannot be read: No such file or directory (os error 2)\n");
    assert_eq!(gateway(&["check"], "").status.code(), Some(2));
}

#[test]
fn check_lists_the_flows_that_firewalls_must_allow() {
    let rules = "\
version: 1
services:
  a:
    listen: [\"203.0.113.10:21\", 203.0.113.10:2121, \"[::]:21\"]
    upstream: 10.0.0.5:21
    clients: 198.51.100.0/24
    advertise: 203.0.113.11
    active_source_port: 20
  b: {listen: 0.0.0.0:22, upstream: 10.0.0.6:21, clients: 10.1.0.0/16, active: deny, server_ports: [3000-3009, 4000]}
";
    let expected = "\
service a
what          firewall  from             source ports  to                                destination ports  first packet goes
control       outside   198.51.100.0/24  any           203.0.113.10                      21                 client -> gateway
control       outside   198.51.100.0/24  any           203.0.113.10                      2121               client -> gateway
control       inside    gateway          any           10.0.0.5                          21                 gateway -> server
passive data  outside   198.51.100.0/24  any           203.0.113.10 (told 203.0.113.11)  50000-50999        client -> gateway
passive data  inside    gateway          any           10.0.0.5                          1024-65535         gateway -> server
active data   inside    10.0.0.5         any           gateway                           40000-49999        server -> gateway
active data   outside   203.0.113.10     20            198.51.100.0/24                   1024-65535         gateway -> client

service b
what          firewall  from         source ports  to        destination ports  first packet goes
control       outside   10.1.0.0/16  any           gateway   22                 client -> gateway
control       inside    gateway      any           10.0.0.6  21                 gateway -> server
passive data  outside   10.1.0.0/16  any           gateway   50000-50999        client -> gateway
passive data  inside    gateway      any           10.0.0.6  3000-3009, 4000    gateway -> server
";
    let output = gateway(&["check", "-", "--flows"], rules);
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

#[test]
fn check_lists_the_flows_of_intercepted_and_transparent_services() {
    let rules = "\
version: 1
services:
  office:
    role: forward
    intercept: tproxy
    listen: [\"0.0.0.0:2121\", \"[::]:2121\"]
    clients: [10.1.0.0/16, 10.2.0.0/16]
    servers: [198.51.100.0/24, \"2001:db8::/32\"]
    outside_address: 203.0.113.1
  dmz: {intercept: redirect, source: client, listen: 0.0.0.0:2122, upstream: 192.0.2.5:21, clients: 0.0.0.0/0}
";
    let expected = "\
service office
what          firewall  from                      source ports  to                        destination ports  first packet goes
control       inside    10.1.0.0/16, 10.2.0.0/16  any           198.51.100.0/24           21                 client -> gateway
control       outside   203.0.113.1               any           198.51.100.0/24           21                 gateway -> server
passive data  inside    10.1.0.0/16, 10.2.0.0/16  any           198.51.100.0/24           50000-50999        client -> gateway
passive data  outside   203.0.113.1               any           198.51.100.0/24           1024-65535         gateway -> server
active data   outside   198.51.100.0/24           any           203.0.113.1               40000-49999        server -> gateway
active data   inside    198.51.100.0/24           any           10.1.0.0/16, 10.2.0.0/16  1024-65535         gateway -> client

service dmz
what          firewall  from       source ports  to         destination ports  first packet goes
control       outside   0.0.0.0/0  any           192.0.2.5  21                 client -> gateway
control       inside    0.0.0.0/0  any           192.0.2.5  21                 gateway -> server
passive data  outside   0.0.0.0/0  any           192.0.2.5  50000-50999        client -> gateway
passive data  inside    0.0.0.0/0  any           192.0.2.5  1024-65535         gateway -> server
active data   inside    192.0.2.5  any           0.0.0.0/0  40000-49999        server -> gateway
active data   outside   192.0.2.5  any           0.0.0.0/0  1024-65535         gateway -> client
";
    let output = gateway(&["check", "-", "--flows"], rules);
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

#[test]
fn check_notes_where_the_kernel_path_cannot_be() {
    let rules = "\
version: 1
services:
  a: {data_path: nftables, listen: [\"192.0.2.1:21\", \"[2001:db8::1]:21\"], upstream: [10.0.0.5:21, 127.0.0.1:2121]}
  b: {data_path: nftables, listen: 192.0.2.1:2121, upstream: 192.0.2.1:8021}
  c: {data_path: relay, listen: \"[2001:db8::1]:2121\", upstream: 10.0.0.5:21}
  d: {data_path: nftables, role: forward, intercept: tproxy, listen: \"0.0.0.0:2122\"}
";
    let expected = "\
-: ok: 4 services, 5 listen addresses
note: service a: clients of [2001:db8::1]:21 use the relay for data, as no upstream is of their family
note: service a: upstream 127.0.0.1:2121 is on this host, so its data connections use the relay
note: service b: upstream 192.0.2.1:8021 is on this host, so its data connections use the relay
";
    let output = gateway(&["check", "-"], rules);
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
}
