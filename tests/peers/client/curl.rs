//! curl: every set-up command in IPv4; in IPv6 those that name a family.

use super::{Call, Client, Job, Protection, Security, Version};
use crate::operation::Operation;
use crate::route::{Family, Setup};

/// curl.
pub const CURL: Client = Client { name: "curl", programs: &["curl"], setups, call };

fn setups(family: Family) -> &'static [Setup] {
    match family {
        Family::V4 => &[Setup::Pasv, Setup::Epsv, Setup::Port, Setup::Eprt],
        Family::V6 => &[Setup::Epsv, Setup::Eprt],
    }
}

fn call(job: &Job) -> Option<Call> {
    let user = format!("{}:{}", job.login.user, job.login.password);
    // The address in a 227 counts: curl would rather not look at it.
    let setup: &[&str] = match job.setup {
        Setup::Pasv => &["--disable-epsv", "--no-ftp-skip-pasv-ip"],
        Setup::Epsv => &[],
        Setup::Port => &["--ftp-port", "-", "--disable-eprt"],
        Setup::Eprt => &["--ftp-port", "-"],
    };
    let call = Call::of("curl", ["-q", "-sS", "-m", "30", "-u", &user]).and(setup.iter().copied());
    let call = call.and(job.tls.iter().flat_map(security).collect::<Vec<_>>().iter().map(String::as_str));
    let quoted = |commands: &[String]| {
        commands.iter().fold(Call { args: call.args.clone(), ..Call::of("curl", []) }, |call, command| {
            call.and(["-Q", command])
        })
    };
    Some(match job.operation {
        Operation::Get(name) => call.and(["-o", name, &job.url(name)]),
        Operation::Put(name) => call.and(["-T", name, &job.url(name)]),
        Operation::Resume(name) => call.and(["-C", "-", "-o", name, &job.url(name)]),
        Operation::List => call.and([job.url("").as_str()]),
        Operation::Rename { from, to } => {
            quoted(&[format!("RNFR {from}"), format!("RNTO {to}")]).and([job.url("").as_str()])
        }
        Operation::Delete(name) => quoted(&[format!("DELE {name}")]).and([job.url("").as_str()]),
        Operation::MakeDir(name) => quoted(&[format!("MKD {name}")]).and([job.url("").as_str()]),
    })
}

fn security(tls: &Security) -> [String; 6] {
    let (least, most) = match tls.version {
        Version::V1_2 => ("--tlsv1.2", "1.2"),
        Version::V1_3 => ("--tlsv1.3", "1.3"),
    };
    let wanted = match tls.protection {
        Protection::Private => "--ssl-reqd",
        Protection::Clear => "--ftp-ssl-control",
    };
    let authority = tls.authority.display().to_string();
    [wanted, least, "--tls-max", most, "--cacert", &authority].map(str::to_owned)
}
