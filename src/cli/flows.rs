//! `check --flows`: the connections that firewalls on both sides of the gateway must allow.
//!
//! One table for each service; clients stand beside the listen addresses of their family. A firewall
//! that follows connections needs no more than this: answers belong to the connection.

use std::net::{IpAddr, SocketAddr};

use crate::addr::Family;
use crate::config::{Config, Service};

/// The tables of all services, with an empty line between them.
pub(super) fn tables(config: &Config) -> String {
    let tables: Vec<_> = config.services.iter().map(table).collect();
    tables.join("\n")
}

fn table(service: &Service) -> String {
    let mut rows = vec![HEADER.map(str::to_owned)];
    rows.extend(control(service));
    rows.extend(passive(service));
    if service.policy.active {
        rows.extend(active(service));
    }
    format!("service {}\n{}", service.name, aligned(&rows))
}

fn control(service: &Service) -> Vec<Row> {
    let outside = outside(service).map(|side| {
        let port = side.listen.port().to_string();
        row("control", OUTSIDE, [&side.clients, ANY, &host(side.listen), &port], "client -> gateway")
    });
    let inside = service.upstream.iter().map(|server| {
        let (ip, port) = (server.ip().to_string(), server.port().to_string());
        row("control", INSIDE, [GATEWAY, ANY, &ip, &port], "gateway -> server")
    });
    outside.chain(inside).collect()
}

fn passive(service: &Service) -> Vec<Row> {
    let ports = service.policy.passive_ports.to_string();
    let outside = outside(service).map(|side| {
        let to = match service.policy.advertise {
            Some(told) if side.listen.is_ipv4() => format!("{} (told {told})", host(side.listen)),
            _ => host(side.listen),
        };
        row("passive data", OUTSIDE, [&side.clients, ANY, &to, &ports], "client -> gateway")
    });
    let ports = service.policy.server_ports.to_string();
    let inside = hosts(&service.upstream).into_iter().map(|server| {
        row("passive data", INSIDE, [GATEWAY, ANY, &server.to_string(), &ports], "gateway -> server")
    });
    without_repeats(outside.chain(inside))
}

fn active(service: &Service) -> Vec<Row> {
    let ports = service.policy.active_ports.to_string();
    let inside = hosts(&service.upstream).into_iter().map(|server| {
        row("active data", INSIDE, [&server.to_string(), ANY, GATEWAY, &ports], "server -> gateway")
    });
    let source = service.policy.active_source_port.map_or_else(|| ANY.to_owned(), |port| port.to_string());
    let outside = outside(service).map(|side| {
        let from = host(side.listen);
        row("active data", OUTSIDE, [&from, &source, &side.clients, CLIENT_PORTS], "gateway -> client")
    });
    without_repeats(inside.chain(outside))
}

/// A listen address and the clients of its family.
struct Outside {
    listen: SocketAddr,
    clients: String,
}

/// The listen addresses that have clients of their family.
fn outside(service: &Service) -> impl Iterator<Item = Outside> {
    service.listen.iter().filter_map(|&listen| {
        let same_family = |client: &&ipnet::IpNet| Family::of(client.addr()) == Family::of(listen.ip());
        let clients: Vec<_> = service.clients.iter().filter(same_family).map(ToString::to_string).collect();
        (!clients.is_empty()).then(|| Outside { listen, clients: clients.join(", ") })
    })
}

/// A gateway address as a firewall names it.
fn host(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() { GATEWAY.to_owned() } else { listen.ip().to_string() }
}

fn hosts(addresses: &[SocketAddr]) -> Vec<IpAddr> {
    let mut hosts: Vec<_> = addresses.iter().map(SocketAddr::ip).collect();
    hosts.sort();
    hosts.dedup();
    hosts
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
