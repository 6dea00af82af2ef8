//! Clients that speak FTPS and take any certificate: curl, one run for each step, and Python's ftplib, one session
//! for all of them.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::host::{Host, program};
use crate::lab::FTP;
use crate::operation::content;
use crate::process::{Finished, run};
use crate::server::Login;

/// Who may log in at every server of these tests.
pub(super) const LOGIN: Login = Login { user: "anonymous", password: "tester@example.org" };

/// A client program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    Curl,
    Ftplib,
}

/// How curl is to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// No TLS at all.
    Plain,
    /// TLS for the control connection (PROT C).
    Control,
    /// TLS for everything (PROT P).
    All,
}

/// Arguments: host, user, password. It resumes the control connection's session for data, unlike ftplib itself.
const SCRIPT: &str = r#"
import ftplib, ssl, sys
class Client(ftplib.FTP_TLS):
    def ntransfercmd(self, command, rest=None):
        data, size = ftplib.FTP.ntransfercmd(self, command, rest)
        return self.context.wrap_socket(data, session=self.sock.session), size
host, user, password = sys.argv[1:]
ftp = Client(timeout=10, context=ssl._create_unverified_context())
ftp.trust_server_pasv_ipv4_address = True
ftp.connect(host, 21)
ftp.login(user, password)
ftp.prot_p()
ftp.retrlines("LIST")
with open("data.bin", "wb") as file:
    ftp.retrbinary("RETR data.bin", file.write)
with open("new.bin", "rb") as file:
    ftp.storbinary("STOR new.bin", file)
ftp.quit()
"#;

/// A host's client with a directory of its own.
pub(super) struct Client<'a> {
    host: &'a Host,
    dir: TempDir,
}

impl<'a> Client<'a> {
    pub(super) fn on(host: &'a Host) -> Self {
        let dir = tempfile::tempdir().expect("temporary directories can be made");
        fs::create_dir(dir.path().join("work")).expect("the directory is new");
        Self { host, dir }
    }

    /// Lists, downloads and uploads; panics when one of them fails or a byte is not as it was.
    pub(super) fn do_all(&self, program: Program, ip: IpAddr, home: &Path) {
        match program {
            Program::Ftplib => {
                self.lay_out(home);
                self.ftplib(ip);
                self.check(home);
            }
            Program::Curl => self.curl_all(ip, Protection::All, home),
        }
    }

    /// The same with curl and less protection.
    pub(super) fn curl_all(&self, ip: IpAddr, protection: Protection, home: &Path) {
        self.lay_out(home);
        for what in [&[][..], &["-o", "data.bin"], &["-T", "new.bin"]] {
            let done = self.curl(ip, protection, what);
            assert!(done.success, "curl {what:?} fails: {}", done.output);
            assert!(!what.is_empty() || done.output.contains("data.bin"), "the listing is {}", done.output);
        }
        self.check(home);
    }

    /// One run; without `what` it lists.
    pub(super) fn curl(&self, ip: IpAddr, protection: Protection, what: &[&str]) -> Finished {
        let mut command = program("curl");
        command.args(["-q", "-sv", "-m", "30", "-k", "-u", &format!("{}:{}", LOGIN.user, LOGIN.password)]);
        command.args(match protection {
            Protection::Plain => &[][..],
            Protection::Control => &["--ftp-ssl-control"],
            Protection::All => &["--ssl-reqd"],
        });
        // Under TLS 1.3 it closes before the server's tickets have come: they are answered with a reset, which may
        // overtake the file, with or without a gateway.
        command.args(["--tls-max", "1.2"]);
        let name = what.last().unwrap_or(&"");
        command.args(what).arg(format!("ftp://{}/{name}", SocketAddr::new(ip, FTP)));
        self.run(&mut command)
    }

    fn ftplib(&self, ip: IpAddr) {
        let mut command = program("python3");
        let done = self.run(command.args(["-c", SCRIPT, &ip.to_string(), LOGIN.user, LOGIN.password]));
        assert!(done.success && done.output.contains("data.bin"), "ftplib fails: {}", done.output);
    }

    fn run(&self, command: &mut Command) -> Finished {
        let work = self.dir.path().join("work");
        self.host.run(|| run(command.current_dir(work), "", &self.dir.path().join("log")))
    }

    fn lay_out(&self, home: &Path) {
        let stale = [home.join("new.bin"), self.dir.path().join("work/data.bin")];
        // They are not there the first time.
        stale.iter().for_each(|path| drop(fs::remove_file(path)));
        fs::write(self.dir.path().join("work/new.bin"), content("new.bin"))
            .expect("the directory takes files");
    }

    fn check(&self, home: &Path) {
        let read = |path| fs::read(path).unwrap_or_default();
        assert!(
            read(self.dir.path().join("work/data.bin")) == content("data.bin"),
            "the file arrives changed"
        );
        assert!(read(home.join("new.bin")) == content("new.bin"), "the file is stored changed");
    }
}
