//! The ground of every test: two networks, and the gateway's host between them.
//!
//! ```text
//!  far      198.51.100.10  2001:db8:1::10 ─┐
//!                                          ├─ 198.51.100.1  gateway  10.77.0.1 ─┬─ 10.77.0.2   near
//!  stranger 198.51.100.66  2001:db8:1::66 ─┘   2001:db8:1::1        fd00:77::1  └─ 10.77.0.66  neighbour
//! ```
//!
//! The hosts inside have a default route through the gateway; those outside have no route to the inside
//! unless the test asks for it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::host::Host;
use crate::namespace::{inside, isolated, skip};
use crate::process::find;
use crate::route::Family;

/// The control port of servers.
pub const FTP: u16 = 21;

/// One of the five hosts, each with an address in each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Outside.
    Far,
    /// Outside, nobody's business.
    Stranger,
    /// The gateway's address towards the outside.
    GatewayOutside,
    /// The gateway's address towards the inside.
    GatewayInside,
    /// Inside.
    Near,
    /// Inside, nobody's business.
    Neighbour,
}

impl Who {
    /// The address in a family.
    pub fn ip(self, family: Family) -> IpAddr {
        let (outside, last) = match self {
            Self::Far => (true, 10),
            Self::Stranger => (true, 66),
            Self::GatewayOutside => (true, 1),
            Self::GatewayInside => (false, 1),
            Self::Near => (false, 2),
            Self::Neighbour => (false, 66),
        };
        // The last digits are the same in both families, though their base is not.
        let last_v6 =
            u16::from_str_radix(&last.to_string(), 16).expect("decimal digits are hexadecimal ones");
        match (family, outside) {
            (Family::V4, true) => Ipv4Addr::new(198, 51, 100, last).into(),
            (Family::V4, false) => Ipv4Addr::new(10, 77, 0, last).into(),
            (Family::V6, true) => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last_v6).into(),
            (Family::V6, false) => Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, last_v6).into(),
        }
    }

    /// A port of the host.
    pub fn at(self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(family), port)
    }

    /// The addresses with their prefix lengths, for `ip address add`.
    fn prefixes(self) -> [String; 2] {
        [format!("{}/24", self.ip(Family::V4)), format!("{}/64", self.ip(Family::V6))]
    }
}

/// The hosts of one test.
pub struct Lab {
    pub gateway: Host,
    pub far: Host,
    pub stranger: Host,
    pub near: Host,
    pub neighbour: Host,
}

impl Lab {
    /// Makes the hosts around the calling thread's namespace, which is the gateway's.
    pub fn new() -> Self {
        let [far, stranger, near, neighbour] = std::array::from_fn(|_| Host::new());
        let lab = Self { gateway: Host::here(), far, stranger, near, neighbour };
        lab.join("outside", Who::GatewayOutside, (&lab.far, Who::Far), (&lab.stranger, Who::Stranger));
        lab.join("inside", Who::GatewayInside, (&lab.near, Who::Near), (&lab.neighbour, Who::Neighbour));
        lab.gateway.settle(&["outside", "inside"]);
        for host in [&lab.far, &lab.stranger, &lab.near, &lab.neighbour] {
            host.settle(&["eth"]);
        }
        for host in [&lab.near, &lab.neighbour] {
            host.ip(&default_routes(Who::GatewayInside));
        }
        lab
    }

    /// Lets the hosts outside reach the inside.
    pub fn route_outside(&self) {
        for host in [&self.far, &self.stranger] {
            host.ip(&default_routes(Who::GatewayOutside));
        }
    }

    /// A network: the gateway's interface `name`, and two hosts, the first of which holds the switch.
    fn join(&self, name: &str, gateway: Who, first: (&Host, Who), second: (&Host, Who)) {
        let (switch, path) = (first.0, first.0.path());
        self.gateway.ip(&format!("link add {name} type veth peer name port1 netns {path}"));
        second.0.ip(&format!("link add eth type veth peer name port2 netns {path}"));
        switch.ip(
            "link add eth type bridge mcast_snooping 0\nlink set port1 master eth up\nlink set port2 master eth up",
        );
        for (host, interface, who) in
            [(&self.gateway, name, gateway), (switch, "eth", first.1), (second.0, "eth", second.1)]
        {
            let [v4, v6] = who.prefixes();
            host.ip(&format!(
                "address add {v4} dev {interface}\naddress add {v6} dev {interface} nodad\nlink set {interface} up"
            ));
        }
    }
}

fn default_routes(gateway: Who) -> String {
    let [v4, v6] = [Family::V4, Family::V6].map(|family| gateway.ip(family));
    format!("route replace 0.0.0.0/0 via {v4}\nroute replace ::/0 via {v6}")
}

/// Runs `body` as the test of this path, which starts with the crate's name, in a lab of its own.
pub fn in_lab(test: &str, body: impl FnOnce(Lab)) {
    on_gateway(test, || body(Lab::new()));
}

/// The same without the lab: the calling thread's namespace is the gateway's, and nothing is around it.
pub fn on_gateway(test: &str, body: impl FnOnce()) {
    let name = test.split_once("::").map_or(test, |(_, name)| name);
    match ["ip", "nft", "unshare"].into_iter().find(|program| find(program).is_none()) {
        Some(program) => skip(name, &format!("{program} is not installed")),
        None => isolated(name, || match inside() {
            true => body(),
            false => skip(name, "no network namespace can be made here"),
        }),
    }
}

/// One test for each line: a name, and what runs in its lab.
macro_rules! lab_tests {
    ($($(#[$meta:meta])* $name:ident: $body:expr;)+) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                $crate::lab::in_lab(concat!(module_path!(), "::", stringify!($name)), $body);
            }
        )+
    };
}
pub(crate) use lab_tests;
