//! One client before one server: version of TLS x entry x PROT level x set-up, so that each two of their values
//! meet, and in each such row a listing, a download and an upload.

use std::fs;
use std::time::Instant;

use super::rig::{Rig, Upstream};
use crate::client::Protection::{Clear, Private};
use crate::client::Version::{V1_2, V1_3};
use crate::client::{Client, Job, Protection, Security, Version};
use crate::matrix::{Ground, cell};
use crate::operation::Operation;
use crate::route::Setup::{self, Epsv, Pasv, Port};
use crate::server::Entry::{self, Explicit, Implicit};

type Row = (Setup, Version, Entry, Protection);

const ROWS: [Row; 6] = [
    (Pasv, V1_2, Explicit, Private),
    (Pasv, V1_3, Implicit, Clear),
    (Epsv, V1_2, Implicit, Clear),
    (Epsv, V1_3, Explicit, Private),
    (Port, V1_2, Explicit, Clear),
    (Port, V1_3, Implicit, Private),
];

/// curl never begins TLS on a data connection that it has accepted, gateway or not. In place of that row:
const ROWS_OF_CURL: [Row; 2] = [(Pasv, V1_3, Implicit, Private), (Port, V1_3, Implicit, Clear)];

const OPERATIONS: [Operation; 3] = [Operation::List, Operation::Get("data.bin"), Operation::Put("new.bin")];

/// Runs every row and fails with the names of those that failed.
pub fn run(client: &Client, upstream: Upstream) {
    let services = ["min_protection: private", "min_protection: control"];
    let services = services.map(|keys| format!("{keys}, {}", upstream.keys()));
    let services = services.each_ref().map(String::as_str);
    let Some(rig) = Rig::start(upstream, client.programs, &services) else { return };
    fs::create_dir(rig.dir().join("work")).expect("the directory is new");
    let ground = Ground { home: rig.home(), dir: rig.dir(), audit: Some(rig.audit()) };
    let mut failures = Vec::new();
    for ((setup, version, entry, protection), operation) in table(client) {
        let service = if protection == Private { 0 } else { 1 };
        let authority = rig.pki().path("authority.pem");
        let tls = Some(Security { entry, version, protection, authority });
        let job = Job { operation, setup, address: rig.address(service, entry), login: rig.login(), tls };
        let call = (client.call)(&job).expect("every client has these operations");
        let name = format!(
            "{} x {upstream:?}: {entry:?} TLS {version:?} PROT {protection:?} {setup:?} {operation}",
            client.name
        );
        let start = Instant::now();
        match cell(&ground, &job, &call) {
            Ok(()) => println!("ok {name} ({} ms)", start.elapsed().as_millis()),
            Err(why) => {
                println!("FAILED {name}: {why}");
                failures.push(name);
            }
        }
    }
    assert!(failures.is_empty(), "{} cells failed: {failures:#?}", failures.len());
}

fn table(client: &Client) -> Vec<(Row, Operation)> {
    let (last, rest) = ROWS.split_last().expect("there are rows");
    let last = if client.name == "curl" { &ROWS_OF_CURL[..] } else { std::slice::from_ref(last) };
    let with_operations = |row: &Row| OPERATIONS.map(|operation| (*row, operation));
    rest.iter().chain(last).flat_map(with_operations).collect()
}
