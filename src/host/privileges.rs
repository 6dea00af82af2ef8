//! Least privilege: the process keeps the capabilities that its services need and no other.
//!
//! Capabilities are per thread, so this comes before the first thread is made: all that follow inherit
//! what is left. Nothing later needs more. What can be opened at the start, such as the audit file, can
//! be opened again then.

use rustix::io::Result;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};
use tracing::info;

use super::HostError;
use crate::config::model::{Config, Service};

/// Gives up every capability but CAP_NET_BIND_SERVICE and, where a service needs the gateway's table,
/// CAP_NET_ADMIN, which programs that the gateway starts inherit. CAP_NET_RAW is not among them:
/// CAP_NET_ADMIN permits transparent sockets and marks as well. A process without capabilities stays as
/// it is.
///
/// # Errors
/// The system does not allow it.
pub fn reduce_privileges(config: &Config) -> std::result::Result<(), HostError> {
    let needed = needed(config);
    let kept = reduce(needed).map_err(|error| HostError::Privileges(error.into()))?;
    if let Some(kept) = kept {
        info!(kept = names(kept), "capabilities that no service needs were given up");
    }
    Ok(())
}

/// Gives up every capability. A process without capabilities stays as it is.
///
/// # Errors
/// The system does not allow it.
pub fn give_up_privileges() -> std::result::Result<(), HostError> {
    reduce(CapabilitySet::empty()).map(drop).map_err(|error| HostError::Privileges(error.into()))
}

fn needed(config: &Config) -> CapabilitySet {
    match config.services.iter().any(Service::needs_table) {
        true => CapabilitySet::NET_BIND_SERVICE | CapabilitySet::NET_ADMIN,
        false => CapabilitySet::NET_BIND_SERVICE,
    }
}

/// Reduces every set of this thread to `needed`; says what is left, `None` when there was nothing.
fn reduce(needed: CapabilitySet) -> Result<Option<CapabilitySet>> {
    let had = capabilities(None)?;
    if had.permitted.is_empty() {
        return Ok(None);
    }
    // Without CAP_SETPCAP the bounding set stays; it grants nothing to a process that is not root.
    if had.effective.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().difference(needed).iter() {
            // The kernel does not know every capability of the list, or of the bits behind it.
            if capability_is_in_bounding_set(capability).unwrap_or(false) {
                remove_capability_from_bounding_set(capability)?;
            }
        }
    }
    clear_ambient_capability_set()?;
    let kept = had.permitted.intersection(needed);
    let inheritable = kept.intersection(CapabilitySet::NET_ADMIN);
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    if !inheritable.is_empty() {
        configure_capability_in_ambient_set(CapabilitySet::NET_ADMIN, true)?;
    }
    Ok(Some(kept))
}

fn names(kept: CapabilitySet) -> String {
    let known = [
        (CapabilitySet::NET_ADMIN, "cap_net_admin"),
        (CapabilitySet::NET_BIND_SERVICE, "cap_net_bind_service"),
    ];
    let names: Vec<_> = known.iter().filter(|(set, _)| kept.contains(*set)).map(|(_, name)| *name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(keys: &str) -> Config {
        let text = format!("version: 1\nservices: {{a: {{listen: 0.0.0.0:2121, {keys}}}}}\n");
        Config::parse("rules.yaml", &text).unwrap()
    }

    #[test]
    fn only_services_that_need_the_table_keep_net_admin() {
        let kept = |keys: &str| names(needed(&config(keys)));
        assert_eq!(kept("upstream: 10.0.0.5:21"), "cap_net_bind_service");
        let both = "cap_net_admin, cap_net_bind_service";
        assert_eq!(kept("upstream: 10.0.0.5:21, data_path: nftables"), both);
        assert_eq!(kept("role: forward, intercept: redirect"), both);
    }

    #[test]
    fn a_thread_that_gave_up_everything_cannot_get_it_back() {
        // In a thread of its own: the others of the test process keep what they have.
        let left = std::thread::spawn(|| {
            let before = capabilities(None).unwrap().permitted;
            let kept = reduce(CapabilitySet::NET_BIND_SERVICE).unwrap();
            assert_eq!(kept.is_none(), before.is_empty());
            let regained = CapabilitySets { effective: before, permitted: before, inheritable: before };
            let more = !before.difference(CapabilitySet::NET_BIND_SERVICE).is_empty();
            assert_eq!(set_capabilities(None, regained).is_err(), more);
            capabilities(None).unwrap()
        });
        let left = left.join().unwrap();
        assert!(CapabilitySet::NET_BIND_SERVICE.contains(left.permitted));
        assert!(left.inheritable.is_empty());
    }
}
