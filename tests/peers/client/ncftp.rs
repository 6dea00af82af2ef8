//! ncftpget, ncftpput and ncftpls: PASV and PORT; they know no IPv6.

use super::{Call, Client, Job};
use crate::operation::Operation;
use crate::route::{Family, Setup};

/// The ncftp tools.
pub const NCFTP: Client =
    Client { name: "ncftp", programs: &["ncftpget", "ncftpput", "ncftpls"], setups, call };

fn setups(family: Family) -> &'static [Setup] {
    match family {
        Family::V4 => &[Setup::Pasv, Setup::Port],
        Family::V6 => &[],
    }
}

fn call(job: &Job) -> Option<Call> {
    let (host, port) = (job.host(), job.address.port().to_string());
    let mode = if job.setup == Setup::Pasv { "-F" } else { "-E" };
    let login = ["-u", job.login.user, "-p", job.login.password, "-P", &port, "-t", "10", "-r", "1", mode];
    let get = Call::of("ncftpget", login).and(["-V", "-C", &host]);
    let put = Call::of("ncftpput", login).and(["-V", "-C", &host]);
    // Its usual listing is `NLST -CF`, which some servers take for the name of a file.
    let list = Call::of("ncftpls", login).and(["-l"]);
    let url = format!("ftp://{host}/");
    Some(match job.operation {
        Operation::Get(name) | Operation::Resume(name) => get.and([name, name]),
        Operation::Put(name) => put.and([name, name]),
        Operation::List => list.and([url.as_str()]),
        Operation::Rename { from, to } => {
            let (from, to) = (format!("RNFR {from}"), format!("RNTO {to}"));
            list.and(["-W", &from, "-W", &to, &url])
        }
        Operation::Delete(name) => list.and(["-W", &format!("DELE {name}"), &url]),
        Operation::MakeDir(name) => list.and(["-W", &format!("MKD {name}"), &url]),
    })
}
