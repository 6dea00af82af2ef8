//! The gateway's table and what others do to it.

use std::net::TcpListener;
use std::time::Duration;

use super::stage::{Stage, is_shut, stays_alone};
use super::{KERNEL, OFFICE, ROUTED, scenarios};
use crate::gateway::{Gateway, Refused};
use crate::lab::{Lab, Who, lab_tests};
use crate::namespace::{skip, test_name};
use crate::placement::Placement;
use crate::process::poll;
use crate::route::Family;

scenarios! {
    flushed_ruleset_is_put_back: flush_is_repaired, KERNEL, "";
    flushed_ruleset_is_put_back_routed: flush_is_repaired, ROUTED, "";
    flushed_ruleset_is_put_back_office: flush_is_repaired, OFFICE, "";
    deleted_table_is_put_back: delete_is_repaired, KERNEL, "";
    deleted_table_is_put_back_office: delete_is_repaired, OFFICE, "";
    second_gateway_with_the_same_table_is_refused: second_gateway_is_refused, KERNEL, "";
}

lab_tests! {
    stopped_gateway_may_keep_servers_shut: |lab| keep_keeps_servers_shut(&lab, ROUTED);
    kernel_helper_on_the_same_port_is_refused: |lab| helper_is_refused(&lab, KERNEL);
    kernel_helper_on_the_same_port_is_refused_office: |lab| helper_is_refused(&lab, OFFICE);
}

/// The table's name in every rules file of these tests.
const TABLE: &str = "ftp_pinhole";
/// How soon a missing table has to be back.
const REPAIR: Duration = Duration::from_secs(5);

fn flush_is_repaired(stage: &mut Stage) {
    is_repaired(stage, "flush ruleset\n");
}

fn delete_is_repaired(stage: &mut Stage) {
    is_repaired(stage, &format!("delete table inet {TABLE}\n"));
}

/// Somebody else removes the table: it comes back, and transfers work, in both modes.
fn is_repaired(stage: &mut Stage, removal: &str) {
    stage.one_more_transfer_works(true);
    assert!(stage.has_table(), "the gateway has no table");
    stage.lab.gateway.nft(removal);
    let back = poll(REPAIR, || stage.has_table().then_some(()));
    assert!(back.is_some(), "the table is not back");
    stage.record("the loss", |record| record["reason"] == "table-lost");
    stage.one_more_transfer_works(true);
    stage.one_more_transfer_works(false);
}

/// Two gateways would open and close each other's pinholes.
fn second_gateway_is_refused(stage: &mut Stage) {
    let rules = |audit: &std::path::Path| {
        stage.placement.rules(audit, "").replace(":21\", \"[2001", ":2021\", \"[2001")
    };
    let second = Gateway::start(|audit| rules(audit).replace("1]:21\"]", "1]:2021\"]"));
    let Err(Refused(why)) = second else { panic!("a second gateway starts on the same table") };
    assert!(why.contains(TABLE), "the reason does not name the table: {why}");
    stage.one_more_transfer_works(true);
}

/// `on_stop: keep`: without the gateway the server can be reached no more than with it; its own next run takes
/// the table over.
fn keep_keeps_servers_shut(lab: &Lab, placement: Placement) {
    placement.prepare(lab);
    let listener = lab.near.run(|| TcpListener::bind(Who::Near.at(Family::V4, 0))).expect("a port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    for _ in 0..2 {
        let gateway = Gateway::start(|audit| {
            placement.rules(audit, "").replace("standalone}", "standalone, on_stop: keep}")
        });
        match gateway {
            Err(Refused(why)) => panic!("the gateway does not start: {why}"),
            Ok(gateway) => gateway.stop(),
        }
        assert!(lab.gateway.output("nft", &["list", "tables"]).contains(TABLE), "the table is gone");
        is_shut(&lab.far, address);
        stays_alone(&listener);
    }
}

/// The kernel's own FTP helper would open pinholes of which the gateway knows nothing.
fn helper_is_refused(lab: &Lab, placement: Placement) {
    placement.prepare(lab);
    let (loaded, why) = lab.gateway.try_feed("nft", &["-f", "-"], HELPER);
    if !loaded {
        return skip(&test_name(), &format!("the kernel has no FTP helper: {}", why.trim()));
    }
    let before = lab.gateway.snapshot();
    match Gateway::start(|audit| placement.rules(audit, "")) {
        Err(Refused(why)) => {
            assert!(why.contains("helper"), "the reason does not name the helper: {why}");
            before.assert_same(&lab.gateway.snapshot());
        }
        Ok(_) => panic!("the gateway starts beside the kernel's helper"),
    }
}

impl Stage<'_> {
    fn has_table(&self) -> bool {
        self.lab.gateway.output("nft", &["list", "tables"]).contains(TABLE)
    }

    /// Starts a gateway with the rules of the one that ended.
    pub(super) fn restart_clean(&mut self) {
        let gateway = Gateway::start(|audit| self.placement.rules(audit, ""));
        self.gateway = Some(gateway.unwrap_or_else(|refused| panic!("{}", refused.reason())));
    }
}

/// As a distribution's documentation suggests it.
const HELPER: &str = "table inet helpers {
    ct helper ftp-standard {
        type \"ftp\" protocol tcp
    }
    chain incoming {
        type filter hook prerouting priority filter; policy accept;
        tcp dport 21 ct helper set \"ftp-standard\"
    }
}
";
