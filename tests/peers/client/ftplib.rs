//! Python's ftplib, by a script: every set-up command in IPv4; in IPv6 those that name a family.

use super::{Call, Client, Job};
use crate::operation::Operation;
use crate::route::{Family, Setup};

/// Python's ftplib.
pub const FTPLIB: Client = Client { name: "ftplib", programs: &["python3"], setups, call };

/// Arguments: host, port, user, password, set-up verb, operation, names.
const SCRIPT: &str = r#"
import ftplib, os, sys
host, port, user, password, verb, what, *names = sys.argv[1:]
ftp = ftplib.FTP(timeout=10, encoding="utf-8")
ftp.connect(host, int(port))
ftp.login(user, password)
ftp.set_pasv(verb in ("PASV", "EPSV"))
ftp.trust_server_pasv_ipv4_address = True
if ftp.sock.family == ftplib.socket.AF_INET and verb == "EPSV":
    ftp.makepasv = lambda: ftplib.parse229(ftp.sendcmd("EPSV"), ftp.sock.getpeername())
if verb == "EPRT":
    ftp.sendport = ftp.sendeprt
if what == "get":
    with open(names[0], "ab") as file:
        ftp.retrbinary("RETR " + names[0], file.write, rest=file.tell() or None)
elif what == "put":
    with open(names[0], "rb") as file:
        ftp.storbinary("STOR " + names[0], file)
elif what == "list":
    ftp.retrlines("LIST")
else:
    getattr(ftp, what)(*names)
ftp.quit()
"#;

fn setups(family: Family) -> &'static [Setup] {
    match family {
        Family::V4 => &[Setup::Pasv, Setup::Epsv, Setup::Port, Setup::Eprt],
        Family::V6 => &[Setup::Epsv, Setup::Eprt],
    }
}

fn call(job: &Job) -> Option<Call> {
    let (host, port) = (job.address.ip().to_string(), job.address.port().to_string());
    let login = [job.login.user, job.login.password, job.setup.verb()];
    let call = Call::of("python3", ["-c", SCRIPT, &host, &port]).and(login);
    Some(match job.operation {
        Operation::Get(name) | Operation::Resume(name) => call.and(["get", name]),
        Operation::Put(name) => call.and(["put", name]),
        Operation::List => call.and(["list"]),
        Operation::Rename { from, to } => call.and(["rename", from, to]),
        Operation::Delete(name) => call.and(["delete", name]),
        Operation::MakeDir(name) => call.and(["mkd", name]),
    })
}
