//! The hosts of an example: a client, the gateway, and one host that has the addresses of all servers.
//!
//! What lies between the gateway and a host with an address of another network is left out: they share a
//! link, and each has a route to the other.

use std::net::{IpAddr, SocketAddr};

use crate::host::Host;
use crate::lab::FTP;
use crate::route::Family;
use crate::server::{Kind, Ports, Server, Wishes};

/// An IPv4 and an IPv6 address, each with the length of its network.
pub(super) type Pair = [&'static str; 2];

/// Who has which addresses.
#[derive(Clone, Copy)]
pub(super) struct Ground {
    pub(super) client: Pair,
    pub(super) gateway_to_client: Pair,
    pub(super) gateway_to_servers: Pair,
    pub(super) servers: &'static [Pair],
    /// The servers' data ports, where the example names them.
    pub(super) server_ports: Option<Ports>,
}

/// The hosts.
pub(super) struct Hosts {
    pub(super) gateway: Host,
    pub(super) client: Host,
    pub(super) servers: Host,
}

impl Ground {
    /// Makes the hosts around `gateway`.
    pub(super) fn prepare(self, gateway: Host) -> Hosts {
        let hosts = Hosts { gateway, client: Host::new(), servers: Host::new() };
        join(&hosts.gateway, "clients", self.gateway_to_client, &hosts.client, &[self.client]);
        join(&hosts.gateway, "servers", self.gateway_to_servers, &hosts.servers, self.servers);
        hosts.gateway.settle(&["clients", "servers"]);
        hosts.client.settle(&["eth"]);
        hosts.servers.settle(&["eth"]);
        hosts
    }
}

impl Hosts {
    /// Starts a server at the addresses that `pair` has in `families`.
    pub(super) fn serve(&self, kind: Kind, families: &[Family], pair: Pair, ports: Option<Ports>) -> Server {
        let addresses = families.iter().map(|&family| SocketAddr::new(address(family, pair), FTP));
        let wishes = Wishes { passive: ports, tls: None };
        self.servers.run(|| Server::start_with(kind, addresses, &wishes))
    }
}

/// The address of `pair` in a family.
pub(super) fn address(family: Family, pair: Pair) -> IpAddr {
    let [v4, v6] = pair;
    let text = if family == Family::V4 { v4 } else { v6 };
    bare(text).parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn bare(address: &str) -> &str {
    address.split_once('/').map_or(address, |(ip, _)| ip)
}

/// A link from the gateway's interface `name` to `host`, whose default route is the gateway.
fn join(gateway: &Host, name: &str, own: Pair, host: &Host, others: &[Pair]) {
    gateway.ip(&format!("link add {name} type veth peer name eth netns {}", host.path()));
    gateway.ip(&addresses(&[own], name));
    host.ip(&addresses(others, "eth"));
    let [v4, v6] = own.map(bare);
    host.ip(&format!("route add 0.0.0.0/0 via {v4} dev eth onlink\nroute add ::/0 via {v6} dev eth onlink"));
    let routes = others.iter().flatten().map(|other| format!("route replace {} dev {name}\n", bare(other)));
    gateway.ip(&routes.collect::<String>());
}

fn addresses(pairs: &[Pair], interface: &str) -> String {
    let [v4, v6] = [0, 1].map(|family| pairs.iter().filter_map(move |pair| pair.get(family)));
    let v4 = v4.map(|address| format!("address add {address} dev {interface}\n"));
    let v6 = v6.map(|address| format!("address add {address} dev {interface} nodad\n"));
    v4.chain(v6).collect::<String>() + &format!("link set {interface} up\n")
}
