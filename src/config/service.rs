//! The `services:` section.

use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::conflicts::{self, Addresses};
use super::model::{Intercept, Service, Source};
use super::placement::{self, Placement};
use super::reader::{Located, Section, Value, values};
use super::words::{
    ACTIVE, ACTIVE_SOURCE_PORT, DATA_DIRECTION, DATA_PATH, PRESET, SERVER_ADDRESS, TOLERATE, YES_NO,
};
use super::{tls, value};
use crate::addr::{PortRange, PortSet};
use crate::policy::{Limits, Policy, Timeouts, Tls, Tolerances};

/// Reads every service, and checks them against each other.
pub(super) fn read_all(top: &mut Section) -> Vec<Service> {
    let Some(section) = top.value("services") else {
        top.missing("services", SERVICES);
        return Vec::new();
    };
    let Some(section) = section.section() else { return Vec::new() };
    let entries = section.entries();
    if entries.is_empty() {
        section.here().refuse(&format!("is empty (allowed: {SERVICES})"));
    }
    let read = entries.into_iter().filter_map(|(name, value)| read(name, value));
    let (services, addresses): (Vec<_>, Vec<_>) = read.unzip();
    conflicts::refuse(&addresses);
    services
}

fn read<'a>(name: &str, value: Value<'a>) -> Option<(Service, Addresses<'a>)> {
    if let Err(problem) = value::service_name().read(name) {
        let allowed = value::service_name();
        value.here().refuse(&format!("{problem} of a service (allowed: {})", allowed.allowed()));
    }
    let mut section = value.section()?;
    let placement = placement::read(&mut section);
    let listen = section.require_list("listen", &value::listen_address());
    let mut addresses = Addresses { listen, upstream: placement::upstream(&mut section, placement.role) };
    placement::refuse_families(&placement, &addresses.listen, &addresses.upstream);
    placement::refuse_loopback(&placement, &addresses.upstream);
    placement::refuse_own_port(&placement, &addresses.listen);
    let clients = section.list("clients", &value::network());
    let (servers, outside_address) = placement::outside(&mut section, &placement);
    let tls = tls::read(&mut section, &placement);
    let mut policy = policy(&mut section);
    policy.tls = tls.policy;
    let Placement { role, intercept, source } = placement;
    policy.intercepted = intercept != Intercept::Listen;
    policy.transparent = policy.intercepted || source == Source::Client;
    refuse_blind_ports(&mut section, &policy, &addresses.listen);
    section.finish();
    let service = Service {
        name: name.into(),
        role,
        intercept,
        source,
        listen: values(&addresses.listen),
        upstream: values(&addresses.upstream),
        clients: clients.map_or_else(everyone, |clients| values(&clients)),
        servers: servers.map_or_else(everyone, |servers| values(&servers)),
        outside_address,
        tls: tls.settings,
        policy: Arc::new(policy),
    };
    addresses.listen.extend(tls.implicit);
    Some((service, addresses))
}

fn policy(section: &mut Section) -> Policy {
    let mut policy = Policy::default();
    section.set("advertise", &mut policy.advertise, value::advertised_address());
    ports(section, "passive_ports", &mut policy.passive_ports);
    ports(section, "active_ports", &mut policy.active_ports);
    ports(section, "server_ports", &mut policy.server_ports);
    section.set("data_path", &mut policy.data_path, value::word(DATA_PATH));
    section.set("server_address", &mut policy.server_address, value::word(SERVER_ADDRESS));
    section.set("active", &mut policy.active, value::word(ACTIVE));
    section.set("active_source_port", &mut policy.active_source_port, value::word(ACTIVE_SOURCE_PORT));
    section.set("data_direction", &mut policy.enforce_direction, value::word(DATA_DIRECTION));
    section.set("require_login", &mut policy.require_login, value::word(YES_NO));
    section.set("preset", &mut policy.preset, value::word(PRESET));
    tolerate(section, &mut policy.tolerate);
    if let Some(limits) = section.section("limits") {
        read_limits(limits, &mut policy.limits);
    }
    if let Some(timeouts) = section.section("timeouts") {
        read_timeouts(timeouts, &mut policy.timeouts);
    }
    policy
}

/// A port of the static range is open to every address that has a session, one of `passive_ports` to none.
fn refuse_blind_ports(section: &mut Section, policy: &Policy, listen: &[Located<SocketAddr>]) {
    let Tls::Blind(blind) = &policy.tls else { return };
    if policy.intercepted {
        // Those are addresses of servers.
        return;
    }
    if let Some(own) = listen.iter().find(|own| blind.contains(own.value.port())) {
        let problem = format!("{} is a port of tls.data_ports (allowed: none of those)", own.value);
        own.here.refuse(&problem);
    }
    let shares = |port| policy.passive_ports.contains(port);
    if let Some(port) = (0..blind.count()).filter_map(|index| blind.nth(index)).find(|port| shares(*port)) {
        let problem = format!("holds port {port}, as tls.data_ports does (allowed: none of those)");
        section.refuse("passive_ports", &problem);
    }
}

fn ports(section: &mut Section, key: &'static str, into: &mut PortSet) {
    let Some(ranges) = section.list(key, &value::ports()) else { return };
    match PortSet::new(values(&ranges)) {
        Some(set) => *into = set,
        None => refuse_shared_ports(&ranges),
    }
}

pub(super) fn refuse_shared_ports(ranges: &[Located<PortRange>]) {
    for (index, later) in ranges.iter().enumerate() {
        let shares = |earlier: &&Located<_>| PortSet::new(vec![earlier.value, later.value]).is_none();
        if let Some(earlier) = ranges.iter().take(index).find(shares) {
            let (later_ports, earlier_ports) = (later.value, earlier.value);
            let problem = format!("{later_ports} and {earlier_ports} share ports (allowed: each port once)");
            later.here.refuse(&problem);
        }
    }
}

fn tolerate(section: &mut Section, into: &mut Tolerances) {
    let Some(value) = section.value("tolerate") else { return };
    for tolerance in value.items().iter().filter_map(|item| item.read(&value::word(TOLERATE))) {
        *tolerance.switch(into) = true;
    }
}

fn read_limits(mut section: Section, into: &mut Limits) {
    section.set("sessions", &mut into.sessions, value::integer(1..=1_000_000));
    section.set("sessions_per_client", &mut into.sessions_per_client, value::integer(1..=1_000_000));
    section.set("line_bytes", &mut into.line_bytes, value::bytes(512..=65_536));
    section.set("pending_commands", &mut into.pending_commands, value::integer(1..=1000));
    section.set("reply_lines", &mut into.reply_lines, value::integer(1..=10_000));
    section.set("violations", &mut into.violations, value::integer(0..=1000));
    section.set("login_failures", &mut into.login_failures, value::integer(1..=1000));
    section.finish();
}

fn read_timeouts(mut section: Section, into: &mut Timeouts) {
    section.set("login", &mut into.login, value::duration());
    section.set("idle", &mut into.idle, value::duration());
    section.set("pinhole", &mut into.pinhole, value::duration());
    section.set("data_idle", &mut into.data_idle, value::duration());
    section.set("connect", &mut into.connect, value::duration());
    section.set("drain", &mut into.drain, value::duration());
    section.finish();
}

fn everyone() -> Vec<IpNet> {
    vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

const SERVICES: &str = "a name and its keys for each service, at least one";
