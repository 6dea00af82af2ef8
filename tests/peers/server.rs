//! The servers: each started for one test, once in each family, over one home directory.

use std::fs::{self, Permissions};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Group, find, free_port, start_daemon, start_silent_daemon};
use crate::route::Family;

/// A server program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Vsftpd,
    Proftpd,
    PureFtpd,
    Pyftpdlib,
}

/// The user of all servers but vsftpd, and the password.
const LOGIN: Login = Login { user: "tester", password: "secret" };
/// What `crypt` makes of the password.
const PASSWORD_HASH: &str =
    "$6$pinhole$hAxpsPPcvC1MW06bMq5n6bJr7q9YVG/RbCeHn3InFJL6R27ERo5.pGxlYlABa4/d.MB.X5RwiV7rLtskA0b890";

/// The first and the last port of a server's passive range.
pub type Ports = [u16; 2];

/// TLS of a server.
#[derive(Debug, Clone)]
pub struct Encryption {
    /// Its certificate, PEM.
    pub chain: PathBuf,
    /// The certificate's key, PEM.
    pub key: PathBuf,
    /// Both in one file.
    pub both: PathBuf,
    pub entry: Entry,
    /// Whether it turns plain clients away. Those under TLS have to resume their session in any case, where
    /// the server knows how to ask for that.
    pub required: bool,
}

/// How TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// With AUTH TLS.
    Explicit,
    /// With the first byte.
    Implicit,
}

/// What a server is to be besides itself.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    pub passive: Option<Ports>,
    pub tls: Option<Encryption>,
}

/// A user name and its password.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    pub user: &'static str,
    pub password: &'static str,
}

impl Kind {
    /// Who may log in.
    pub fn login(self) -> Login {
        match self {
            // vsftpd knows other users only from the machine's own accounts.
            Self::Vsftpd => Login { user: "anonymous", password: "tester@example.org" },
            Self::Proftpd | Self::PureFtpd | Self::Pyftpdlib => LOGIN,
        }
    }

    /// Why this server cannot run here, if it cannot.
    pub fn missing(self) -> Option<String> {
        let needs = match self {
            Self::Vsftpd => &["vsftpd"][..],
            Self::Proftpd => &["proftpd"],
            Self::PureFtpd => &["pure-ftpd", "pure-pw"],
            Self::Pyftpdlib => return (!has_pyftpdlib()).then(|| "pyftpdlib is not installed".to_owned()),
        };
        if let Some(program) = needs.iter().find(|program| find(program).is_none()) {
            return Some(format!("{program} is not installed"));
        }
        (self == Self::PureFtpd && ids() < 2).then(|| "pure-ftpd needs a second user id".to_owned())
    }

    /// Why this server has no TLS here, if it has none.
    pub fn lacks_tls(self) -> Option<String> {
        match self {
            Self::Vsftpd | Self::PureFtpd => None,
            Self::Proftpd => (!modules().join("mod_tls.so").is_file())
                .then(|| "proftpd's mod_tls is not installed".to_owned()),
            Self::Pyftpdlib => Some("pyftpdlib is not set up for TLS here".to_owned()),
        }
    }

    fn command(self, home: &Path, dir: &Path, address: SocketAddr, wishes: &Wishes) -> Command {
        match self {
            Self::Vsftpd => vsftpd(home, dir, address, wishes),
            Self::Proftpd => proftpd(home, dir, address, wishes),
            Self::PureFtpd => pure_ftpd(home, dir, address, wishes),
            Self::Pyftpdlib => pyftpdlib(home, address, wishes),
        }
    }
}

/// A running server.
pub struct Server {
    kind: Kind,
    home: PathBuf,
    instances: Vec<Instance>,
    // Last, so that it outlives the processes.
    _dir: TempDir,
}

struct Instance {
    family: Family,
    address: SocketAddr,
    process: Group,
}

impl Server {
    /// Starts one instance in each family that the machine has.
    pub fn start(kind: Kind) -> Self {
        let families = [Family::V4, Family::V6].into_iter().filter(|family| family.available());
        let ips = families.map(Family::server_ip);
        Self::start_at(kind, ips.map(|ip| SocketAddr::new(ip, free_port(ip))))
    }

    /// Starts one instance at each of these addresses, which are of different families.
    pub fn start_at(kind: Kind, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self::start_with(kind, addresses, &Wishes::default())
    }

    /// The same with something special.
    pub fn start_with(kind: Kind, addresses: impl IntoIterator<Item = SocketAddr>, wishes: &Wishes) -> Self {
        let dir = tempfile::tempdir().expect("temporary directories can be made");
        let home = dir.path().join("home");
        fs::create_dir(&home).expect("a new directory is empty");
        open_to_all(dir.path(), 0o755);
        open_to_all(&home, 0o777);
        let start = |address| Instance::start(kind, address, wishes, &home, dir.path());
        let instances = addresses.into_iter().map(start).collect();
        Self { kind, home, instances, _dir: dir }
    }

    /// Ends it and all of its sessions.
    #[allow(dead_code, reason = "only the FTPS tests do")]
    pub fn kill(&mut self) {
        self.instances.iter_mut().for_each(|instance| instance.process.kill());
    }

    /// The directory in which a session starts.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Who may log in.
    pub fn login(&self) -> Login {
        self.kind.login()
    }

    /// Which program it is.
    #[allow(dead_code, reason = "only the net tests ask")]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The control port of a family.
    pub fn address(&self, family: Family) -> SocketAddr {
        let instance = self.instances.iter().find(|instance| instance.family == family);
        instance.expect("routes are of families that the machine has").address
    }
}

impl Instance {
    fn start(kind: Kind, address: SocketAddr, wishes: &Wishes, home: &Path, dir: &Path) -> Self {
        let family = Family::of(address.ip());
        let dir = dir.join(format!("{family:?}"));
        fs::create_dir(&dir).expect("each family has one instance");
        let mut command = kind.command(home, &dir, address, wishes);
        let implicit = wishes.tls.as_ref().is_some_and(|tls| tls.entry == Entry::Implicit);
        let start = if implicit { start_silent_daemon } else { start_daemon };
        let process = start(&mut command, &[address], &dir.join("output"));
        Self { family, address, process }
    }
}

/// Lets the server's own user in, whoever that is.
pub fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the test owns its files");
}

fn program(name: &str) -> Command {
    Command::new(find(name).expect("missing() has looked for it"))
}

fn config(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, text).expect("the server's directory takes files");
    open_to_all(&file, 0o600);
    file
}

/// One process listens in one family only: on `::` it answers PASV with 0,0,0,0.
fn vsftpd(home: &Path, dir: &Path, address: SocketAddr, wishes: &Wishes) -> Command {
    let listen = match address.ip() {
        IpAddr::V4(ip) => format!("listen=YES\nlisten_address={ip}"),
        IpAddr::V6(ip) => format!("listen=NO\nlisten_ipv6=YES\nlisten_address6={ip}"),
    };
    let passive = wishes.passive.map(|[low, high]| format!("pasv_min_port={low}\npasv_max_port={high}\n"));
    let text = format!(
        "{listen}\nlisten_port={}\nbackground=NO\nrun_as_launching_user=YES\nanonymous_enable=YES\n\
         local_enable=NO\nno_anon_password=NO\nanon_root={}\nwrite_enable=YES\nanon_upload_enable=YES\n\
         anon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\nseccomp_sandbox=NO\n\
         xferlog_enable=NO\nasync_abor_enable=YES\n{}{}",
        address.port(),
        home.display(),
        passive.unwrap_or_default(),
        wishes.tls.as_ref().map_or_else(String::new, vsftpd_tls),
    );
    let mut command = program("vsftpd");
    command.arg(config(dir, "vsftpd.conf", &text));
    command
}

fn vsftpd_tls(tls: &Encryption) -> String {
    let yes_no = |yes| if yes { "YES" } else { "NO" };
    format!(
        "ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl={required}\nforce_anon_data_ssl={required}\n\
         require_ssl_reuse=YES\nimplicit_ssl={}\nrsa_cert_file={}\nrsa_private_key_file={}\nssl_ciphers=HIGH\n",
        yes_no(tls.entry == Entry::Implicit),
        tls.chain.display(),
        tls.key.display(),
        required = yes_no(tls.required),
    )
}

/// Its linger is short: after an abort it waits for the client to close before it replies.
fn proftpd(home: &Path, dir: &Path, address: SocketAddr, wishes: &Wishes) -> Command {
    let user = format!("{}:{PASSWORD_HASH}:0:0::{}:/bin/sh\n", LOGIN.user, home.display());
    let (users, groups) = (config(dir, "users", &user), config(dir, "groups", "root:x:0:\n"));
    let passive = wishes.passive.map(|[low, high]| format!("PassivePorts {low} {high}\n"));
    let text = format!(
        "ServerName test\nServerType standalone\nUseIPv6 on\nDefaultAddress {}\nPort {}\nUser root\nGroup root\n\
         RootLogin on\nAuthOrder mod_auth_file.c\nAuthUserFile {}\nAuthGroupFile {}\nRequireValidShell off\n\
         PidFile {dir}/pid\nScoreboardFile {dir}/scoreboard\nDelayEngine off\nSystemLog {dir}/log\n\
         TransferLog none\nWtmpLog off\nUseReverseDNS off\nAllowOverwrite on\nAllowStoreRestart on\n\
         TimeoutLinger 1\n{}{}",
        address.ip(),
        address.port(),
        users.display(),
        groups.display(),
        passive.unwrap_or_default(),
        wishes.tls.as_ref().map_or_else(String::new, proftpd_tls),
        dir = dir.display(),
    );
    let mut command = program("proftpd");
    command.args(["-n", "-q", "-c"]).arg(config(dir, "proftpd.conf", &text));
    command
}

/// Sessions have to be resumed unless an option says otherwise.
fn proftpd_tls(tls: &Encryption) -> String {
    format!(
        "ModulePath {}\nLoadModule mod_tls.c\nTLSEngine on\nTLSProtocol TLSv1.2 TLSv1.3\nTLSRequired {}\n\
         TLSECCertificateFile {}\nTLSECCertificateKeyFile {}\n{}",
        modules().display(),
        if tls.required { "on" } else { "off" },
        tls.chain.display(),
        tls.key.display(),
        if tls.entry == Entry::Implicit { "TLSOptions UseImplicitSSL\n" } else { "" },
    )
}

/// Where ProFTPD's modules lie, beside the program.
fn modules() -> PathBuf {
    let program = find("proftpd").unwrap_or_default();
    program.parent().unwrap_or(Path::new("")).join("../lib/proftpd")
}

/// It lets no user with id 0 in, so it needs another id, which an ordinary user's namespace may lack.
fn pure_ftpd(home: &Path, dir: &Path, address: SocketAddr, wishes: &Wishes) -> Command {
    let user = format!("{}:{PASSWORD_HASH}:1:1::{}/./::::::::::::\n", LOGIN.user, home.display());
    let (users, database) = (config(dir, "users", &user), dir.join("users.pdb"));
    let made = program("pure-pw").arg("mkdb").arg(&database).arg("-f").arg(users).status();
    assert!(made.is_ok_and(|status| status.success()), "pure-pw cannot make a user database");
    let mut command = program("pure-ftpd");
    command.args(["-H", "-E", "-u", "1", "-S", &format!("{},{}", address.ip(), address.port())]);
    command.arg("-l").arg(format!("puredb:{}", database.display())).arg("-g").arg(dir.join("pid"));
    if let Some(tls) = &wishes.tls {
        command.args(["-Y", if tls.required { "2" } else { "1" }]).arg("-2").arg(&tls.both);
    }
    if let Some([low, high]) = wishes.passive {
        command.args(["-p", &format!("{low}:{high}")]);
    }
    command
}

fn pyftpdlib(home: &Path, address: SocketAddr, wishes: &Wishes) -> Command {
    let mut command = Command::new(python());
    command.args(["-m", "pyftpdlib", "-w", "-u", LOGIN.user, "-P", LOGIN.password]);
    command.args(["-i", &address.ip().to_string(), "-p", &address.port().to_string(), "-d"]).arg(home);
    if let Some([low, high]) = wishes.passive {
        command.args(["-r", &format!("{low}-{high}")]);
    }
    command
}

fn python() -> PathBuf {
    std::env::var_os("FTP_PINHOLE_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

fn has_pyftpdlib() -> bool {
    let mut command = Command::new(python());
    command.args(["-c", "import pyftpdlib"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// How many user ids there are in our user namespace.
fn ids() -> u64 {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum()
}
