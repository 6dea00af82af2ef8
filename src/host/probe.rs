//! What has to be there before anything is changed: capabilities and programs.

use std::path::{Path, PathBuf};

use rustix::thread::{CapabilitySet, capabilities};

use super::{HostError, privileged_key};
use crate::config::model::{Config, Service};

/// Checks what the services of `config` that need the gateway's table need for it, in the order in which an
/// administrator would mend what is found.
pub(super) fn check(config: &Config) -> Result<(), HostError> {
    let needing = config.services.iter().filter_map(|service| Some((service, privileged_key(service)?)));
    for (service, key) in needing {
        capability(service, key)?;
        nft(service, key)?;
        ip(service, key)?;
    }
    Ok(())
}

fn capability(service: &Service, key: &'static str) -> Result<(), HostError> {
    let effective = capabilities(None).map(|sets| sets.effective);
    if effective.is_ok_and(|effective| effective.contains(CapabilitySet::NET_ADMIN)) {
        return Ok(());
    }
    Err(HostError::Capability { service: service.name.clone(), key })
}

fn nft(service: &Service, key: &'static str) -> Result<(), HostError> {
    require("nft", "nftables", service, key)
}

fn ip(service: &Service, key: &'static str) -> Result<(), HostError> {
    if service.policy.transparent { require("ip", "iproute2", service, key) } else { Ok(()) }
}

fn require(
    program: &'static str,
    package: &'static str,
    service: &Service,
    key: &'static str,
) -> Result<(), HostError> {
    match find(program) {
        Some(_) => Ok(()),
        None => Err(HostError::Program { program, package, service: service.name.clone(), key }),
    }
}

/// Where `program` is installed. PATH has no say: whoever starts a gateway that has capabilities of its own
/// must not choose what it runs with them.
pub fn find(program: &str) -> Option<PathBuf> {
    PROGRAM_DIRECTORIES.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.is_file())
}

/// Where the system keeps its programs.
const PROGRAM_DIRECTORIES: [&str; 6] =
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/run/current-system/sw/bin"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_where_the_system_keeps_them() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_who_needs_it_and_how_to_get_it() {
        let text = "version: 1\nservices: {dmz: {listen: 0.0.0.0:21, upstream: 10.0.0.5:21}}\n";
        let service = Config::parse("rules.yaml", text).unwrap().services.remove(0);
        let error = require("no-such-program", "nftables", &service, "data_path: nftables").unwrap_err();
        let expected = "the program no-such-program is missing, which service dmz needs for \
                        data_path: nftables (install nftables)";
        assert_eq!(error.to_string(), expected);
        let error = HostError::Capability { service: service.name, key: "source: client" };
        assert!(error.to_string().starts_with(
            "CAP_NET_ADMIN is missing, which service dmz needs for source: client (setcap cap_net_admin,"
        ));
    }
}
