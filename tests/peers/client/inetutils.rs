//! GNU inetutils' ftp, by its prompt: every set-up command in IPv4; in IPv6 those that name a family.

use super::{Call, Client, Job};
use crate::operation::Operation;
use crate::route::{Family, Setup};

/// inetutils' ftp. It always ends with status 0: only the files and its output tell.
pub const INETUTILS: Client = Client { name: "inetutils", programs: &["inetutils-ftp"], setups, call };

fn setups(family: Family) -> &'static [Setup] {
    match family {
        Family::V4 => &[Setup::Pasv, Setup::Epsv, Setup::Port, Setup::Eprt],
        Family::V6 => &[Setup::Epsv, Setup::Eprt],
    }
}

fn call(job: &Job) -> Option<Call> {
    let command = match job.operation {
        Operation::Get(name) => format!("get \"{name}\" \"{name}\""),
        Operation::Put(name) => format!("put \"{name}\" \"{name}\""),
        Operation::Resume(name) => format!("reget {name}"),
        Operation::List => "ls".to_owned(),
        Operation::Rename { from, to } => format!("rename {from} {to}"),
        Operation::Delete(name) => format!("delete {name}"),
        Operation::MakeDir(name) => format!("mkdir {name}"),
    };
    let extended = matches!(job.setup, Setup::Epsv | Setup::Eprt) && job.address.is_ipv4();
    let epsv4 = if extended { "epsv4\n" } else { "" };
    let user = format!("user {} {}", job.login.user, job.login.password);
    let mode = if job.setup.passive() { "-p" } else { "-A" };
    let (host, port) = (job.address.ip().to_string(), job.address.port().to_string());
    let call = Call::of("inetutils-ftp", ["-n", "-i", "-v", mode, &host, &port]);
    Some(call.input(format!("{user}\nbinary\n{epsv4}{command}\nbye\n")))
}
