//! `check --flows`: the connections that firewalls on both sides of the gateway must allow.
//!
//! One table for each service; clients stand beside the addresses of their family that they dial. A
//! firewall that follows connections needs no more than this: answers belong to the connection.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::addr::{CONTROL_PORT, Family, PortSet};
use crate::config::{Config, Intercept, Role, Service, Source};
use crate::policy::Tls;

/// The tables of all services, with an empty line between them.
pub(super) fn tables(config: &Config) -> String {
    let tables: Vec<_> = config.services.iter().map(table).collect();
    tables.join("\n")
}

fn table(service: &Service) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(control(service));
    rows.extend(passive(
        service,
        "passive data",
        &service.policy.passive_ports,
        &service.policy.server_ports,
    ));
    if let Tls::Blind(ports) = &service.policy.tls {
        rows.extend(passive(service, "data under TLS", ports, ports));
    }
    if service.policy.active {
        rows.extend(active(service));
    }
    format!("service {}\n{}", service.name, aligned(&rows))
}

fn control(service: &Service) -> Vec<Row> {
    let clients = client_side(service).into_iter().map(|side| {
        let port = side.port.to_string();
        row("control", side.place, [&side.clients, ANY, &side.dialled, &port], "client -> gateway")
    });
    let servers = server_side(service).into_iter().map(|side| {
        let port = side.port.to_string();
        row("control", side.place, [&side.seen, ANY, &side.servers, &port], "gateway -> server")
    });
    clients.chain(servers).collect()
}

/// Data that clients dial for, at the gateway's ports and then the servers'.
fn passive(service: &Service, what: &str, gateway_ports: &PortSet, server_ports: &PortSet) -> Vec<Row> {
    let ports = gateway_ports.to_string();
    let clients = client_side(service).into_iter().map(|side| {
        let to = match service.policy.advertise {
            Some(told) if side.family == Family::V4 => format!("{} (told {told})", side.dialled),
            _ => side.dialled,
        };
        row(what, side.place, [&side.clients, ANY, &to, &ports], "client -> gateway")
    });
    let ports = server_ports.to_string();
    let servers = server_side(service)
        .into_iter()
        .map(|side| row(what, side.place, [&side.seen, ANY, &side.servers, &ports], "gateway -> server"));
    without_repeats(clients.chain(servers))
}

fn active(service: &Service) -> Vec<Row> {
    let ports = service.policy.active_ports.to_string();
    let servers = server_side(service).into_iter().map(|side| {
        row("active data", side.place, [&side.servers, ANY, &side.seen, &ports], "server -> gateway")
    });
    let source = service.policy.active_source_port.map_or_else(|| ANY.to_owned(), |port| port.to_string());
    let clients = client_side(service).into_iter().map(|side| {
        let to = [&side.dialled, &source, &side.clients, CLIENT_PORTS];
        row("active data", side.place, to, "gateway -> client")
    });
    without_repeats(servers.chain(clients))
}

/// What clients of one family dial.
struct ClientSide {
    place: &'static str,
    family: Family,
    clients: String,
    dialled: String,
    port: u16,
}

/// What clients dial, as far as there are clients of its family: the gateway, or the servers whose
/// connections it takes.
fn client_side(service: &Service) -> Vec<ClientSide> {
    let place = if service.role == Role::Reverse { OUTSIDE } else { INSIDE };
    let side = |family, dialled, port| {
        let clients = of_family(&service.clients, family)?;
        Some(ClientSide { place, family, clients, dialled, port })
    };
    let at = |addr: SocketAddr| side(Family::of(addr.ip()), host(addr.ip()), addr.port());
    match (service.role, service.intercept) {
        (Role::Reverse, Intercept::Listen) => service.listens().filter_map(at).collect(),
        (Role::Reverse, _) => service.upstream.iter().copied().filter_map(at).collect(),
        (Role::Forward, _) => families(service)
            .filter_map(|family| side(family, of_family(&service.servers, family)?, CONTROL_PORT))
            .collect(),
    }
}

/// Servers of one family, and whom they see.
struct ServerSide {
    place: &'static str,
    servers: String,
    port: u16,
    seen: String,
}

/// The servers, as far as anybody of their family can be seen by them.
fn server_side(service: &Service) -> Vec<ServerSide> {
    let place = if service.role == Role::Reverse { INSIDE } else { OUTSIDE };
    let side =
        |family, servers, port| Some(ServerSide { place, servers, port, seen: seen(service, family)? });
    match service.role {
        Role::Reverse => service
            .upstream
            .iter()
            .filter_map(|addr| side(Family::of(addr.ip()), addr.ip().to_string(), addr.port()))
            .collect(),
        Role::Forward => families(service)
            .filter_map(|family| side(family, of_family(&service.servers, family)?, CONTROL_PORT))
            .collect(),
    }
}

/// The address that servers of `family` see.
fn seen(service: &Service, family: Family) -> Option<String> {
    let own = service.outside_address.iter().find(|ip| Family::of(**ip) == family);
    match service.source {
        Source::Client => of_family(&service.clients, family),
        Source::Gateway => Some(own.map_or_else(|| GATEWAY.to_owned(), ToString::to_string)),
    }
}

/// The families that a service listens in and has clients of.
fn families(service: &Service) -> impl Iterator<Item = Family> {
    let listens = |family: &Family| service.listen.iter().any(|addr| Family::of(addr.ip()) == *family);
    let clients = |family: &Family| of_family(&service.clients, *family).is_some();
    [Family::V4, Family::V6].into_iter().filter(listens).filter(clients)
}

/// The networks of `family` in one cell, `None` when there are none.
fn of_family(networks: &[IpNet], family: Family) -> Option<String> {
    let networks = networks.iter().filter(|network| Family::of(network.addr()) == family);
    let networks: Vec<_> = networks.map(ToString::to_string).collect();
    (!networks.is_empty()).then(|| networks.join(", "))
}

/// An address as a firewall names it.
fn host(ip: IpAddr) -> String {
    if ip.is_unspecified() { GATEWAY.to_owned() } else { ip.to_string() }
}

/// One service may listen on two ports of one address: its data connections are the same.
fn without_repeats(rows: impl Iterator<Item = Row>) -> Vec<Row> {
    let mut kept: Vec<Row> = Vec::new();
    for row in rows {
        if !kept.contains(&row) {
            kept.push(row);
        }
    }
    kept
}

/// The cells of one row, as [`HEADER`] names them.
type Row = [String; 7];

fn row(what: &str, place: &str, [from, from_ports, to, to_ports]: [&str; 4], first: &str) -> Row {
    [what, place, from, from_ports, to, to_ports, first].map(str::to_owned)
}

fn aligned(rows: &[Row]) -> String {
    let widths: Vec<_> = (0..HEADER.len())
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

const HEADER: [&str; 7] =
    ["what", "firewall", "from", "source ports", "to", "destination ports", "first packet goes"];

const OUTSIDE: &str = "outside";
const INSIDE: &str = "inside";
const GATEWAY: &str = "gateway";
const ANY: &str = "any";

/// Clients name their ports themselves; below 1024 is refused.
const CLIENT_PORTS: &str = "1024-65535";
