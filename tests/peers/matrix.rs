//! Runs the matrix of one client and one server: routes x set-ups x operations.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::audit::Audit;
use crate::client::{Call, Client, Job};
use crate::gateway::{Rig, Via};
use crate::operation::{self, Operation, need};
use crate::process::{find, run as run_command};
use crate::route::{Route, Setup};
use crate::server::Kind;

/// Runs every cell, prints a line for each, and fails with the list of those that failed.
pub fn run(client: &Client, kind: Kind, via: Via) {
    let Some(rig) = Rig::start(kind, client.programs, via) else { return };
    fs::create_dir(rig.dir().join("work")).expect("the directory is new");
    let ground = Ground { home: rig.home(), dir: rig.dir(), audit: rig.audit() };
    let mut cells = 0;
    let mut failures = Vec::new();
    for (route, setup, operation) in table(client, &rig) {
        let job = Job { operation, setup, address: rig.address(route), login: rig.login(), tls: None };
        let Some(call) = (client.call)(&job) else { continue };
        let name = format!("{} x {kind:?} {via:?} {route} {setup:?} {operation}", client.name);
        let start = Instant::now();
        cells += 1;
        match cell(&ground, &job, &call) {
            Ok(()) => println!("ok {name} ({} ms)", start.elapsed().as_millis()),
            Err(why) => {
                println!("FAILED {name}: {why}");
                failures.push(name);
            }
        }
    }
    println!("{cells} cells, {} failed", failures.len());
    assert!(cells > 0, "the client has no cell");
    assert!(failures.is_empty(), "{} of {cells} cells failed: {failures:#?}", failures.len());
}

fn table(client: &Client, rig: &Rig) -> Vec<(Route, Setup, Operation)> {
    let setups = |route: &Route| {
        let route = *route;
        (client.setups)(route.client).iter().map(move |setup| (route, *setup))
    };
    let cell = |(route, setup)| operation::ALL.into_iter().map(move |operation| (route, setup, operation));
    rig.routes().iter().flat_map(setups).flat_map(cell).collect()
}

/// Where a cell runs.
pub struct Ground<'a> {
    /// The server's files.
    pub home: &'a Path,
    /// The client's directory, with an empty one called `work` in it.
    pub dir: &'a Path,
    /// What the gateway records, if there is one.
    pub audit: Option<&'a Audit>,
}

/// Runs one client for one operation; `Err(why)` unless files and records are as they have to be.
pub fn cell(ground: &Ground, job: &Job, call: &Call) -> Result<(), String> {
    let (home, work) = (ground.home, ground.dir.join("work"));
    job.operation.prepare(home, &work);
    let mark = ground.audit.map(Audit::mark);
    let mut command = Command::new(find(call.program).expect("missing programs have been looked for"));
    command.args(&call.args).current_dir(&work);
    let finished = run_command(&mut command, &call.input, &ground.dir.join("client.log"));
    let told = |why| format!("{why}; the client said: {}", finished.output);
    need(finished.success, "the client failed").map_err(told)?;
    job.operation.check(home, &work, &finished.output).map_err(told)?;
    match ground.audit.zip(mark) {
        Some((audit, mark)) => audit.verify(mark, job.setup, job.operation.transfer()).map_err(told),
        None => Ok(()),
    }
}
