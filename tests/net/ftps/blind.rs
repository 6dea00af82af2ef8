//! `tls: {mode: blind}` in every placement, before a vsftpd that wants sessions resumed: only a session that nobody
//! in between has ended can be.
//!
//! Scenario of each test: in each family a client lists, downloads and uploads; the records name the static range
//! and every connection through it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::client::Program::{self, Curl, Ftplib};
use super::vsftpd::{Settings, Vsftpd};
use crate::audit::Audit;
use crate::gateway::Gateway;
use crate::lab::{Lab, lab_tests};
use crate::namespace::{skip, test_name};
use crate::operation::content;
use crate::placement::DataPath::{Nftables, Relay};
use crate::placement::Integration::{Cooperative, Standalone};
use crate::placement::Intercept::{Listen, Redirect, Tproxy};
use crate::placement::Placement;
use crate::placement::Role::{Forward, Reverse};
use crate::placement::Source::{Client as Clients, Gateway as Own};
use crate::process::{find, poll};
use crate::route::Family;
use crate::server::Kind;

/// A line for each test; the client of IPv4 is named, the other one has IPv6.
macro_rules! placements {
    ($($name:ident: $role:ident $intercept:ident $source:ident $path:ident $integration:ident, $client:ident;)+) => {
        lab_tests! {
            $($name: |lab| run(&lab, $client, Placement {
                role: $role,
                intercept: $intercept,
                source: $source,
                data_path: $path,
                integration: $integration,
            });)+
        }
    };
}

placements! {
    blind_reverse_listen_relay: Reverse Listen Own Relay Standalone, Ftplib;
    blind_reverse_listen_relay_client: Reverse Listen Clients Relay Cooperative, Curl;
    blind_reverse_listen_nftables: Reverse Listen Own Nftables Cooperative, Curl;
    blind_reverse_listen_nftables_client: Reverse Listen Clients Nftables Standalone, Ftplib;
    blind_reverse_tproxy_relay_client: Reverse Tproxy Clients Relay Standalone, Curl;
    blind_reverse_tproxy_nftables: Reverse Tproxy Own Nftables Standalone, Ftplib;
    blind_reverse_redirect_relay: Reverse Redirect Own Relay Standalone, Curl;
    blind_reverse_redirect_nftables_client: Reverse Redirect Clients Nftables Cooperative, Ftplib;
    blind_forward_tproxy_relay: Forward Tproxy Own Relay Cooperative, Curl;
    blind_forward_tproxy_nftables_client: Forward Tproxy Clients Nftables Standalone, Ftplib;
    blind_forward_redirect_relay_client: Forward Redirect Clients Relay Standalone, Ftplib;
    blind_forward_redirect_nftables: Forward Redirect Own Nftables Cooperative, Curl;
}

/// How long the last records may take.
const PROMPT: Duration = Duration::from_secs(5);
pub(super) const PORTS: [u16; 2] = [30000, 30009];
pub(super) const BLIND: &str = "tls: {mode: blind, data_ports: 30000-30009},";

/// Starts the server of a placement, or says why not.
pub(super) fn serve(lab: &Lab, placement: Placement) -> Option<Vsftpd> {
    let missing = ["curl", "python3"].into_iter().find(|program| find(program).is_none());
    let missing = missing.map(|program| format!("{program} is not installed"));
    if let Some(why) = Kind::Vsftpd.missing().or(missing) {
        skip(&test_name(), &why);
        return None;
    }
    let named = placement.dialled().ip(Family::V4);
    let settings = Settings { reuse: true, private: true, passive: Some((PORTS, named)) };
    Some(Vsftpd::start(lab.host(placement.server()), placement.server(), settings))
}

fn run(lab: &Lab, v4: Program, placement: Placement) {
    placement.prepare(lab);
    let before = lab.gateway.snapshot();
    let Some(server) = serve(lab, placement) else { return };
    let gateway = Gateway::start(|audit| placement.rules(audit, BLIND));
    let gateway =
        gateway.unwrap_or_else(|refused| panic!("the gateway does not start: {}", refused.reason()));
    let client = Client::on(lab.host(placement.client()));
    let v6 = if v4 == Curl { Ftplib } else { Curl };
    for (family, program) in [(Family::V4, v4), (Family::V6, v6)] {
        let mark = gateway.audit().mark();
        client.do_all(program, placement.dialled().ip(family), server.home());
        let sessions = if program == Curl { 3 } else { 1 };
        settle(&gateway.audit(), mark, sessions, |records| check(records, placement, family));
    }
    gateway.stop();
    before.assert_same(&lab.gateway.snapshot());
}

/// Waits for the end of so many sessions, whose records then have to be right.
pub(super) fn settle(audit: &Audit, mark: usize, sessions: usize, check: impl Fn(&[Value])) {
    let ended = poll(PROMPT, || {
        let records = audit.records(mark).expect("the records are JSON");
        (of(&records, "session.closed").len() == sessions).then_some(records)
    });
    check(&ended.unwrap_or_else(|| panic!("not every session ends:\n{}", audit.tail(mark))));
}

/// A range for each session, and three connections in all.
fn check(records: &[Value], placement: Placement, family: Family) {
    let (client, dialled, server) = (placement.client(), placement.dialled(), placement.server());
    let sessions = of(records, "session.closed").len();
    for (event, reason) in [("pinhole.opened", "blind"), ("pinhole.revoked", "session-ended")] {
        let found = of(records, event);
        assert_eq!(found.len(), sessions, "{event} in {records:#?}");
        for record in found {
            let wanted = (json!(reason), json!(client.ip(family).to_string()), json!("AUTH"));
            assert_eq!((record["reason"].clone(), record["from"].clone(), record["command"].clone()), wanted);
        }
    }
    for event in ["pinhole.connected", "pinhole.closed"] {
        let found = of(records, event);
        assert_eq!(found.len(), 3, "{event} in {records:#?}");
        for record in found {
            // curl is gone when the server's close_notify comes.
            let reset = event == "pinhole.closed" && record["reason"] == "data-reset";
            assert!(record["reason"].is_null() || reset, "{record}");
            let port = port_at(record, "listen", dialled.ip(family));
            assert_eq!(port_at(record, "to", server.ip(family)), port, "{record}");
            assert!((PORTS[0]..=PORTS[1]).contains(&port), "{record}");
        }
    }
    let sum = |key: &str| {
        of(records, "pinhole.closed").iter().filter_map(|record| record[key].as_u64()).sum::<u64>()
    };
    // Handshakes and the listing come on top.
    let least = content("data.bin").len() as u64;
    assert!(sum("bytes_to_client") > least && sum("bytes_to_server") > least, "{records:#?}");
    for event in ["violation", "command.denied", "pinhole.denied", "pinhole.expired"] {
        assert!(of(records, event).is_empty(), "{records:#?}");
    }
}

pub(super) fn of<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["event"] == event).collect()
}

fn port_at(record: &Value, key: &str, ip: IpAddr) -> u16 {
    let address: SocketAddr = record[key].as_str().unwrap_or_default().parse().expect("an address");
    assert_eq!(address.ip(), ip, "{key} of {record}");
    address.port()
}
