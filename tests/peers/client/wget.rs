//! wget fetches only: PASV and PORT in IPv4, EPSV and EPRT in IPv6.

use super::{Call, Client, Job};
use crate::operation::Operation;
use crate::route::{Family, Setup};

/// wget.
pub const WGET: Client = Client { name: "wget", programs: &["wget"], setups, call };

fn setups(family: Family) -> &'static [Setup] {
    match family {
        Family::V4 => &[Setup::Pasv, Setup::Port],
        Family::V6 => &[Setup::Epsv, Setup::Eprt],
    }
}

fn call(job: &Job) -> Option<Call> {
    let user = format!("--ftp-user={}", job.login.user);
    let password = format!("--ftp-password={}", job.login.password);
    let call =
        Call::of("wget", ["--no-config", "--no-proxy", "-nv", "-T", "10", "-t", "1", &user, &password]);
    let call = if job.setup.passive() { call } else { call.and(["--no-passive-ftp"]) };
    match job.operation {
        Operation::Get(name) => Some(call.and(["-O", name, &job.url(name)])),
        Operation::Resume(name) => Some(call.and(["-c", "-O", name, &job.url(name)])),
        Operation::List => Some(call.and(["-O", "-", &job.url("")])),
        _ => None,
    }
}
