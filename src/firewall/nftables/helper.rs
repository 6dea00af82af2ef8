//! Finds out whether the kernel's own FTP helper reads the same control connections.
//!
//! Works on the ruleset as `nft` prints it, rules of iptables-nft included, and knows of older kernels, which give
//! helpers to connections by themselves. Rules of the old iptables are not seen. Two that rewrite the same lines
//! break each other (CVE-2025-68206 is what the kernel's did alone), and the helper opens what no rule allows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::NftablesError;
use crate::addr::CONTROL_PORT;
use crate::config::{Config, Role};

/// The ports at which control connections pass this host on behalf of services that need the table.
pub(super) fn ports(config: &Config) -> BTreeSet<u16> {
    let services = config.services.iter().filter(|service| service.needs_table());
    let ports = services.flat_map(|service| {
        let listen = service.listen.iter().map(|listen| listen.port());
        let upstream = service.upstream.iter().map(|upstream| upstream.port());
        let far = (service.role == Role::Forward).then_some(CONTROL_PORT);
        listen.chain(upstream).chain(far)
    });
    ports.collect()
}

/// Refuses a `ruleset` that gives an FTP helper to one of `ports`.
pub(super) fn refuse(ruleset: &str, ports: &BTreeSet<u16>) -> Result<(), NftablesError> {
    if ports.contains(&CONTROL_PORT) && is_automatic() {
        return Err(NftablesError::Helper { port: CONTROL_PORT, rule: AUTOMATIC.to_owned() });
    }
    let helpers: Vec<_> = ruleset.lines().scan("", name_of_ftp_helper).flatten().collect();
    for rule in ruleset.lines().map(str::trim) {
        let assigned = rule.split_once("ct helper set ").map(|(_, names)| names);
        let names_ftp = |names: &str| helpers.iter().any(|helper| names.contains(&format!("\"{helper}\"")));
        let ftp = assigned.is_some_and(names_ftp) || is_iptables_helper(rule);
        if let Some(&port) = ports.iter().find(|port| ftp && matches_port(rule, **port)) {
            return Err(NftablesError::Helper { port, rule: rule.to_owned() });
        }
    }
    Ok(())
}

/// Whether the kernel (before 6.0) gives the helper to whatever goes to port 21.
fn is_automatic() -> bool {
    let on =
        fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_helper").is_ok_and(|on| on.trim() == "1");
    on && Path::new("/sys/module/nf_conntrack_ftp").exists()
}

const AUTOMATIC: &str = "sysctl net.netfilter.nf_conntrack_helper=1";

/// The name of an FTP helper whose type `line` tells; `name` is that of the object that the line is in.
fn name_of_ftp_helper<'a>(name: &mut &'a str, line: &'a str) -> Option<Option<&'a str>> {
    let line = line.trim();
    if let Some(rest) = line.strip_prefix("ct helper ").filter(|rest| rest.ends_with('{')) {
        *name = rest.trim_end_matches('{').trim();
    }
    Some(line.starts_with("type \"ftp\"").then_some(*name))
}

/// As nft shows `iptables-nft -j CT --helper ftp`: without the name of the helper. That target has other uses, but
/// not for one port.
fn is_iptables_helper(rule: &str) -> bool {
    rule.contains("dport ") && (rule.ends_with("xt target CT") || rule.ends_with("xt target \"CT\""))
}

/// Whether `rule` can match a TCP destination port `port`. A rule that cannot be read counts as one that does.
fn matches_port(rule: &str, port: u16) -> bool {
    let Some((_, rest)) = rule.split_once("dport ") else { return !rule.contains("udp ") };
    let rest = rest.trim_start();
    let list = match rest.strip_prefix('{') {
        Some(set) => set.split('}').next().unwrap_or_default(),
        None => rest.split(' ').next().unwrap_or_default(),
    };
    list.split(',').map(str::trim).any(|item| match item.split_once('-') {
        Some((low, high)) => match (low.parse::<u16>(), high.parse::<u16>()) {
            (Ok(low), Ok(high)) => (low..=high).contains(&port),
            _ => true,
        },
        None => item.parse::<u16>().map_or(true, |only| only == port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELPER: &str = "table inet x {\n\tct helper ftp-std {\n\t\ttype \"ftp\" protocol tcp\n\t}\n\tct helper tftp {\n\
        \t\ttype \"tftp\" protocol udp\n\t}\n\tchain c {\n\t\tRULE\n\t}\n}\n";

    fn refused(rule: &str, port: u16) -> bool {
        refuse(&HELPER.replace("RULE", rule), &BTreeSet::from([port])).is_err()
    }

    #[test]
    fn a_helper_on_the_same_port_is_refused() {
        assert!(refused("tcp dport 21 ct helper set \"ftp-std\"", 21));
        assert!(refused("ct helper set \"ftp-std\"", 21));
        assert!(refused("tcp dport { 21, 2121 } ct helper set \"ftp-std\"", 2121));
        assert!(refused("tcp dport 20-25 ct helper set \"ftp-std\"", 21));
        assert!(refused("tcp dport @ports ct helper set \"ftp-std\"", 21));
        assert!(refused("ct helper set tcp dport map { 21 : \"ftp-std\" }", 21));
        assert!(refused("tcp dport 21 counter xt target CT", 21));
    }

    #[test]
    fn a_helper_elsewhere_is_not() {
        assert!(!refused("tcp dport 2121 ct helper set \"ftp-std\"", 21));
        assert!(!refused("udp dport 69 ct helper set \"tftp\"", 21));
        assert!(!refused("tcp dport 21 accept", 21));
        assert!(!refused("iifname \"eth0\" counter xt target CT", 21));
    }
}
