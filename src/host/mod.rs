//! What the host must have for the gateway's placement, and what is put back at the end.
//!
//! Does: say what is missing and how to get it, turn forwarding and accounting on, route diverted
//! packets to this host, give up every capability that is not needed. Does not: touch nftables or
//! sockets. Called by the proxy, which prepares the host first and restores it last.
//!
//! A value that is right already is left alone, and so is one that somebody else changes while the
//! gateway runs.

mod privileges;
mod probe;
mod routing;
mod sysctl;

use std::io;
use std::sync::Arc;

use tracing::{error, info};

use crate::addr::Family;
use crate::config::model::{Config, Intercept, Service};
use crate::policy::DataPath;

pub use privileges::{give_up_privileges, reduce_privileges};
pub use probe::find;
pub use routing::{PRIORITY, ROUTE_PROTOCOL, TABLE};

use routing::Divert;
use sysctl::{Change, Settings};

/// Why the host cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The process may not do what a service needs.
    #[error(
        "CAP_NET_ADMIN is missing, which service {service} needs for {key} \
         (setcap cap_net_admin,cap_net_bind_service+ep on the program, \
         or AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE in its systemd unit)"
    )]
    Capability {
        /// The first service that needs it.
        service: Arc<str>,
        /// The key and value of it that do.
        key: &'static str,
    },
    /// A program is not installed.
    #[error("the program {program} is missing, which service {service} needs for {key} (install {package})")]
    Program {
        /// The program.
        program: &'static str,
        /// The package that has it.
        package: &'static str,
        /// The first service that needs it.
        service: Arc<str>,
        /// The key and value of it that do.
        key: &'static str,
    },
    /// A kernel setting cannot be read or changed.
    #[error("{setting} is not {value} and cannot be set (set it beforehand: sysctl -w {setting}={value})")]
    Setting {
        /// Its name, as sysctl(8) writes it.
        setting: String,
        /// What it has to be.
        value: String,
        /// Why not.
        source: io::Error,
    },
    /// iproute2 did not do what it was asked for.
    #[error("`ip {arguments}` failed: {said}")]
    Routing {
        /// What it was asked for.
        arguments: String,
        /// What it said, in one line.
        said: String,
    },
    /// Capabilities cannot be given up.
    #[error("capabilities that are not needed cannot be given up")]
    Privileges(#[source] io::Error),
}

/// A host that is prepared; restored when dropped.
#[derive(Debug)]
pub struct Host {
    settings: Settings,
    /// Whether the kernel has to count the bytes of connections.
    counts: bool,
    /// In the order in which it was done.
    done: Vec<Done>,
}

/// One thing to undo.
#[derive(Debug)]
enum Done {
    Setting(Change),
    Divert(Divert),
}

/// Checks that the host has what the services of `config` need, and changes what they need changed.
/// Spawns `ip`; call it before threads serve clients. Bytes are accounted for once the table is loaded:
/// see [`Host::account`].
///
/// # Errors
/// Something is missing or cannot be changed; then everything is as it was.
pub fn prepare(config: &Config) -> Result<Host, HostError> {
    probe::check(config)?;
    let kernel = |service: &Service| service.policy.data_path == DataPath::Nftables;
    let counts = config.services.iter().any(kernel);
    let mut host = Host { settings: Settings::default(), counts, done: Vec::new() };
    for (setting, family) in FORWARDING {
        if needs(config, family, kernel) {
            host.set(setting)?;
        }
    }
    for family in [Family::V4, Family::V6] {
        if needs(config, family, |service| service.policy.transparent) {
            host.divert(Divert::new(family, config.gateway.nftables.mark))?;
        }
    }
    Ok(host)
}

impl Host {
    /// Lets the kernel count the bytes of forwarded connections, for services with `data_path: nftables`.
    /// Call it once the gateway's table is loaded: the setting exists only where connection tracking does.
    ///
    /// # Errors
    /// The setting is not there or cannot be changed.
    pub fn account(&mut self) -> Result<(), HostError> {
        if self.counts {
            self.set("net/netfilter/nf_conntrack_acct")?;
        }
        Ok(())
    }

    /// Puts back what was changed, the last first. With `keep_forwarding` the kernel's settings stay, as
    /// transfers that it forwards still need them.
    pub fn restore(mut self, keep_forwarding: bool) {
        self.undo(keep_forwarding);
    }

    /// Sets `setting` to 1.
    fn set(&mut self, setting: &'static str) -> Result<(), HostError> {
        let change = self.settings.set(setting, ON)?;
        self.done.extend(change.map(Done::Setting));
        Ok(())
    }

    fn divert(&mut self, divert: Divert) -> Result<(), HostError> {
        // Undone also when it was done in part.
        self.done.push(Done::Divert(divert));
        divert.add()?;
        let family = divert.family().number();
        info!(family, table = TABLE, priority = PRIORITY, "diverted packets are routed to this host");
        Ok(())
    }

    fn undo(&mut self, keep_forwarding: bool) {
        while let Some(done) = self.done.pop() {
            let undone = match done {
                Done::Setting(change) if keep_forwarding => {
                    info!(setting = %change.name(), "left on: the kernel still forwards transfers");
                    Ok(())
                }
                Done::Setting(change) => self.settings.restore(&change),
                Done::Divert(divert) => divert.remove(),
            };
            if let Err(error) = undone {
                error!(%error, "the host is not as it was");
            }
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.undo(false);
    }
}

/// Whether a service that `wants` it has clients of `family`.
fn needs(config: &Config, family: Family, wants: impl Fn(&Service) -> bool) -> bool {
    let of_family = |service: &&Service| service.listen.iter().any(|addr| Family::of(addr.ip()) == family);
    config.services.iter().filter(of_family).any(wants)
}

/// The key and value that make `service` need CAP_NET_ADMIN; `None`: nothing does.
fn privileged_key(service: &Service) -> Option<&'static str> {
    match (service.intercept, service.policy.data_path) {
        (Intercept::Redirect, _) => Some("intercept: redirect"),
        (Intercept::Tproxy, _) => Some("intercept: tproxy"),
        (Intercept::Listen, DataPath::Nftables) => Some("data_path: nftables"),
        (Intercept::Listen, DataPath::Relay) => service.policy.transparent.then_some("source: client"),
    }
}

const ON: &str = "1";

/// What lets each family through.
const FORWARDING: [(&str, Family); 2] =
    [("net/ipv4/ip_forward", Family::V4), ("net/ipv6/conf/all/forwarding", Family::V6)];

#[cfg(test)]
mod tests {
    use super::*;

    fn config(keys: &str) -> Config {
        let text = format!("version: 1\nservices: {{a: {{{keys}}}}}\n");
        Config::parse("rules.yaml", &text).unwrap()
    }

    #[test]
    fn only_the_families_of_services_that_need_the_table_are_forwarded() {
        let forwarded = |keys: &str| {
            let config = config(keys);
            [Family::V4, Family::V6].map(|family| needs(&config, family, Service::needs_table))
        };
        assert_eq!(forwarded("listen: ['192.0.2.1:21', '[::1]:21'], upstream: 10.0.0.5:21"), [false, false]);
        let kernel = "upstream: [10.0.0.5:21, '[fd00::5]:21'], data_path: nftables";
        assert_eq!(forwarded(&format!("listen: 192.0.2.1:21, {kernel}")), [true, false]);
        assert_eq!(forwarded(&format!("listen: '[::]:21', {kernel}")), [false, true]);
        assert_eq!(forwarded("listen: 0.0.0.0:2121, role: forward, intercept: redirect"), [true, false]);
    }

    #[test]
    fn a_plain_service_changes_nothing_on_the_host() {
        let mut host = prepare(&config("listen: 192.0.2.1:21, upstream: 10.0.0.5:21")).unwrap();
        host.account().unwrap();
        assert!(host.done.is_empty());
    }

    #[test]
    fn the_key_that_needs_privilege_is_named() {
        let key = |keys: &str| privileged_key(&config(keys).services[0]);
        let plain = "listen: 0.0.0.0:2121, upstream: 10.0.0.5:21";
        assert_eq!(key(plain), None);
        assert_eq!(key(&format!("{plain}, source: client")), Some("source: client"));
        assert_eq!(key(&format!("{plain}, data_path: nftables")), Some("data_path: nftables"));
        assert_eq!(key(&format!("{plain}, intercept: redirect")), Some("intercept: redirect"));
        assert_eq!(key(&format!("{plain}, intercept: tproxy")), Some("intercept: tproxy"));
    }
}
