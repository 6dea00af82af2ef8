//! Servers that know CCC: ProFTPD and Pure-FTPd. Both insist on TLS for the login.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Group, find, start_daemon};
use crate::server::{Kind as Plain, Login, Ports, open_to_all};

/// A server program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Proftpd,
    PureFtpd,
}

/// Who may log in at both, and what `crypt` makes of the password.
pub const LOGIN: Login = Login { user: "tester", password: "secret" };
const PASSWORD_HASH: &str =
    "$6$pinhole$hAxpsPPcvC1MW06bMq5n6bJr7q9YVG/RbCeHn3InFJL6R27ERo5.pGxlYlABa4/d.MB.X5RwiV7rLtskA0b890";

/// Where a server listens and what it says of that.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub address: SocketAddr,
    pub ports: Ports,
    /// The address that it names in passive mode.
    pub named: IpAddr,
}

impl Kind {
    /// Why this server cannot run here, if it cannot.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Proftpd => Plain::Proftpd.missing().or_else(|| {
                let module = modules().join("mod_tls.so");
                (!module.is_file()).then(|| "proftpd's mod_tls is not installed".to_owned())
            }),
            Self::PureFtpd => Plain::PureFtpd.missing(),
        }
    }

    /// Starts it over `dir/home`.
    pub fn start(self, place: Place, dir: &Path) -> Group {
        let certificate =
            rcgen::generate_simple_self_signed(["server.test".to_owned()]).expect("the name is good");
        let (chain, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
        let both = write(dir, "server.pem", &format!("{chain}{key}"));
        let mut command = match self {
            Self::Proftpd => proftpd(dir, place, &both),
            Self::PureFtpd => pure_ftpd(dir, place, &both),
        };
        start_daemon(&mut command, &[place.address], &dir.join("server.log"))
    }
}

/// Clients need not resume the session: lftp does not once the control connection is clear.
fn proftpd(dir: &Path, place: Place, certificate: &Path) -> Command {
    let home = dir.join("home");
    let user = format!("{}:{PASSWORD_HASH}:0:0::{}:/bin/sh\n", LOGIN.user, home.display());
    let (users, groups) = (write(dir, "users", &user), write(dir, "groups", "root:x:0:\n"));
    let [low, high] = place.ports;
    let text = format!(
        "ServerName test\nServerType standalone\nUseIPv6 on\nDefaultAddress {}\nPort {}\nUser root\nGroup root\n\
         RootLogin on\nAuthOrder mod_auth_file.c\nAuthUserFile {}\nAuthGroupFile {}\nRequireValidShell off\n\
         PidFile {dir}/pid\nScoreboardFile {dir}/scoreboard\nDelayEngine off\nSystemLog {dir}/log\n\
         TransferLog none\nWtmpLog off\nUseReverseDNS off\nAllowOverwrite on\nTimeoutLinger 1\n\
         PassivePorts {low} {high}\nMasqueradeAddress {}\nModulePath {}\nLoadModule mod_tls.c\nTLSEngine on\n\
         TLSRequired auth\nTLSOptions NoSessionReuseRequired\nTLSECCertificateFile {certificate}\n\
         TLSECCertificateKeyFile {certificate}\n",
        place.address.ip(),
        place.address.port(),
        users.display(),
        groups.display(),
        place.named,
        modules().display(),
        dir = dir.display(),
        certificate = certificate.display(),
    );
    let mut command = program("proftpd");
    command.args(["-n", "-q", "-c"]).arg(write(dir, "proftpd.conf", &text));
    command
}

fn pure_ftpd(dir: &Path, place: Place, certificate: &Path) -> Command {
    let user = format!("{}:{PASSWORD_HASH}:1:1::{}/./::::::::::::\n", LOGIN.user, dir.join("home").display());
    let (users, database) = (write(dir, "users", &user), dir.join("users.pdb"));
    let made = program("pure-pw").arg("mkdb").arg(&database).arg("-f").arg(users).status();
    assert!(made.is_ok_and(|status| status.success()), "pure-pw cannot make a user database");
    let [low, high] = place.ports;
    let mut command = program("pure-ftpd");
    command.args(["-H", "-E", "-u", "1", "-S", &format!("{},{}", place.address.ip(), place.address.port())]);
    command.arg("-l").arg(format!("puredb:{}", database.display())).arg("-g").arg(dir.join("pid"));
    command.args(["-p", &format!("{low}:{high}"), "-P", &place.named.to_string()]);
    command.args(["-Y", "2", "-2"]).arg(certificate);
    command
}

/// Where ProFTPD's modules lie, beside the program.
fn modules() -> PathBuf {
    let program = find("proftpd").unwrap_or_default();
    program.parent().unwrap_or(Path::new("")).join("../lib/proftpd")
}

fn program(name: &str) -> Command {
    Command::new(find(name).expect("missing() has looked for it"))
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, text).expect("the server's directory takes files");
    open_to_all(&file, 0o600);
    file
}
