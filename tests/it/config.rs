//! Rules files as an administrator meets them: the examples, the defaults, the messages, the reference.

use std::fs;
use std::path::{Path, PathBuf};

use ftp_pinhole::config::{Config, ConfigErrors, Gateway, Intercept, MAX_FILE_BYTES, Role};
use ftp_pinhole::policy::Policy;
use marked_yaml::Node;

const MINIMAL: &str = "version: 1\nservices: {a: {listen: 192.0.2.1:21, upstream: 10.0.0.5:21}}\n";

/// Every key, with another value than its default wherever there is another.
pub(crate) const EVERY_KEY: &str = r#"
version: 1
gateway:
  admin_socket: none
  audit: {file: "/var/log/an \"odd\" \\ name: #1"}
  log: {level: trace, format: json}
  nftables: {table: ftp_2, integration: cooperative, mark: 0x100/0x700, on_stop: keep}
services:
  warehouse:
    role: reverse
    intercept: tproxy
    source: client
    listen: ["203.0.113.10:21", "[2001:db8::10]:21"]
    upstream: [10.0.0.5:21, "[fd00::5]:21"]
    clients: [198.51.100.0/24, 192.0.2.7, "2001:db8:1::/48"]
    advertise: 203.0.113.11
    passive_ports: [50000-50999, 51500]
    active_ports: [40000-40009, 20]
    server_ports: 30000-30099
    server_address: deny
    data_path: nftables
    active: allow
    active_source_port: 20
    data_direction: any
    require_login: false
    preset: any
    tolerate: [unpadded-multiline, bare-lf, reused-port]
    tls: {mode: deny}
    limits: {sessions: 1, sessions_per_client: 2, line_bytes: 64KiB, pending_commands: 3, reply_lines: 4,
             violations: 0, login_failures: 6}
    timeouts: {login: 500ms, idle: 2h, pinhole: 1d, data_idle: 90s, connect: 1s, drain: 5m}
  -x_1:
    listen: 203.0.113.10:2121
    upstream: 10.0.0.6:21
    preset: ro
  secure:
    listen: 203.0.113.11:21
    upstream: 10.0.0.7:21
    tls:
      mode: terminate
      certificates:
        - {chain: /etc/ssl/ftp.pem, key: /etc/ssl/ftp.key, names: [ftp.example.com, "*.example.net"]}
        - {chain: /etc/ssl/other.pem, key: /etc/ssl/other.key}
      implicit_listen: 203.0.113.11:990
      min_version: "1.2"
      max_version: "1.2"
      min_protection: control
      client_certificates: request
      client_ca: /etc/ssl/clients.pem
      data_tls: same-certificate
      upstream_tls: as-client
      upstream_pin: [/etc/ssl/server.pem, "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"]
      upstream_name: ftp.internal
      upstream_certificate: /etc/ssl/own.pem
      upstream_key: /etc/ssl/own.key
      upstream_max_version: "1.3"
      data: passthrough
  dark:
    listen: 203.0.113.12:21
    upstream: 10.0.0.8:21
    tls: {mode: blind, data_ports: [30000-30099, 31000]}
  office:
    role: forward
    intercept: redirect
    listen: ["0.0.0.0:2122", "[::]:2122"]
    clients: 10.1.0.0/16
    servers: [198.51.100.0/24, "2001:db8:2::/48"]
    outside_address: [203.0.113.1, "2001:db8::1"]
networks: {office: [10.0.0.0/8, 192.0.2.1]}
users: {guests: [anonymous, "ftp*"]}
rules:
  - name: all-of-it
    when: {service: [warehouse, dark], client: ["@office", 203.0.113.0/24], user: ["@guests", "b?b"],
           command: [STOR, SITE CHMOD], path: ["/a b/**", "*.exe"], path_case: exact, tls: control, mode: active}
    then: close
    reply: "421 Good \\ bye."
  - {name: none-of-it, then: allow}
tests:
  - {service: dark, client: "2001:db8::7", user: bob, cwd: "/a: b", tls: private, mode: active, send: "STOR x", expect: close,
     rule: all-of-it, reply: "421"}
"#;

pub(crate) fn parse(text: &str) -> Config {
    Config::parse("rules.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    Config::parse("rules.yaml", text).unwrap_err().to_string()
}

/// The errors of a service with the keys `more` (lines of one indentation), its position left out.
fn service_errors(more: &str) -> String {
    let keys: String = more.lines().map(|line| format!("    {line}\n")).collect();
    let text =
        format!("version: 1\nservices:\n  a:\n    listen: 192.0.2.1:21\n    upstream: 10.0.0.5:21\n{keys}");
    let errors = errors(&text);
    let texts = errors.lines().map(|line| line.splitn(4, ':').last().unwrap().trim());
    texts.collect::<Vec<_>>().join("\n")
}

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(file("rules")).unwrap().map(|entry| entry.unwrap().path());
    let examples: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "yaml")).collect();
    assert!(examples.len() >= 2, "rules/ lost its examples");
    examples
}

#[test]
fn every_example_is_valid_and_prints_to_itself() {
    for path in examples() {
        let config = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(parse(&config.to_yaml()), config, "{}", path.display());
    }
}

#[test]
fn a_file_with_the_required_keys_alone_has_every_default() {
    let config = parse(MINIMAL);
    assert_eq!(config.gateway, Gateway::default());
    assert_eq!(*config.services[0].policy, Policy::default());
    let clients: Vec<_> = config.services[0].clients.iter().map(ToString::to_string).collect();
    assert_eq!(clients, ["0.0.0.0/0", "::/0"]);
}

#[test]
fn every_key_reaches_the_configuration_and_survives_printing() {
    let config = parse(EVERY_KEY);
    assert_eq!(parse(&config.to_yaml()), config);

    let policy = &config.services[0].policy;
    assert_eq!(config.services[0].clients[1].to_string(), "192.0.2.7/32");
    assert_eq!(policy.passive_ports.to_string(), "50000-50999, 51500");
    assert_eq!(policy.limits.line_bytes, 65_536);
    assert_eq!(policy.timeouts.pinhole.as_secs(), 86_400);
    assert_eq!(policy.active_source_port, Some(20));
    assert!(policy.tolerate.bare_lf && policy.tolerate.reused_port && policy.tolerate.unpadded_multiline);
    // Each key of EVERY_KEY differs from its default, so a key that is read into nothing shows here.
    let printed = (config.to_yaml(), parse(MINIMAL).to_yaml());
    let (changed, defaults) = (leaves(&printed.0), leaves(&printed.1));
    let same = changed.iter().filter(|leaf| defaults.contains(leaf)).map(|(path, _)| path.as_str());
    let one_way = ["version", "gateway.admin_socket", "role", "active", "tls.mode"];
    let same: Vec<_> = same.filter(|path| !path.starts_with("services.")).collect();
    assert_eq!(same, one_way);
}

#[test]
fn the_keys_of_role_forward_reach_the_configuration() {
    let config = parse(EVERY_KEY);
    let office = &config.services[4];
    assert_eq!((office.role, office.intercept), (Role::Forward, Intercept::Redirect));
    assert!(office.upstream.is_empty() && office.policy.transparent);
    let text = |values: &[&dyn ToString]| values.iter().map(|value| value.to_string()).collect::<Vec<_>>();
    let servers: Vec<_> = office.servers.iter().map(|server| server as &dyn ToString).collect();
    assert_eq!(text(&servers), ["198.51.100.0/24", "2001:db8:2::/48"]);
    let outside: Vec<_> = office.outside_address.iter().map(|addr| addr as &dyn ToString).collect();
    assert_eq!(text(&outside), ["203.0.113.1", "2001:db8::1"]);
}

#[test]
fn combinations_that_lead_nowhere_are_refused() {
    let refused = [
        (
            "listen: 0.0.0.0:2121, role: forward",
            "intercept: listen has no server to go to (allowed with role: forward: redirect, tproxy)",
        ),
        (
            "listen: 0.0.0.0:2121, role: forward, intercept: tproxy, upstream: 10.0.0.5:21",
            "upstream: is for role: reverse (the client names the server)",
        ),
        (
            "listen: 0.0.0.0:2121, role: forward, intercept: tproxy, advertise: 192.0.2.1",
            "advertise: is for role: reverse (clients are told the server's own address)",
        ),
        (
            "listen: 0.0.0.0:2121, role: forward, intercept: tproxy, outside_address: [192.0.2.1, 192.0.2.2]",
            "outside_address: 192.0.2.2 is the second of its family (allowed: one of each)",
        ),
        (
            "listen: 0.0.0.0:2121, role: forward, intercept: tproxy, source: client, outside_address: 192.0.2.1",
            "outside_address: is for source: gateway (the server sees the client's address)",
        ),
        (
            "listen: 0.0.0.0:21, upstream: 10.0.0.5:21, servers: 10.0.0.0/8",
            "servers: is for role: forward (upstream names the server)",
        ),
        (
            "listen: 0.0.0.0:21, upstream: 10.0.0.5:21, outside_address: 192.0.2.1",
            "outside_address: is for role: forward",
        ),
        (
            "listen: [0.0.0.0:21, '[::]:21'], upstream: 10.0.0.5:21, source: client",
            "listen: [::]:21 has no upstream of its family (needed with source: client and with intercept)",
        ),
        (
            "listen: 0.0.0.0:2121, upstream: '[fd00::5]:21', intercept: redirect",
            "listen: 0.0.0.0:2121 has no upstream of its family (needed with source: client and with intercept)",
        ),
        (
            "listen: 0.0.0.0:21, role: forward, intercept: tproxy",
            "listen: 0.0.0.0:21 is every server's address, too \
             (allowed with role: forward and intercept: tproxy: one address, or another port than 21)",
        ),
        (
            "listen: 0.0.0.0:2121, upstream: 127.0.0.1:21, source: client",
            "upstream: 127.0.0.1:21 is for clients of this host only \
             (allowed with source: client and with intercept: another host)",
        ),
        ("listen: 0.0.0.0:21", "upstream: is missing"),
    ];
    for (keys, expected) in refused {
        let said = errors(&format!("version: 1\nservices: {{a: {{{keys}}}}}\n"));
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(&format!("services.a.{expected}")), "{keys}: {said}");
    }
}

#[test]
fn a_mark_leaves_two_bits_for_the_directions() {
    for mark in
        ["1", "0x1", "0x0/0x7", "0x1/0x3", "0x1/0xf", "0x8/0x7", "0x1/0x7 ", "0x1_0/0x7", "0x100000000/0x7"]
    {
        let said = errors(&format!("{MINIMAL}gateway: {{nftables: {{mark: {mark:?}}}}}\n"));
        assert!(said.contains("gateway.nftables.mark: ") && said.contains("VALUE/MASK"), "{mark}: {said}");
    }
    let mark = parse(&format!("{MINIMAL}gateway: {{nftables: {{mark: 0x4/0x16}}}}\n")).gateway.nftables.mark;
    assert_eq!((mark.value(), mark.mask(), mark.low(), mark.high()), (0x4, 0x16, 0x2, 0x10));
}

#[test]
fn a_table_has_a_plain_name() {
    for name in ["", "1a", "a-b", "a b", "inet;flush", &"a".repeat(33)] {
        let said = errors(&format!("{MINIMAL}gateway: {{nftables: {{table: {name:?}}}}}\n"));
        assert!(said.contains("gateway.nftables.table: "), "{name}: {said}");
    }
}

#[test]
fn ten_mistakes_are_reported_at_once_in_order() {
    let text = "\
version: 1
gateway:
  audit: {stdout: true, file: /tmp/a}
  logs: {level: debug}
services:
  warehouse:
    listen: [203.0.113.10:21, 203.0.113.10]
    upstream: 203.0.113.10:21
    passive_ports: 70000
    pasive_ports: 50000-50999
    limits: {line_bytes: 100}
    timeouts: {idle: 0s}
  Shop:
    listen: 203.0.113.10:21
    upstream: 10.0.0.6:21
";
    let expected = "\
rules.yaml:3:10: gateway.audit: names more than one sink (allowed: one of stdout, file, journald)
rules.yaml:4:3: gateway.logs: is not a known key (did you mean log?)
rules.yaml:7:31: services.warehouse.listen: 203.0.113.10 is not an address with a port (allowed: ADDRESS:PORT or \"[IPV6]:PORT\", port 1-65535, or a list of them)
rules.yaml:8:15: services.warehouse.upstream: 203.0.113.10:21 leads back to 203.0.113.10:21 of services.warehouse.listen at 7:14
rules.yaml:9:20: services.warehouse.passive_ports: 70000 is not a port (allowed: 1-65535; a range low-high, or a list of them)
rules.yaml:10:5: services.warehouse.pasive_ports: is not a known key (did you mean passive_ports?)
rules.yaml:11:26: services.warehouse.limits.line_bytes: 100 is out of range (allowed: 512-65536 bytes, like 4096 or 4KiB)
rules.yaml:12:22: services.warehouse.timeouts.idle: 0s is out of range (allowed: 1ms-365d, like 500ms 30s 5m 2h 1d)
rules.yaml:13:3: services.Shop: is not a name of a service (allowed: 1-32 of a-z 0-9 - _)
rules.yaml:14:13: services.Shop.listen: 203.0.113.10:21 is taken by 203.0.113.10:21 of services.warehouse.listen at 7:14";
    assert_eq!(errors(text), expected);
}

#[test]
fn what_this_version_lacks_is_refused_by_name() {
    let text = "\
version: 1
gateway:
  admin_socket: /run/ftp-pinhole/admin.sock
  http: 127.0.0.1:9921
services:
  a:
    listen: 192.0.2.1:21
    upstream: 10.0.0.5:21
";
    let expected = "\
rules.yaml:3:17: gateway.admin_socket: /run/ftp-pinhole/admin.sock is not available in this version (allowed: none)
rules.yaml:4:3: gateway.http: is not available in this version";
    assert_eq!(errors(text), expected);
}

#[test]
fn missing_and_empty_sections_are_named() {
    let expected = "\
rules.yaml:1:1: version: is missing (allowed: 1)
rules.yaml:1:1: services: is missing (allowed: a name and its keys for each service, at least one)";
    assert_eq!(errors(""), expected);
    assert_eq!(errors("# nothing\n"), expected);
    assert!(errors("version: 1\nservices: {}\n").contains("services: is empty"));
    assert!(errors("version: 1\nservices:\n").contains("services: is not a section"));
    assert!(errors("version: 1\nservices: {a: 5}\n").contains("services.a: is not a section"));
}

#[test]
fn a_value_of_the_wrong_shape_is_named() {
    let yes_no = "(allowed: true, false)";
    let wrong = service_errors("require_login:\n");
    assert_eq!(wrong, format!("services.a.require_login: has no value {yes_no}"));
    assert!(errors("version: 1\nservices:\n\n").contains(":2:1: services: is not a section"));
    let wrong = service_errors("require_login: [true]");
    assert_eq!(wrong, format!("services.a.require_login: a list stands where one value belongs {yes_no}"));
    let wrong = service_errors("require_login: {a: b}");
    assert_eq!(wrong, format!("services.a.require_login: a section stands where one value belongs {yes_no}"));
    assert!(service_errors("clients: []").starts_with("services.a.clients: the list is empty"));
    assert!(service_errors("limits: 5").starts_with("services.a.limits: is not a section"));
    assert!(service_errors("tls: {}").starts_with("services.a.tls.mode: is missing"));
}

#[test]
fn ranges_that_overlap_or_run_backwards_are_refused() {
    assert_eq!(
        service_errors("passive_ports: [50000-50999, 20, 50999-51005]"),
        "services.a.passive_ports: 50999-51005 and 50000-50999 share ports (allowed: each port once)"
    );
    assert!(service_errors("server_ports: 2-1").contains("2-1 is a range that runs backwards"));
}

#[test]
fn a_listen_address_is_bound_once() {
    let text = "\
version: 1
services:
  a: {listen: [192.0.2.1:21, 192.0.2.1:2121], upstream: 10.0.0.5:21}
  b: {listen: 0.0.0.0:21, upstream: 127.0.0.1:21}
";
    let expected = "\
rules.yaml:4:15: services.b.listen: 0.0.0.0:21 is taken by 192.0.2.1:21 of services.a.listen at 3:16
rules.yaml:4:37: services.b.upstream: 127.0.0.1:21 leads back to 0.0.0.0:21 of services.b.listen at 4:15";
    assert_eq!(errors(text), expected);
}

#[test]
fn hostile_values_are_shown_escaped_and_cut() {
    let wrong = service_errors(&format!("preset: \"\\e[2J{}\"", "x".repeat(1000)));
    assert!(wrong.contains("\\u{1b}[2Jxxx") && wrong.contains("x... is not known here"), "{wrong}");
    assert!(wrong.len() < 250, "{wrong}");
}

#[test]
fn a_file_above_the_bound_is_refused() {
    let large = format!("{MINIMAL}#{}", "x".repeat(MAX_FILE_BYTES));
    assert_eq!(errors(&large), "rules.yaml: larger than 1048576 bytes");
    let endless = Config::load(Path::new("/dev/zero")).unwrap_err();
    assert!(matches!(endless, ConfigErrors::TooLarge { .. }), "{endless}");
}

/// Every key of a file with one value or a list, its path without `services.a` or `services.warehouse`.
fn leaves(yaml: &str) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    collect(&marked_yaml::parse_yaml(0, yaml).unwrap(), "", &mut leaves);
    for (path, _) in &mut leaves {
        for service in ["services.a.", "services.warehouse."] {
            *path = path.strip_prefix(service).unwrap_or(path).to_owned();
        }
    }
    leaves
}

fn collect(node: &Node, path: &str, into: &mut Vec<(String, String)>) {
    // An entry of a list may be a section.
    let text =
        |node: &Node| node.as_scalar().map_or_else(|| format!("{node:?}"), |text| text.as_str().to_owned());
    match node {
        Node::Mapping(section) => {
            for (key, node) in section.iter() {
                let dot = if path.is_empty() { "" } else { "." };
                collect(node, &format!("{path}{dot}{}", key.as_str()), into);
            }
        }
        Node::Sequence(list) => {
            let items: Vec<_> = list.iter().map(text).collect();
            into.push((path.to_owned(), format!("[{}]", items.join(", "))));
        }
        node => into.push((path.to_owned(), text(node))),
    }
}

/// The headings of docs/configuration.md and the text under each.
fn documented() -> Vec<(String, String)> {
    let docs = fs::read_to_string(file("docs/configuration.md")).unwrap();
    let sections = docs.split("\n#").skip(1).map(|section| section.trim_start_matches('#'));
    let parts = sections.map(|section| section.split_once('\n').unwrap());
    parts.map(|(heading, text)| (heading.trim().to_owned(), text.replace('"', ""))).collect()
}

#[test]
fn every_key_is_documented_with_its_default() {
    let documented = documented();
    let of = |path: &str| documented.iter().find(|(heading, _)| heading == path).map(|(_, text)| text);
    let required = ["version", "listen", "upstream"];
    for (path, default) in leaves(&parse(MINIMAL).to_yaml()) {
        let text = of(&path).unwrap_or_else(|| panic!("no heading {path}"));
        let stated = if required.contains(&path.as_str()) {
            "Required".into()
        } else {
            format!("Default: `{default}`")
        };
        assert!(text.contains(&stated), "{path} without {stated}");
        assert!(text.contains("Example: `"), "{path} without an example");
    }
    let mut not_by_default =
        vec!["advertise", "servers", "outside_address", "gateway.audit.file", "gateway.audit.journald"];
    let every_key = leaves(&parse(EVERY_KEY).to_yaml());
    let services = ["services.secure.", "services.dark."];
    let tls =
        every_key.iter().filter_map(|(path, _)| services.iter().find_map(|name| path.strip_prefix(name)));
    not_by_default.extend(tls.filter(|path| path.starts_with("tls.")));
    for path in not_by_default {
        assert!(of(path).is_some(), "no heading {path}");
    }
}

#[test]
fn every_leniency_and_preset_is_documented() {
    let docs = fs::read_to_string(file("docs/configuration.md")).unwrap();
    for word in [
        "auth-ssl",
        "bare-lf",
        "missing-close-notify",
        "reused-port",
        "unpadded-multiline",
        "anonymous-ro",
        "`ro`",
        "`rw`",
        "`any`",
    ] {
        assert!(docs.contains(word), "{word} is not documented");
    }
}

#[test]
fn tls_keys_that_contradict_each_other_are_refused() {
    let base = "mode: terminate, certificates: {chain: /c, key: /k}";
    let refused = [
        ("mode: terminate", "certificates: is missing"),
        ("mode: blind", "data_ports: is missing"),
        ("mode: blind, data_ports: 2000-3000", "data_ports: 2000-3000 are 1001 ports"),
        ("mode: deny, data_ports: 2000-2001", "data_ports: is not a known key"),
        (&format!("{base}, client_ca: /a"), "client_ca: is for client_certificates"),
        (&format!("{base}, client_certificates: require"), "client_ca: is missing"),
        (&format!("{base}, data_tls: same-certificate"), "data_tls: same-certificate needs"),
        (&format!("{base}, upstream_pin: /p"), "upstream_pin: is for upstream_tls"),
        (&format!("{base}, upstream_tls: explicit"), "upstream_ca: is missing (allowed: one of"),
        (
            &format!("{base}, upstream_tls: explicit, upstream_pin: /p, upstream_ca: /a"),
            "names the server's certificate twice",
        ),
        (
            &format!("{base}, upstream_tls: explicit, upstream_pin: 'sha256:12'"),
            "upstream_pin: sha256:12 is not",
        ),
        (
            &format!("{base}, upstream_tls: explicit, upstream_verify: none"),
            "upstream_verify: none is not known",
        ),
        (&format!("{base}, min_version: '1.3', max_version: '1.2'"), "max_version: 1.2 is older"),
        (&format!("{base}, data: passthrough"), "data: passthrough needs TLS to the server"),
        (
            &format!(
                "{base}, upstream_tls: explicit, upstream_pin: /p, data: passthrough, min_protection: clear"
            ),
            "data: passthrough is for clients with TLS",
        ),
    ];
    for (tls, expected) in refused {
        let said = service_errors(&format!("tls: {{{tls}}}"));
        assert_eq!(said.lines().count(), 1, "{tls}: {said}");
        assert!(said.contains(expected), "{tls}: {said}");
    }
    let shared = service_errors("passive_ports: 50000-50009\ntls: {mode: blind, data_ports: 50005}");
    assert!(shared.starts_with("services.a.passive_ports: holds port 50005"), "{shared}");
    let forward = "listen: 0.0.0.0:2121, role: forward, intercept: tproxy";
    let said = errors(&format!("version: 1\nservices: {{a: {{{forward}, tls: {{{base}}}}}}}\n"));
    assert!(said.contains("a.tls.mode: terminate is for role: reverse"), "{said}");
}
