//! Policy routing: packets that the gateway's table has marked are delivered on this host, whatever
//! address they are for.
//!
//! One rule for each family, through iproute2:
//!
//! ```text
//! 2121: from all fwmark MARK lookup 2121          table 2121: local default dev lo
//! ```
//!
//! The gateway's own transparent sockets have another mark ([`Mark::socket`]), or what they send would come back.

use std::process::{Command, Stdio};

use tracing::info;

use super::{HostError, probe};
use crate::addr::Family;
use crate::config::Mark;

/// The routing table that delivers everything here.
pub const TABLE: u32 = 2121;

/// The priority of the rule.
pub const PRIORITY: u32 = 2121;

/// By whom the rule and the route are, so that only our own are removed (rtnetlink(7), `rtm_protocol`).
pub const ROUTE_PROTOCOL: u32 = 121;

/// The rule and the route of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Divert {
    family: Family,
    mark: Mark,
}

impl Divert {
    pub(super) fn new(family: Family, mark: Mark) -> Self {
        Self { family, mark }
    }

    pub(super) fn family(self) -> Family {
        self.family
    }

    /// Adds route and rule; those that a gateway with the same mark has left behind are replaced.
    pub(super) fn add(self) -> Result<(), HostError> {
        self.remove_rule()?;
        self.ip(&self.route("replace"))?;
        self.ip(&format!("rule add {}", self.rule())).map(drop)
    }

    /// Removes the rule, and the route unless a gateway with another mark uses it.
    pub(super) fn remove(self) -> Result<(), HostError> {
        self.remove_rule()?;
        if self.ip(&format!("rule show table {TABLE}"))?.trim().is_empty() {
            match self.ip(&self.route("del")) {
                // It was never added, or went with the interface.
                Err(HostError::Routing { said, .. }) if said.ends_with(NO_SUCH_ROUTE) => {}
                other => drop(other?),
            }
        }
        info!(family = self.family.number(), table = TABLE, "policy routing removed");
        Ok(())
    }

    /// Removes every copy of the rule.
    fn remove_rule(self) -> Result<(), HostError> {
        loop {
            match self.ip(&format!("rule del {}", self.rule())) {
                Ok(_) => {}
                Err(HostError::Routing { said, .. }) if said.ends_with(NO_SUCH_RULE) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The rule names the mark: two gateways on one host have two.
    fn rule(self) -> String {
        let (value, mask) = (self.mark.value(), self.mark.mask());
        format!("priority {PRIORITY} fwmark {value:#x}/{mask:#x} protocol {ROUTE_PROTOCOL} lookup {TABLE}")
    }

    fn route(self, verb: &str) -> String {
        let everywhere = match self.family {
            Family::V4 => "0.0.0.0/0",
            Family::V6 => "::/0",
        };
        format!("route {verb} local {everywhere} dev lo table {TABLE} protocol {ROUTE_PROTOCOL}")
    }

    /// What `ip` prints when it is given these arguments, which hold no spaces of their own.
    fn ip(self, arguments: &str) -> Result<String, HostError> {
        let family = match self.family {
            Family::V4 => "-4",
            Family::V6 => "-6",
        };
        let failed = |said: String| HostError::Routing { arguments: format!("{family} {arguments}"), said };
        let program = probe::find("ip").ok_or_else(|| failed("not installed".to_owned()))?;
        let mut command = Command::new(program);
        command.arg(family).args(arguments.split(' ')).env_clear().stdin(Stdio::null());
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(failed(said.lines().next().unwrap_or("no reason given").trim().to_owned()))
    }
}

/// How `ip` ends its complaint when there is nothing left to remove.
const NO_SUCH_RULE: &str = "No such file or directory";
const NO_SUCH_ROUTE: &str = "No such process";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_packets_are_delivered_here_but_not_what_our_own_sockets_send() {
        let mark = Mark::default();
        let expected = "priority 2121 fwmark 0x80000000/0xe0000000 protocol 121 lookup 2121";
        assert_eq!(Divert::new(Family::V4, mark).rule(), expected);
        assert_ne!(mark.socket() & mark.mask(), mark.value());
    }

    #[test]
    fn everything_is_local_in_the_table() {
        let route = |family| Divert::new(family, Mark::default()).route("replace");
        assert_eq!(route(Family::V4), "route replace local 0.0.0.0/0 dev lo table 2121 protocol 121");
        assert_eq!(route(Family::V6), "route replace local ::/0 dev lo table 2121 protocol 121");
    }

    #[test]
    fn a_refusal_of_ip_is_told_in_its_own_words() {
        if probe::find("ip").is_none() {
            return eprintln!("SKIP a_refusal_of_ip_is_told_in_its_own_words: no iproute2");
        }
        let error = Divert::new(Family::V4, Mark::default()).ip("rule nonsense").unwrap_err().to_string();
        assert!(
            error.starts_with("`ip -4 rule nonsense` failed: Command \"nonsense\" is unknown"),
            "{error}"
        );
    }
}
