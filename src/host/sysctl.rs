//! Kernel settings under /proc/sys: changed, and put back with what changed alongside.
//!
//! To turn forwarding on sets the `forwarding` of every interface, and for IPv4 `accept_redirects` too;
//! to turn it off sets them all again. So a change remembers them, and its undoing puts them back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::info;

use super::HostError;

/// The settings of a host.
#[derive(Debug)]
pub(super) struct Settings {
    root: PathBuf,
}

/// A setting that was changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Its path below the root.
    setting: &'static str,
    was: String,
    is: &'static str,
    /// What the kernel changes with it, and what it was.
    alongside: Vec<(PathBuf, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { root: "/proc/sys".into() }
    }
}

impl Settings {
    /// Sets `setting` (its path below /proc/sys) to `value`; `None` when it had that value.
    pub(super) fn set(
        &self,
        setting: &'static str,
        value: &'static str,
    ) -> Result<Option<Change>, HostError> {
        let path = self.root.join(setting);
        let failed = |source| failed(setting, value, source);
        let was = read(&path).map_err(failed)?;
        if was == value {
            return Ok(None);
        }
        let alongside = self.alongside(setting);
        fs::write(&path, value).map_err(failed)?;
        info!(setting = %dotted(setting), was, is = value, "kernel setting changed");
        Ok(Some(Change { setting, was, is: value, alongside }))
    }

    /// Puts `change` back, unless somebody else has changed the setting since.
    pub(super) fn restore(&self, change: &Change) -> Result<(), HostError> {
        let path = self.root.join(change.setting);
        let name = change.name();
        let failed = |source| failed(change.setting, &change.was, source);
        let now = read(&path).map_err(failed)?;
        if now != change.is {
            info!(setting = %name, is = now, "changed by somebody else, left as it is");
            return Ok(());
        }
        fs::write(&path, &change.was).map_err(failed)?;
        for (path, was) in &change.alongside {
            // An interface may be gone.
            if read(path).is_ok_and(|now| now != *was) {
                fs::write(path, was).map_err(failed)?;
            }
        }
        info!(setting = %name, was = change.is, is = change.was, "kernel setting restored");
        Ok(())
    }

    /// What the kernel changes with `setting`, as it is now.
    fn alongside(&self, setting: &str) -> Vec<(PathBuf, String)> {
        let (conf, names): (_, &[&str]) = match setting {
            "net/ipv4/ip_forward" => ("net/ipv4/conf", &["forwarding", "accept_redirects"]),
            "net/ipv6/conf/all/forwarding" => ("net/ipv6/conf", &["forwarding"]),
            _ => return Vec::new(),
        };
        let interfaces = fs::read_dir(self.root.join(conf)).into_iter().flatten().flatten();
        let paths =
            interfaces.flat_map(|interface| names.iter().map(move |name| interface.path().join(name)));
        // The one of all interfaces is the setting itself.
        let paths = paths.filter(|path| !path.ends_with("all/forwarding"));
        paths.filter_map(|path| read(&path).ok().map(|was| (path, was))).collect()
    }
}

impl Change {
    /// The setting's name, as sysctl(8) writes it.
    pub(super) fn name(&self) -> String {
        dotted(self.setting)
    }
}

fn dotted(setting: &str) -> String {
    setting.replace('/', ".")
}

fn failed(setting: &str, value: &str, source: io::Error) -> HostError {
    HostError::Setting { setting: dotted(setting), value: value.to_owned(), source }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map(|value| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const FORWARD: &str = "net/ipv4/ip_forward";

    /// Settings in a directory of the test's own.
    fn host(values: &[(&str, &str)]) -> (TempDir, Settings) {
        let dir = tempfile::tempdir().unwrap();
        for (setting, value) in values {
            let path = dir.path().join(setting);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{value}\n")).unwrap();
        }
        let settings = Settings { root: dir.path().to_owned() };
        (dir, settings)
    }

    #[test]
    fn a_setting_that_is_right_is_left_alone() {
        let (_dir, settings) = host(&[(FORWARD, "1")]);
        assert_eq!(settings.set(FORWARD, "1").unwrap(), None);
    }

    #[test]
    fn a_change_is_put_back_with_what_changed_alongside() {
        let redirects = "net/ipv4/conf/all/accept_redirects";
        let (dir, settings) = host(&[
            (FORWARD, "0"),
            (redirects, "0"),
            ("net/ipv4/conf/all/forwarding", "0"),
            ("net/ipv4/conf/eth0/forwarding", "1"),
            ("net/ipv4/conf/eth0/accept_redirects", "1"),
        ]);
        let change = settings.set(FORWARD, "1").unwrap().unwrap();
        assert_eq!(read(&dir.path().join(FORWARD)).unwrap(), "1");
        // What the kernel does by itself.
        fs::write(dir.path().join(redirects), "1").unwrap();
        fs::write(dir.path().join("net/ipv4/conf/eth0/forwarding"), "0").unwrap();
        settings.restore(&change).unwrap();
        let now = |setting: &str| read(&dir.path().join(setting)).unwrap();
        assert_eq!([now(FORWARD), now(redirects)], ["0", "0"]);
        assert_eq!(now("net/ipv4/conf/eth0/forwarding"), "1");
    }

    #[test]
    fn what_somebody_else_changed_since_is_left_as_it_is() {
        let (dir, settings) = host(&[(FORWARD, "0")]);
        let change = settings.set(FORWARD, "1").unwrap().unwrap();
        fs::write(dir.path().join(FORWARD), "2").unwrap();
        settings.restore(&change).unwrap();
        assert_eq!(read(&dir.path().join(FORWARD)).unwrap(), "2");
    }

    #[test]
    fn a_setting_that_is_not_there_is_named_with_its_value() {
        let (_dir, settings) = host(&[]);
        let error = settings.set(FORWARD, "1").unwrap_err().to_string();
        let expected = "net.ipv4.ip_forward is not 1 and cannot be set \
                        (set it beforehand: sysctl -w net.ipv4.ip_forward=1)";
        assert_eq!(error, expected);
    }
}
