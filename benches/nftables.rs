//! Opening and closing a pinhole in nftables: four elements in one transaction, while many others are open.
//! `cargo bench --bench nftables`
//!
//! Runs in a network namespace of its own, as root or in a user namespace; where none can be made it prints
//! `SKIP`. The sizes take turns, so that a disturbance of the machine hits all of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a measurement that fails shall stop

use std::env;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ftp_pinhole::config::Config;
use ftp_pinhole::firewall::nftables::ruleset;
use ftp_pinhole::netlink::{Change, Data, Element, Nft};

/// Set inside the namespace.
const INSIDE: &str = "FTP_PINHOLE_BENCH_INSIDE";
/// How many sets of four elements are open.
const SIZES: [u32; 3] = [1, 1_000, 100_000];
/// Measured operations per size.
const OPERATIONS: u32 = 10_000;
/// As many sets of elements go into one transaction while the table is filled.
const CHUNK: u32 = 1_000;

fn main() {
    if env::var_os(INSIDE).is_some() {
        return measure();
    }
    let program = env::current_exe().unwrap();
    let ways: [&[&str]; 2] = [&["-n"], &["-Urn"]];
    let works = |way: &&&[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(**way).args(["nft", "list", "ruleset"]).stdout(Stdio::null()).stderr(Stdio::null());
        unshare.status().is_ok_and(|status| status.success())
    };
    match ways.iter().find(works) {
        None => println!("SKIP nftables: no network namespace, or no nft(8)"),
        Some(way) => {
            let status = Command::new("unshare").args(*way).arg(program).env(INSIDE, "1").status();
            assert!(status.unwrap().success());
        }
    }
}

fn measure() {
    println!("{:>9}  {:>24}  {:>24}", "", "open, us", "close, us");
    println!("{:>9}  {:>7} {:>7} {:>8}  {:>7} {:>7} {:>8}", "open", "p50", "p99", "max", "p50", "p99", "max");
    // Before any element is there: nft(8) may read them all in.
    SIZES.into_iter().for_each(|size| load(&ruleset(size)));
    let mut lanes = SIZES.map(Lane::new);
    for operation in 0..OPERATIONS {
        lanes.iter_mut().for_each(|lane| lane.once(operation));
    }
    lanes.into_iter().for_each(Lane::report);
}

/// A table with `size` pinholes open.
struct Lane {
    size: u32,
    nft: Nft,
    opened: Vec<Duration>,
    closed: Vec<Duration>,
}

impl Lane {
    fn new(size: u32) -> Self {
        let mut nft = Nft::connect(&table_name(size)).unwrap();
        for first in (0..size).step_by(usize::try_from(CHUNK).unwrap()) {
            let numbers = first..size.min(first + CHUNK);
            let changes: Vec<_> = numbers.flat_map(elements).map(Change::Add).collect();
            nft.apply(&changes).unwrap();
        }
        Self { size, nft, opened: Vec::new(), closed: Vec::new() }
    }

    /// Opens and closes one more.
    fn once(&mut self, operation: u32) {
        let added = elements(self.size + operation).map(Change::Add);
        let removed = elements(self.size + operation).map(Change::Remove);
        let begun = Instant::now();
        self.nft.apply(&added).unwrap();
        let opened = Instant::now();
        self.nft.apply(&removed).unwrap();
        self.closed.push(opened.elapsed());
        self.opened.push(opened - begun);
    }

    fn report(self) {
        let row = [self.opened, self.closed].map(|mut times| {
            times.sort();
            let us = |at: usize| times[at].as_secs_f64() * 1e6;
            let (count, last) = (times.len(), times.len() - 1);
            format!("{:>7.1} {:>7.1} {:>8.1}", us(count / 2), us(count * 99 / 100), us(last))
        });
        println!("{:>9}  {}  {}", self.size, row[0], row[1]);
    }
}

fn table_name(size: u32) -> String {
    format!("bench{size}")
}

/// The elements of pinhole `n` in passive mode: target and source of the translation, direction, gate.
fn elements(n: u32) -> [Element; 4] {
    let client: IpAddr = Ipv4Addr::from(0x0a00_0000 + n).into();
    let gateway: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    let key = Data::new().ip(client).ip(gateway).port(50_000);
    [
        Element::new("to4", key).value(Data::new().ip(gateway).port(30_001)),
        Element::new("from4", key).value(Data::new().ip(gateway)),
        Element::new("reply4", key),
        Element::new("gate4", key),
    ]
    .map(|element| element.timeout(Duration::from_secs(600)))
}

/// The gateway's own table.
fn ruleset(size: u32) -> String {
    let rules = format!(
        "version: 1\ngateway: {{nftables: {{table: {}}}}}\nservices:\n  a: {{listen: \"192.0.2.1:21\", \
         upstream: \"10.0.0.5:21\", data_path: nftables, limits: {{sessions: 120000}}}}\n",
        table_name(size)
    );
    let group = ruleset::FIRST_GROUP;
    ruleset::render(&Config::parse("bench", &rules).unwrap(), group)
}

fn load(ruleset: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(ruleset.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success());
}
