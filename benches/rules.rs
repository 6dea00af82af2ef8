//! What a decision costs with 10, 1,000 and 10,000 rules. `cargo bench --bench rules`
//!
//! No rule matches, which is the longest way, and an upload names a path.

#![allow(clippy::unwrap_used)] // a measurement that fails shall stop

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ftp_pinhole::config::Config;
use ftp_pinhole::policy::TransferMode;
use ftp_pinhole::policy::rules::{CommandName, Facts, Tls};

fn rules(count: usize) -> String {
    let rule = |number: usize| {
        let (high, low) = (number / 256 % 256, number % 256);
        let when = match number % 4 {
            0 => format!("client: 10.{high}.{low}.0/24, command: [STOR, APPE]"),
            1 => format!("user: [user-{number}, 'team-{number}-*'], command: STOR"),
            2 => format!("command: RETR, user: guest-{number}"),
            _ => format!("command: STOR, path: '/dir-{number}/**'"),
        };
        format!("  - {{name: r{number}, when: {{{when}}}, then: deny}}\n")
    };
    (0..count).map(rule).collect()
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for count in [10, 1000, 10_000] {
        let text = format!(
            "version: 1\nservices: {{a: {{listen: 192.0.2.1:21, upstream: 10.0.0.5:21}}}}\nrules:\n{}",
            rules(count)
        );
        let config = Config::parse("rules.yaml", &text).unwrap();
        let rules = &config.services.first().unwrap().policy.rules;
        let client = "198.51.100.7".parse().unwrap();
        let standing = rules.standing(client, Some("alice"));
        for (verb, path) in [("NOOP", None), ("RETR", Some(&b"/pub/x"[..])), ("STOR", Some(b"/pub/x"))] {
            let name = CommandName { verb: verb.to_owned(), site: None };
            let facts = Facts {
                client,
                user: Some("alice"),
                tls: Tls::None,
                name,
                path,
                mode: Some(TransferMode::Passive),
            };
            group.bench_with_input(BenchmarkId::new(verb, count), &facts, |bencher, facts| {
                bencher.iter(|| rules.decide(black_box(&standing), black_box(facts)));
            });
        }
        group.bench_function(BenchmarkId::new("login", count), |bencher| {
            bencher.iter(|| rules.standing(black_box(client), black_box(Some("alice"))));
        });
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
