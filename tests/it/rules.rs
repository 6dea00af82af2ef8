//! Rules: which one decides, what the client hears, how a path is followed, and what a rules file may not say.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command as Program;
use std::sync::Arc;

use ftp_pinhole::config::Config;
use ftp_pinhole::policy::rules::{Action, CommandName, Facts, Rules, Tls};
use ftp_pinhole::policy::{Policy, TransferMode};
use ftp_pinhole::trial::{self, Outcome, Situation};
use proptest::prelude::*;

use crate::pair::Pair;

/// The policy of a service with these rules.
fn policy(rules: &str) -> Policy {
    let text = format!(
        "version: 1\nservices: {{a: {{listen: 192.0.2.1:21, upstream: 10.0.0.5:21}}}}\nrules:\n{rules}"
    );
    let config = Config::parse("rules.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
    Policy::clone(&config.services[0].policy)
}

fn errors(text: &str) -> String {
    let text =
        format!("version: 1\nservices: {{a: {{listen: 192.0.2.1:21, upstream: 10.0.0.5:21}}}}\n{text}");
    Config::parse("rules.yaml", &text).unwrap_err().to_string()
}

fn of(user: &str) -> Situation {
    Situation {
        client: "198.51.100.7".parse().unwrap(),
        user: Some(user.to_owned()),
        cwd: None,
        tls: None,
        mode: TransferMode::Passive,
    }
}

fn put(rules: &str, situation: &Situation, command: &str) -> Outcome {
    trial::put(&policy(rules), situation, command)
}

/// `verdict rule` of a command that alice sends.
fn verdict(rules: &str, command: &str) -> String {
    let outcome = put(rules, &of("alice"), command);
    format!("{:?} {}", outcome.verdict, outcome.rule.as_deref().unwrap_or("-"))
}

const GUESTS: &str = "  - {name: admins, when: {user: [root, 'adm-*'], client: 10.0.0.0/8}, then: allow}
  - {name: guests, when: {user: [anonymous, ftp], command: [STOR, APPE]}, then: deny, reply: 550 No uploads.}
  - {name: chmod, when: {command: SITE CHMOD}, then: deny}
  - {name: site, when: {command: SITE}, then: allow}
  - {name: no-active, when: {mode: active}, then: deny}
";

#[test]
fn the_first_rule_that_matches_decides_and_then_the_preset() {
    let guest = put(GUESTS, &of("FTP"), "STOR x");
    assert_eq!((guest.verdict, guest.rule.as_deref()), (Action::Deny, Some("guests")));
    assert_eq!(guest.reply.as_deref(), Some("550 No uploads."));
    assert_eq!(verdict(GUESTS, "STOR x"), "Allow -");
    assert_eq!(verdict(GUESTS, "SITE CHMOD 644 x"), "Deny chmod");
    // The preset alone would refuse it.
    assert_eq!(verdict(GUESTS, "SITE EXEC x"), "Allow site");
    assert_eq!(verdict(GUESTS, "XYZZY"), "Deny -");
    assert_eq!(verdict(GUESTS, "PORT 198,51,100,7,200,1"), "Deny no-active");
    let inside = Situation { client: "10.1.2.3".parse().unwrap(), ..of("adm-bob") };
    assert_eq!(put(GUESTS, &inside, "SITE CHMOD 644 x").verdict, Action::Allow);
}

#[test]
fn what_the_gateway_itself_refuses_no_rule_allows() {
    let all = "  - {name: all, then: allow}\n";
    assert_eq!(put(all, &of("alice"), "PORT 192,0,2,66,200,1").verdict, Action::Deny);
    let nobody = Situation { user: None, ..of("") };
    assert_eq!(put(all, &nobody, "PASV").verdict, Action::Deny);
}

const PRIVATE: &str = "  - {name: exe, when: {path: '*.exe'}, then: deny}
  - {name: private, when: {path: ['/private', '/private/**'], path_case: exact}, then: deny}
";

#[test]
fn a_path_is_followed_through_directories_and_back() {
    let inside = Situation { cwd: Some("/pub/deep".to_owned()), ..of("alice") };
    for (command, rule) in [
        ("RETR ../../private/x", Some("private")),
        ("RETR //private//x", Some("private")),
        ("RETR /pub/../private/./x", Some("private")),
        ("CWD /private", Some("private")),
        ("RETR /Private/x", None),
        ("RETR setup.EXE", Some("exe")),
        ("RNTO a.exe", Some("exe")),
        ("RETR x", None),
    ] {
        assert_eq!(put(PRIVATE, &inside, command).rule.as_deref(), rule, "{command}");
    }
}

#[test]
fn the_directory_is_what_the_server_agreed_to() {
    let mut pair = Pair::logged_in_with(policy(PRIVATE));
    // A command behind CWD waits for its reply: it decides what the command's path is.
    pair.client_raw(b"CWD /pub\r\nCWD ..\r\nDELE private/x\r\n").at_server("CWD /pub");
    pair.server("250 ok").at_server("CWD ..").server("550 no").at_server("DELE private/x");
    pair.server("250 ok").client("PWD").server("257 \"/\" is it").forget();
    pair.client("DELE private/x").at_server("").at_client("550 DELE is not allowed here.");
}

#[test]
fn a_rule_may_end_the_session() {
    let mut pair = Pair::greeted(policy("  - {name: scanners, when: {user: root}, then: close}\n"));
    pair.forget();
    pair.client("USER root").at_server("").at_client("421 This is not allowed here.");
    pair.did("command.denied rule; hang-up; session.closed rule; over");
}

#[test]
fn a_rule_by_protection_sees_what_the_client_has() {
    let tls = "tls: {mode: terminate, certificates: {chain: /c, key: /k}, min_protection: clear}";
    let text = format!(
        "version: 1\nservices: {{a: {{listen: 192.0.2.1:21, upstream: 10.0.0.5:21, {tls}}}}}\n\
         rules: [{{name: clear, when: {{tls: none, command: STOR}}, then: deny}}]\n"
    );
    let config = Config::parse("rules.yaml", &text).unwrap();
    let sent =
        |tls| trial::put(&config.services[0].policy, &Situation { tls: Some(tls), ..of("a") }, "STOR x");
    assert_eq!(sent(Tls::None).verdict, Action::Deny);
    assert_eq!(sent(Tls::Private).verdict, Action::Allow);
}

#[test]
fn mistakes_in_rules_and_tests_are_named() {
    let text = "\
users: {guests: [anonymous]}
rules:
  - {name: a, when: {user: '@gusts'}, then: deny}
  - {name: a, when: {service: b}, then: deny}
  - {name: b, when: {command: STOR X}, then: alow}
  - {name: c, when: {command: SITE CHMOD}, then: deny, reply: 250 fine}
  - {name: d, then: allow, reply: 550 no}
  - {name: e, then: close, reply: 550 no}
  - {name: f, when: {path: '/a/[b'}, then: deny}
tests:
  - {client: 1.2.3.4, send: NOOP, expect: deny, rule: z}
  - {client: 1.2.3, send: NOOP, expect: pass}
";
    let said = errors(text);
    let expected = [
        "rules.user: @gusts is no list (allowed: @guests)",
        "rules.name: a is the name of the rule at 5:12",
        "rules.when.service: b is no service of this file (allowed: a)",
        "rules.when.command: STOR X is more than a command",
        "rules.then: alow is not known here (allowed: allow, deny, close)",
        "rules.reply: 250 fine is not a reply for this",
        "rules.reply: is for then: deny and then: close",
        "rules.reply: 550 no is not a reply for this",
        "rules.when.path: /a/[b is not a pattern",
        "tests.rule: z is no rule of this file",
        "tests.client: 1.2.3 is not an address",
        "tests.expect: pass is not known here (allowed: allow, deny, close)",
    ];
    let found: Vec<_> = said.lines().collect();
    assert_eq!(found.len(), expected.len(), "{said}");
    for expected in expected {
        let plain = expected.replace("rules.user", "rules.when.user");
        assert!(said.contains(&plain), "{plain}\n{said}");
    }
}

fn program(args: &[&str]) -> (i32, String) {
    let output = Program::new(env!("CARGO_BIN_EXE_ftp-pinhole")).args(args).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_examples_pass_their_own_tests() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let (code, said) = program(&["test", rules.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("test result: ok."), "{said}");
}

#[test]
fn a_failed_test_says_where_it_stands_and_what_came() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.yaml");
    let text = "version: 1\nservices: {a: {listen: 192.0.2.1:21, upstream: 10.0.0.5:21}}\n\
                tests:\n  - {client: 198.51.100.7, user: bob, send: STOR x, expect: deny}\n";
    std::fs::write(&path, text).unwrap();
    let (code, said) = program(&["test", path.to_str().unwrap()]);
    let place = format!("{}:4:5: tests", path.display());
    assert_eq!(
        (code, said),
        (
            1,
            format!(
                "test a bob@198.51.100.7: STOR x ... FAILED\n  {place}\n  got: allow\n\ntest result: FAILED. 0 passed; 1 failed\n"
            )
        )
    );
    let (code, said) = program(&["explain", path.to_str().unwrap(), "--client", "198.51.100.7", "STOR x"]);
    assert_eq!(code, 1);
    assert_eq!(
        said,
        "no rule matches; the preset decides\nresult: deny, reason login-required, reply 530 Log in first., already at EPSV\n"
    );
}

/// Rules made of a few values each, so that many match.
fn some_rules() -> impl Strategy<Value = String> {
    let optional = |values: &'static [&'static str]| proptest::option::of(proptest::sample::select(values));
    let rule = (
        optional(&["10.0.0.0/8", "10.1.0.0/16", "[192.0.2.0/24, 10.2.0.0/16]"]),
        optional(&["alice", "'a*'", "[bob, carol]"]),
        optional(&["RETR", "[STOR, RETR]", "SITE", "SITE CHMOD"]),
        optional(&["'*.exe'", "'/pub/**'", "['/a', '/b/*']"]),
        optional(&["active", "passive"]),
        proptest::sample::select(&["allow", "deny", "close"][..]),
    );
    proptest::collection::vec(rule, 1..150).prop_map(|rules| {
        let mut text = String::new();
        for (number, (client, user, command, path, mode, then)) in rules.into_iter().enumerate() {
            let keys =
                [("client", client), ("user", user), ("command", command), ("path", path), ("mode", mode)];
            let keys = keys.iter().filter_map(|(key, value)| value.map(|value| format!("{key}: {value}")));
            let keys = keys.collect::<Vec<_>>().join(", ");
            writeln!(text, "  - {{name: r{number}, when: {{{keys}}}, then: {then}}}").unwrap();
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The compiled rules decide as reading them one by one does.
    #[test]
    fn the_index_and_the_list_decide_alike(
        rules in some_rules(),
        client in proptest::sample::select(&["10.0.0.1", "10.1.0.1", "192.0.2.1", "203.0.113.1"][..]),
        user in proptest::option::of(proptest::sample::select(&["alice", "Bob", "adam", "dave"][..])),
        command in proptest::sample::select(&["RETR", "STOR", "SITE", "SITE CHMOD", "NOOP"][..]),
        path in proptest::option::of(proptest::sample::select(&["/a", "/b/c", "/pub/x/y.exe", "/z.EXE"][..])),
        active in proptest::option::of(any::<bool>()),
    ) {
        let rules: Arc<Rules> = policy(&rules).rules;
        let client: IpAddr = client.parse().unwrap();
        let (verb, site) = command.split_once(' ').map_or((command, None), |(verb, site)| (verb, Some(site)));
        let facts = Facts {
            client,
            user,
            tls: Tls::None,
            name: CommandName { verb: verb.to_owned(), site: site.map(str::to_owned) },
            path: path.map(str::as_bytes),
            mode: active.map(|active| if active { TransferMode::Active } else { TransferMode::Passive }),
        };
        let standing = rules.standing(client, user);
        let expected = rules.list().iter().find(|rule| rule.when.unmet(&facts).is_none());
        prop_assert_eq!(rules.decide(&standing, &facts), expected);
    }
}
