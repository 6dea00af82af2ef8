//! The gateway ends the control connection's TLS, and data moves in the kernel where it may: protected data from
//! end to end (`data: passthrough`), and data without TLS.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use serde_json::Value;

use super::blind::{of, settle};
use super::client::{Client, Protection};
use super::vsftpd::{Settings, Vsftpd};
use super::{Certificate, QUIET};
use crate::gateway::Gateway;
use crate::lab::{FTP, Lab, Who, lab_tests};
use crate::namespace::{skip, test_name};
use crate::operation::{content, put_file};
use crate::placement::{DataPath, Integration, Intercept, PASSIVE_PORTS, Placement, Role, Source};
use crate::process::find;
use crate::route::Family;
use crate::server::{Kind, Server};

lab_tests! {
    passthrough_carries_data_from_end_to_end_nftables: |lab| passthrough(&lab, KERNEL);
    passthrough_carries_data_from_end_to_end_relay: |lab| passthrough(&lab, RELAY);
    passthrough_cannot_resume_the_servers_session: |lab| passthrough_with_reuse(&lab);
    only_data_under_tls_leaves_the_kernel: |lab| relayed_for_tls(&lab);
}

const KERNEL: Placement = Placement {
    role: Role::Reverse,
    intercept: Intercept::Listen,
    source: Source::Gateway,
    data_path: DataPath::Nftables,
    integration: Integration::Standalone,
};
const RELAY: Placement = Placement { data_path: DataPath::Relay, ..KERNEL };

/// Whether the programs are there; says so if not.
fn ready() -> bool {
    let curl = find("curl").is_none().then(|| "curl is not installed".to_owned());
    let why = Kind::Vsftpd.missing().or(curl);
    why.iter().for_each(|why| skip(&test_name(), why));
    why.is_none()
}

/// A gateway that ends its clients' TLS, with these further keys of `tls`.
fn terminating(placement: Placement, dir: &Path, keys: &str) -> Gateway {
    let Certificate { chain, key } = Certificate::new(dir, "gateway.test");
    let certificates =
        format!("certificates: {{chain: \"{}\", key: \"{}\"}}", chain.display(), key.display());
    let tls = format!("tls: {{mode: terminate, {certificates}, {keys}}},");
    let gateway = Gateway::start(|audit| placement.rules(audit, &tls));
    gateway.unwrap_or_else(|refused| panic!("the gateway does not start: {}", refused.0))
}

fn passing_through(lab: &Lab, placement: Placement, dir: &Path, reuse: bool) -> (Vsftpd, Gateway) {
    let settings = Settings { reuse, private: false, passive: None };
    let server = Vsftpd::start(&lab.near, Who::Near, settings);
    let keys = format!(
        "upstream_tls: explicit, upstream_pin: \"{}\", data: passthrough, min_protection: control",
        server.certificate().display()
    );
    let gateway = terminating(placement, dir, &keys);
    (server, gateway)
}

/// With PROT P ciphertext is counted, with PROT C the file; each transfer has a pinhole of its own, used once.
fn passthrough(lab: &Lab, placement: Placement) {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directories can be made");
    let (server, gateway) = passing_through(lab, placement, dir.path(), false);
    let client = Client::on(&lab.far);
    for (family, protection) in
        [(Family::V4, Protection::All), (Family::V4, Protection::Control), (Family::V6, Protection::All)]
    {
        let mark = gateway.audit().mark();
        client.curl_all(Who::GatewayOutside.ip(family), protection, server.home());
        settle(&gateway.audit(), mark, 3, |records| {
            carried_once(lab, records, &Value::Null);
            let size = content("data.bin").len() as u64;
            let (down, up) = (transfer(records, "RETR"), transfer(records, "STOR"));
            let (down, up) = (down["bytes_to_client"].as_u64(), up["bytes_to_server"].as_u64());
            match protection {
                // curl is gone when the server's close_notify comes, and the kernel does not count what is reset.
                Protection::All => {
                    assert!(down > Some(size) && up.is_none_or(|up| up > size), "{down:?} and {up:?} bytes");
                }
                Protection::Control | Protection::Plain => assert_eq!((down, up), (Some(size), Some(size))),
            }
        });
    }
    gateway.stop();
}

/// The client has no session with the server that it could resume: docs/ftps.md tells servers not to ask for that.
fn passthrough_with_reuse(lab: &Lab) {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directories can be made");
    let (_server, gateway) = passing_through(lab, KERNEL, dir.path(), true);
    let done = Client::on(&lab.far).curl(Who::GatewayOutside.ip(Family::V4), Protection::All, &[]);
    assert!(!done.success && done.output.contains("< 522 "), "the client hears {}", done.output);
    gateway.stop();
}

/// One service with and without TLS.
fn relayed_for_tls(lab: &Lab) {
    if !ready() {
        return;
    }
    let dir = tempfile::tempdir().expect("temporary directories can be made");
    let addresses = [Family::V4, Family::V6].map(|family| Who::Near.at(family, FTP));
    let server = lab.near.run(|| Server::start_at(Kind::Vsftpd, addresses));
    put_file(&server.home().join("data.bin"), &content("data.bin"));
    let gateway = terminating(KERNEL, dir.path(), "min_protection: clear");
    let client = Client::on(&lab.far);
    for (protection, reason) in [
        (Protection::All, Value::from("relayed-tls")),
        (Protection::Control, Value::from("relayed-tls")),
        (Protection::Plain, Value::Null),
    ] {
        let mark = gateway.audit().mark();
        client.curl_all(Who::GatewayOutside.ip(Family::V4), protection, server.home());
        settle(&gateway.audit(), mark, 3, |records| {
            carried_once(lab, records, &reason);
            let size = content("data.bin").len();
            assert_eq!(transfer(records, "RETR")["bytes_to_client"], size, "payload is counted");
            assert_eq!(transfer(records, "STOR")["bytes_to_server"], size, "payload is counted");
        });
    }
    gateway.stop();
}

/// Three pinholes, opened with this reason, each used once and shut now.
fn carried_once(lab: &Lab, records: &[Value], reason: &Value) {
    let opened = of(records, "pinhole.opened");
    assert_eq!(opened.len(), 3, "{records:#?}");
    for pinhole in opened {
        assert_eq!(pinhole["reason"], *reason, "{pinhole}");
        for event in ["pinhole.connected", "pinhole.closed"] {
            let its = of(records, event).into_iter().filter(|record| record["pinhole"] == pinhole["pinhole"]);
            assert_eq!(its.count(), 1, "{event} of {pinhole}");
        }
        let listen: SocketAddr = pinhole["listen"].as_str().unwrap_or_default().parse().expect("an address");
        assert!(PASSIVE_PORTS.contains(&listen.port()), "{pinhole}");
        let again = lab.far.run(|| TcpStream::connect_timeout(&listen, QUIET));
        assert!(again.is_err(), "{listen} is open");
    }
}

/// The record of the end of a transfer.
fn transfer<'a>(records: &'a [Value], verb: &str) -> &'a Value {
    let closed = of(records, "pinhole.closed").into_iter();
    let mut its =
        closed.filter(|record| record["transfer"].as_str().is_some_and(|text| text.starts_with(verb)));
    its.next().unwrap_or_else(|| panic!("no {verb} in {records:#?}"))
}
