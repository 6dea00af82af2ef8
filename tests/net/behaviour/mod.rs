//! What the gateway does beside plain transfers. Each test plays the client and the server by hand, line by
//! line, and runs with the data path and the role that its name ends with.

mod attacks;
mod ftps;
#[path = "../../it/gateway/peer.rs"]
#[allow(dead_code, reason = "shared with the it tests")]
mod peer;
mod pinholes;
mod protection;
#[path = "../../it/gateway/secure.rs"]
#[allow(dead_code, reason = "shared with the it tests")]
mod secure;
mod stage;
mod table;
mod transfers;

use std::time::Duration;

use crate::lab::Lab;
use crate::placement::{DataPath, Integration, Intercept, Placement, Role, Source};
use stage::Stage;

/// How long anything expected may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long something unexpected has time to happen.
const QUIET: Duration = Duration::from_millis(400);

/// A server published on the gateway's address, through user space.
const RELAY: Placement = Placement {
    role: Role::Reverse,
    intercept: Intercept::Listen,
    source: Source::Gateway,
    data_path: DataPath::Relay,
    integration: Integration::Standalone,
};
/// The same through the kernel.
const KERNEL: Placement = Placement { data_path: DataPath::Nftables, ..RELAY };
/// A server with its own address, which sees its clients' addresses.
const ROUTED: Placement = Placement { intercept: Intercept::Tproxy, source: Source::Client, ..KERNEL };
/// Clients inside, through the kernel.
const OFFICE: Placement = Placement { role: Role::Forward, intercept: Intercept::Tproxy, ..KERNEL };
/// The same through user space.
const OFFICE_RELAY: Placement = Placement { data_path: DataPath::Relay, ..OFFICE };
/// Beside an administrator's firewall, which drops what bears no mark.
const OFFICE_GUARDED: Placement = Placement { integration: Integration::Cooperative, ..OFFICE };

/// Tests that share a scenario: a name, the scenario, the placement and further keys of the service.
macro_rules! scenarios {
    ($($name:ident: $scenario:ident, $placement:expr, $more:expr;)+) => {
        $crate::lab::lab_tests! {
            $($name: |lab| $crate::behaviour::run(&lab, $placement, $more, $scenario);)+
        }
    };
}
use scenarios;

/// Runs a scenario on a new stage; afterwards the gateway stops and the host has to be as before.
fn run(lab: &Lab, placement: Placement, more: &str, scenario: impl FnOnce(&mut Stage)) {
    placement.prepare(lab);
    let before = lab.gateway.snapshot();
    let mut stage = Stage::set(lab, placement, more);
    scenario(&mut stage);
    let killed = stage.killed;
    stage.end();
    let after = lab.gateway.snapshot();
    if killed {
        before.without_settings().assert_same(&after.without_settings());
    } else {
        before.assert_same(&after);
    }
}
