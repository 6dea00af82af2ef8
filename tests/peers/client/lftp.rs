//! lftp: PASV, EPSV and PORT in IPv4, EPSV and EPRT in IPv6.
//!
//! Over `::1` it announces `::` in EPRT, and on some machines finds no IPv6 at all, so its IPv6 needs the
//! addresses of a network namespace.

use super::{Call, Client, Job, Protection, Security, Version};
use crate::namespace::{skip, test_name};
use crate::operation::Operation;
use crate::route::{Family, Setup};

/// lftp.
pub const LFTP: Client = Client { name: "lftp", programs: &["lftp"], setups, call };

fn setups(family: Family) -> &'static [Setup] {
    match family {
        Family::V4 => &[Setup::Pasv, Setup::Epsv, Setup::Port],
        Family::V6 if !family.gateway_ip().is_loopback() => &[Setup::Epsv, Setup::Eprt],
        Family::V6 => {
            skip(&test_name(), "lftp's IPv6 needs a network namespace");
            &[]
        }
    }
}

fn call(job: &Job) -> Option<Call> {
    let yes_no = |yes| if yes { "yes" } else { "no" };
    let command = match job.operation {
        Operation::Get(name) => format!("get \"{name}\""),
        Operation::Put(name) => format!("put \"{name}\""),
        Operation::Resume(name) => format!("get -c \"{name}\""),
        Operation::List => "ls".to_owned(),
        Operation::Rename { from, to } => format!("mv {from} {to}"),
        Operation::Delete(name) => format!("rm {name}"),
        Operation::MakeDir(name) => format!("mkdir {name}"),
    };
    let mut script = vec![
        "set net:timeout 10".to_owned(),
        "set net:max-retries 1".to_owned(),
        "set cmd:fail-exit yes".to_owned(),
        // Otherwise lftp dials its peer when a 227 names another address.
        "set ftp:fix-pasv-address no".to_owned(),
        format!("set ftp:passive-mode {}", yes_no(job.setup.passive())),
        format!("set ftp:prefer-epsv {}", yes_no(job.setup == Setup::Epsv)),
    ];
    match &job.tls {
        None => script.push("set ftp:ssl-allow no".to_owned()),
        Some(tls) => script.extend(security(tls)),
    }
    script.extend([
        format!("open -u {},{} {}://{}", job.login.user, job.login.password, job.scheme(), job.address),
        command,
        "bye".to_owned(),
    ]);
    Some(Call::of("lftp", ["--norc", "-c", &script.join("; ")]))
}

fn security(tls: &Security) -> [String; 6] {
    let protect = if tls.protection == Protection::Private { "yes" } else { "no" };
    let version = match tls.version {
        Version::V1_2 => "1.2",
        Version::V1_3 => "1.3",
    };
    [
        "set ftp:ssl-force yes".to_owned(),
        format!("set ftp:ssl-protect-data {protect}"),
        format!("set ftp:ssl-protect-list {protect}"),
        format!("set ssl:priority NORMAL:-VERS-ALL:+VERS-TLS{version}"),
        format!("set ssl:ca-file {}", tls.authority.display()),
        "set ssl:verify-certificate yes".to_owned(),
    ]
}
