//! Python's ftplib, by a script: every set-up command in IPv4; in IPv6 those that name a family.

use super::{Call, Client, Job, Protection, Security, Version};
use crate::operation::Operation;
use crate::route::{Family, Setup};
use crate::server::Entry;

/// Python's ftplib.
pub const FTPLIB: Client = Client { name: "ftplib", programs: &["python3"], setups, call };

/// Arguments: host, port, user, password, set-up verb, how it is protected (entry, version, PROT level and
/// authority, or nothing), operation, names.
const SCRIPT: &str = r#"
import ftplib, os, ssl, sys
host, port, user, password, verb, security, what, *names = sys.argv[1:]

# By itself ftplib resumes no session, and cannot begin with TLS.
class Secure(ftplib.FTP_TLS):
    implicit = False

    @property
    def sock(self):
        return self._sock

    @sock.setter
    def sock(self, sock):
        if self.implicit and sock is not None and not isinstance(sock, ssl.SSLSocket):
            sock = self.context.wrap_socket(sock, server_hostname=self.host)
        self._sock = sock

    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=self.sock.session)
        return conn, size

if security:
    entry, version, level, authority = security.split(" ", 3)
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
    ftp = Secure(timeout=10, encoding="utf-8", context=context)
    ftp.implicit = entry == "implicit"
else:
    ftp = ftplib.FTP(timeout=10, encoding="utf-8")
ftp.connect(host, int(port))
ftp.login(user, password)
if security:
    # prot_c() forgets it (RFC 4217 section 9).
    ftp.voidcmd("PBSZ 0")
    ftp.prot_p() if level == "P" else ftp.prot_c()
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
    for name in names:
        with open(name, "rb") as file:
            ftp.storbinary("STOR " + name, file)
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
    let security = job.tls.as_ref().map_or_else(String::new, security);
    let login = [job.login.user, job.login.password, job.setup.verb(), &security];
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

fn security(tls: &Security) -> String {
    let entry = if tls.entry == Entry::Implicit { "implicit" } else { "explicit" };
    let version = match tls.version {
        Version::V1_2 => "TLSv1_2",
        Version::V1_3 => "TLSv1_3",
    };
    let level = if tls.protection == Protection::Private { "P" } else { "C" };
    format!("{entry} {version} {level} {}", tls.authority.display())
}
