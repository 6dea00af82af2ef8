//! vsftpd with TLS, at both addresses of a host.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Certificate;
use crate::host::{Host, program};
use crate::lab::{FTP, Who};
use crate::operation::{content, put_file};
use crate::process::{Group, start_daemon};
use crate::route::Family;
use crate::server::open_to_all;

/// What it is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// Whether data connections have to resume the session of the control connection.
    pub(super) reuse: bool,
    /// Whether data has to be encrypted.
    pub(super) private: bool,
    /// The first and the last port of its passive range, and the IPv4 address that it names with them.
    pub(super) passive: Option<([u16; 2], IpAddr)>,
}

/// A running server, with `data.bin` in it.
pub(super) struct Vsftpd {
    home: PathBuf,
    certificate: Certificate,
    _processes: [Group; 2],
    // Last, so that it outlives the processes.
    _dir: TempDir,
}

impl Vsftpd {
    /// Starts it on `host`, which is that of `who`.
    pub(super) fn start(host: &Host, who: Who, settings: Settings) -> Self {
        let dir = tempfile::tempdir().expect("temporary directories can be made");
        let home = dir.path().join("home");
        fs::create_dir(&home).expect("a new directory is empty");
        open_to_all(dir.path(), 0o755);
        open_to_all(&home, 0o777);
        put_file(&home.join("data.bin"), &content("data.bin"));
        let certificate = Certificate::new(dir.path(), "server.test");
        let start = |family| {
            let address = who.at(family, FTP);
            let file = dir.path().join(format!("{family:?}.conf"));
            fs::write(&file, config(address.ip(), &home, &certificate, settings))
                .expect("the directory takes files");
            open_to_all(&file, 0o600);
            let log = dir.path().join(format!("{family:?}.log"));
            host.run(|| start_daemon(program("vsftpd").arg(file), &[address], &log))
        };
        let processes = [Family::V4, Family::V6].map(start);
        Self { home, certificate, _processes: processes, _dir: dir }
    }

    /// The directory in which a session starts.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// The file of its certificate.
    pub(super) fn certificate(&self) -> &Path {
        &self.certificate.chain
    }
}

/// One process listens in one family only: on `::` it answers PASV with 0,0,0,0.
fn config(ip: IpAddr, home: &Path, certificate: &Certificate, settings: Settings) -> String {
    let listen = match ip {
        IpAddr::V4(ip) => format!("listen=YES\nlisten_address={ip}"),
        IpAddr::V6(ip) => format!("listen=NO\nlisten_ipv6=YES\nlisten_address6={ip}"),
    };
    let passive = settings.passive.map(|([low, high], named)| {
        let named = if ip.is_ipv4() { format!("pasv_address={named}\n") } else { String::new() };
        format!("pasv_min_port={low}\npasv_max_port={high}\n{named}")
    });
    let yes_no = |yes| if yes { "YES" } else { "NO" };
    format!(
        "{listen}\nlisten_port={FTP}\nbackground=NO\nrun_as_launching_user=YES\nanonymous_enable=YES\n\
         local_enable=NO\nno_anon_password=NO\nanon_root={}\nwrite_enable=YES\nanon_upload_enable=YES\n\
         anon_other_write_enable=YES\nanon_umask=022\nseccomp_sandbox=NO\nxferlog_enable=NO\n\
         ssl_enable=YES\nallow_anon_ssl=YES\nforce_anon_logins_ssl=YES\nforce_anon_data_ssl={}\n\
         require_ssl_reuse={}\nrsa_cert_file={}\nrsa_private_key_file={}\nssl_ciphers=HIGH\n{}",
        home.display(),
        yes_no(settings.private),
        yes_no(settings.reuse),
        certificate.chain.display(),
        certificate.key.display(),
        passive.unwrap_or_default(),
    )
}
