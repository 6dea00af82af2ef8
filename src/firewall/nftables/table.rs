//! The gateway's table in the kernel: put there, put back, taken away, by the program `nft`.
//!
//! Does: replace the table in one transaction, keep a second gateway from doing the same, leave what running
//! transfers need. Does not: touch elements or other tables. Called by the backend.

use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Output, Stdio};

use super::NftablesError;
use crate::host;

/// The table of this process.
pub(super) struct Table {
    name: String,
    text: String,
    /// Held as long as the process lives, however it ends.
    _lock: UnixDatagram,
}

impl Table {
    /// Reserves the table `name` for this process; `text` is what it holds.
    ///
    /// # Errors
    /// Another gateway has a table of that name in this network namespace.
    pub(super) fn reserve(name: &str, text: String) -> Result<Self, NftablesError> {
        // An abstract socket belongs to the network namespace, as the table does, and no file is left behind.
        let address = SocketAddr::from_abstract_name(format!("ftp-pinhole/table/{name}"))?;
        let lock = UnixDatagram::bind_addr(&address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => NftablesError::Taken { table: name.to_owned() },
            _ => error.into(),
        })?;
        Ok(Self { name: name.to_owned(), text, _lock: lock })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Puts the table in place of whatever has its name.
    pub(super) fn install(&self) -> Result<(), NftablesError> {
        load(&self.text)
    }

    /// Takes the table away.
    pub(super) fn remove(&self) -> Result<(), NftablesError> {
        remove(&self.name)
    }

    /// Takes all away but what translates connections that run: without any chain of that type, and a rule
    /// that asks for their state, the kernel would no longer translate their packets.
    pub(super) fn reduce(&self) -> Result<(), NftablesError> {
        load(&format!(
            "table inet {0}\ndelete table inet {0}\ntable inet {0} {{\n\
             \tchain translate_to {{\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\
             \t\tct state established accept\n\t}}\n\
             \tchain translate_from {{\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t}}\n}}\n",
            self.name
        ))
    }
}

/// Takes the table `name` away.
pub(super) fn remove(name: &str) -> Result<(), NftablesError> {
    load(&format!("table inet {name}\ndelete table inet {name}\n"))
}

/// The whole ruleset of the host, as `nft` prints it.
pub(super) fn ruleset() -> Result<String, NftablesError> {
    Ok(String::from_utf8_lossy(&run(&["-s", "-t", "list", "ruleset"], "")?.stdout).into_owned())
}

fn load(text: &str) -> Result<(), NftablesError> {
    run(&["-f", "-"], text).map(drop)
}

fn run(args: &[&str], input: &str) -> Result<Output, NftablesError> {
    let program = host::find("nft").ok_or_else(|| NftablesError::Program(io::ErrorKind::NotFound.into()))?;
    let mut nft = Command::new(program);
    nft.args(args).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = nft.spawn().map_err(NftablesError::Program)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(NftablesError::Program)?;
    match output.status.success() {
        true => Ok(output),
        false => Err(NftablesError::Refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
