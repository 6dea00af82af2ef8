//! Every way to deploy the gateway, with every set-up command in both families.
//!
//! Scenario of each test: one server and one gateway; for each cell a client logs in, downloads, uploads and
//! lists; the records are right and prompt; after SIGTERM the host is as it was.

use std::time::Instant;

use crate::cell::{Bench, Cell};
use crate::gateway::Gateway;
use crate::lab::{FTP, Lab, lab_tests};
use crate::namespace::{skip, test_name};
use crate::placement::DataPath::{Nftables, Relay};
use crate::placement::Integration::{Cooperative, Standalone};
use crate::placement::Intercept::{Listen, Redirect, Tproxy};
use crate::placement::Placement;
use crate::placement::Role::{Forward, Reverse};
use crate::placement::Source::{Client, Gateway as Own};
use crate::route::Family;
use crate::server::Kind::{self, Proftpd, PureFtpd, Pyftpdlib, Vsftpd};
use crate::server::Server;

macro_rules! matrix {
    ($($name:ident: $role:ident $intercept:ident $source:ident $path:ident $integration:ident, $server:ident;)+) => {
        lab_tests! {
            $($name: |lab| run(&lab, $server, Placement {
                role: $role,
                intercept: $intercept,
                source: $source,
                data_path: $path,
                integration: $integration,
            });)+
        }
    };
}

matrix! {
    reverse_listen_relay: Reverse Listen Own Relay Standalone, Vsftpd;
    reverse_listen_relay_proftpd: Reverse Listen Own Relay Standalone, Proftpd;
    reverse_listen_relay_pure_ftpd: Reverse Listen Own Relay Standalone, PureFtpd;
    reverse_listen_relay_pyftpdlib: Reverse Listen Own Relay Standalone, Pyftpdlib;
    reverse_listen_relay_client: Reverse Listen Client Relay Standalone, Vsftpd;
    reverse_redirect_relay: Reverse Redirect Own Relay Standalone, Vsftpd;
    reverse_redirect_relay_client: Reverse Redirect Client Relay Standalone, Vsftpd;
    reverse_tproxy_relay: Reverse Tproxy Own Relay Standalone, Vsftpd;
    reverse_tproxy_relay_client: Reverse Tproxy Client Relay Standalone, Vsftpd;
    reverse_tproxy_relay_client_proftpd: Reverse Tproxy Client Relay Standalone, Proftpd;

    reverse_listen_nftables: Reverse Listen Own Nftables Standalone, Vsftpd;
    reverse_listen_nftables_proftpd: Reverse Listen Own Nftables Standalone, Proftpd;
    reverse_listen_nftables_pure_ftpd: Reverse Listen Own Nftables Standalone, PureFtpd;
    reverse_listen_nftables_pyftpdlib: Reverse Listen Own Nftables Standalone, Pyftpdlib;
    reverse_listen_nftables_client: Reverse Listen Client Nftables Standalone, Vsftpd;
    reverse_listen_nftables_client_pyftpdlib: Reverse Listen Client Nftables Standalone, Pyftpdlib;
    reverse_redirect_nftables: Reverse Redirect Own Nftables Standalone, Vsftpd;
    reverse_redirect_nftables_client: Reverse Redirect Client Nftables Standalone, Vsftpd;
    reverse_tproxy_nftables: Reverse Tproxy Own Nftables Standalone, Vsftpd;
    reverse_tproxy_nftables_client: Reverse Tproxy Client Nftables Standalone, Vsftpd;
    reverse_tproxy_nftables_client_proftpd: Reverse Tproxy Client Nftables Standalone, Proftpd;
    reverse_tproxy_nftables_client_pure_ftpd: Reverse Tproxy Client Nftables Standalone, PureFtpd;

    forward_redirect_relay: Forward Redirect Own Relay Standalone, Vsftpd;
    forward_redirect_relay_client: Forward Redirect Client Relay Standalone, Vsftpd;
    forward_tproxy_relay: Forward Tproxy Own Relay Standalone, Vsftpd;
    forward_tproxy_relay_proftpd: Forward Tproxy Own Relay Standalone, Proftpd;
    forward_tproxy_relay_client: Forward Tproxy Client Relay Standalone, Vsftpd;

    forward_redirect_nftables: Forward Redirect Own Nftables Standalone, Vsftpd;
    forward_redirect_nftables_proftpd: Forward Redirect Own Nftables Standalone, Proftpd;
    forward_redirect_nftables_client: Forward Redirect Client Nftables Standalone, Vsftpd;
    forward_tproxy_nftables: Forward Tproxy Own Nftables Standalone, Vsftpd;
    forward_tproxy_nftables_proftpd: Forward Tproxy Own Nftables Standalone, Proftpd;
    forward_tproxy_nftables_pure_ftpd: Forward Tproxy Own Nftables Standalone, PureFtpd;
    forward_tproxy_nftables_pyftpdlib: Forward Tproxy Own Nftables Standalone, Pyftpdlib;
    forward_tproxy_nftables_client: Forward Tproxy Client Nftables Standalone, Vsftpd;

    reverse_listen_nftables_beside_a_firewall: Reverse Listen Own Nftables Cooperative, Vsftpd;
    reverse_listen_nftables_client_beside_a_firewall: Reverse Listen Client Nftables Cooperative, Vsftpd;
    reverse_redirect_nftables_beside_a_firewall: Reverse Redirect Own Nftables Cooperative, Vsftpd;
    reverse_redirect_nftables_client_beside_a_firewall: Reverse Redirect Client Nftables Cooperative, Vsftpd;
    reverse_tproxy_nftables_beside_a_firewall: Reverse Tproxy Own Nftables Cooperative, Vsftpd;
    reverse_tproxy_nftables_client_beside_a_firewall: Reverse Tproxy Client Nftables Cooperative, Vsftpd;
    reverse_tproxy_relay_client_beside_a_firewall: Reverse Tproxy Client Relay Cooperative, Vsftpd;
    forward_redirect_nftables_beside_a_firewall: Forward Redirect Own Nftables Cooperative, Vsftpd;
    forward_redirect_nftables_client_beside_a_firewall: Forward Redirect Client Nftables Cooperative, Vsftpd;
    forward_tproxy_nftables_beside_a_firewall: Forward Tproxy Own Nftables Cooperative, Vsftpd;
    forward_tproxy_nftables_client_beside_a_firewall: Forward Tproxy Client Nftables Cooperative, Vsftpd;
    forward_tproxy_relay_beside_a_firewall: Forward Tproxy Own Relay Cooperative, Vsftpd;
}

/// Runs every cell.
fn run(lab: &Lab, kind: Kind, placement: Placement) {
    let what = &placement.to_string();
    if let Some(why) = kind.missing() {
        return skip(&test_name(), &why);
    }
    placement.prepare(lab);
    let before = lab.gateway.snapshot();
    let gateway = Gateway::start(|audit| placement.rules(audit, ""));
    let gateway =
        gateway.unwrap_or_else(|refused| panic!("the gateway does not start: {}", refused.reason()));
    let addresses = [Family::V4, Family::V6].map(|family| placement.server().at(family, FTP));
    let server = lab.host(placement.server()).run(|| Server::start_at(kind, addresses));
    let bench = Bench { lab, placement, server: &server, audit: gateway.audit() };
    let failed: Vec<_> = Cell::ALL.into_iter().filter(|cell| !passes(&bench, *cell, what)).collect();
    println!("{} cells, {} failed", Cell::ALL.len(), failed.len());
    assert!(failed.is_empty(), "{what} fails in {failed:?}");
    gateway.stop();
    before.assert_same(&lab.gateway.snapshot());
}

/// Runs one cell and prints a line; why it fails has been printed as a panic.
fn passes(bench: &Bench, cell: Cell, what: &str) -> bool {
    let start = Instant::now();
    let passed = bench.lab.gateway.try_run(|| bench.run(cell)).is_ok();
    let (word, time) = (if passed { "ok" } else { "FAILED" }, start.elapsed().as_millis());
    println!("{word} {what} {:?} {:?} ({time} ms)", cell.family, cell.setup);
    passed
}
