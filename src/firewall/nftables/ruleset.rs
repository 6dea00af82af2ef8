//! The gateway's table as text: `table.nft` with its name and numbers filled in, and a rule for each service.
//!
//! Pure: the same rules file gives the same text, which `check --ruleset` prints and the backend hands to
//! `nft`. Elements that come and go are the backend's.

use std::fmt::Write;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::addr::{CONTROL_PORT, Family, PortSet};
use crate::config::{Config, Integration, Intercept, Mark, Role, Service};
use crate::policy::Tls;

/// The conntrack zone of connections that the gateway makes in a client's name: both legs of a session may
/// have the same addresses and ports.
const ZONE: u16 = 1;

/// Connections of the last seconds, in the sets that only they are in. A set that is full does no harm.
const RECENT: u32 = 1 << 16;

/// The log group that header copies are sent to, unless another program has it.
pub const FIRST_GROUP: u16 = 3963;

/// The table for `config`, with header copies sent to the log group `group`.
pub fn render(config: &Config, group: u16) -> String {
    let settings = &config.gateway.nftables;
    let mut text = fill_in(include_str!("table.nft"), config, group);
    let mut extra = Extra { chains: String::new(), mark: settings.mark };
    let services = || config.services.iter().filter(|service| service.needs_table());
    extra.divert(services());
    extra.redirect(services());
    if settings.integration == Integration::Standalone {
        extra.guard(services());
    }
    if services().any(|service| service.policy.transparent) {
        extra.zones();
    }
    extra.range_sets(services(), set_size(config));
    let name = &settings.table;
    write!(text, "\ntable inet {name} {{\n{}}}\n", extra.chains).expect("a string takes any text");
    // Declared, deleted and declared again in one transaction: whatever was there is replaced at once.
    format!("table inet {name}\ndelete table inet {name}\n\n{text}")
}

fn fill_in(template: &str, config: &Config, group: u16) -> String {
    let settings = &config.gateway.nftables;
    let mark = settings.mark;
    let hex = |bits: u32| format!("{bits:#010x}");
    let values = [
        ("$table", settings.table.clone()),
        ("$value", hex(mark.value())),
        ("$mask", hex(mark.mask())),
        ("$others", hex(!mark.mask())),
        ("$original", hex(mark.value() | mark.low())),
        ("$reply", hex(mark.value() | mark.high())),
        ("$cut", hex(mark.low())),
        ("$size", set_size(config).to_string()),
        ("$recent", RECENT.to_string()),
        ("$group", group.to_string()),
    ];
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Twice the sessions that may run: expired elements count until the kernel has collected them.
fn set_size(config: &Config) -> u32 {
    let sessions = config.services.iter().filter(|service| service.needs_table());
    let sessions: u32 = sessions.map(|service| service.policy.limits.sessions).fold(0, u32::saturating_add);
    sessions.saturating_mul(2).clamp(1 << 14, 1 << 20)
}

/// The rules that depend on services.
struct Extra {
    chains: String,
    mark: Mark,
}

impl Extra {
    fn chain(&mut self, name: &str, rules: &[String]) {
        let rules: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
        write!(self.chains, "\tchain {name} {{\n{rules}\t}}\n").expect("a string takes any text");
    }

    /// Packets that belong to a socket with an address that is not ours, and control connections that
    /// TPROXY takes.
    fn divert<'a>(&mut self, services: impl Iterator<Item = &'a Service>) {
        let services: Vec<_> = services.collect();
        let mark =
            format!("meta mark set meta mark & {:#010x} | {:#010x}", !self.mark.mask(), self.mark.value());
        if services.iter().any(|service| service.policy.transparent) {
            // A socket that takes any address is where TPROXY leads to. In the middle of a handshake a packet
            // has no socket that could be one, so the question must not be put the other way round.
            self.chain(
                "divert",
                &[
                    "meta l4proto tcp socket wildcard 1 goto intercept".to_owned(),
                    format!("meta l4proto tcp socket transparent 1 {mark} accept"),
                    "goto intercept".to_owned(),
                ],
            );
        }
        let mut rules = Vec::new();
        for service in services.iter().filter(|service| service.intercept == Intercept::Tproxy) {
            rules.extend(service.listen.iter().flat_map(|&listen| {
                let ip = ip(Family::of(listen.ip()));
                let verdict = format!("tproxy {ip} to {} {mark} accept", target(listen));
                intercepted(service, Family::of(listen.ip())).map(move |which| format!("{which} {verdict}"))
            }));
        }
        self.chain("intercept", &rules);
    }

    /// Control connections that are redirected.
    fn redirect<'a>(&mut self, services: impl Iterator<Item = &'a Service>) {
        let services = services.filter(|service| service.intercept == Intercept::Redirect);
        let rules = services.flat_map(|service| {
            service.listen.iter().flat_map(|listen| {
                let verdict = format!("redirect to :{}", listen.port());
                intercepted(service, Family::of(listen.ip())).map(move |which| format!("{which} {verdict}"))
            })
        });
        let rules: Vec<_> = rules.collect();
        self.chain("redirect_control", &rules);
    }

    /// Nothing new reaches the servers but pinholes; the gateway's own connections do not come this way.
    fn guard<'a>(&mut self, services: impl Iterator<Item = &'a Service>) {
        let mut servers: Vec<_> =
            services.flat_map(|service| &service.upstream).map(SocketAddr::ip).collect();
        servers.sort();
        servers.dedup();
        let rules = [Family::V4, Family::V6].into_iter().filter_map(|family| {
            let servers = one_of(servers.iter().filter(|server| Family::of(**server) == family))?;
            Some(format!("{} daddr {servers} ct state new,invalid,untracked drop", ip(family)))
        });
        let rules: Vec<_> = rules.collect();
        self.chain("guard", &rules);
    }

    /// Who has a session that is encrypted from end to end, and with whom.
    fn range_sets<'a>(&mut self, mut services: impl Iterator<Item = &'a Service>, size: u32) {
        if !services.any(|service| range_of(service).is_some()) {
            return;
        }
        for family in [Family::V4, Family::V6] {
            let (set, address) = (range_set(family), address_type(family));
            writeln!(self.chains, "\tset {set} {{ type {address} . {address}; size {size}; }}")
                .expect("a string takes any text");
        }
    }

    /// A session's two legs may have the same addresses and ports when the server sees the client's.
    fn zones(&mut self) {
        let (mask, socket) = (self.mark.mask(), self.mark.socket());
        write!(
            self.chains,
            "\n\t# Connections made in a client's name: the session's other leg may look the same.\n\
             \tchain zone_in {{\n\
             \t\ttype filter hook prerouting priority raw; policy accept;\n\
             \t\tmeta l4proto tcp socket transparent 1 socket mark & {mask:#010x} == {socket:#010x} ct zone set {ZONE}\n\
             \t}}\n\
             \tchain zone_out {{\n\
             \t\ttype filter hook output priority raw; policy accept;\n\
             \t\tmeta mark & {mask:#010x} == {socket:#010x} ct zone set {ZONE}\n\
             \t}}\n"
        )
        .expect("a string takes any text");
    }
}

/// What matches the connections of a service's clients that are intercepted.
fn intercepted(service: &Service, family: Family) -> impl Iterator<Item = String> {
    let data = range_of(service).map(|ports| {
        let (ip, set) = (ip(family), range_set(family));
        let ports = one_of(ports.ranges().iter()).unwrap_or_default();
        format!("{ip} saddr . {ip} daddr @{set} tcp dport {ports}")
    });
    dialled_by_clients(service, family).into_iter().chain(data)
}

/// The range of a service whose clients dial the server's address.
fn range_of(service: &Service) -> Option<&PortSet> {
    match &service.policy.tls {
        Tls::Blind(ports) if service.policy.intercepted => Some(ports),
        _ => None,
    }
}

fn range_set(family: Family) -> &'static str {
    match family {
        Family::V4 => "range4",
        Family::V6 => "range6",
    }
}

/// What matches the control connections of a service's clients to its servers; `None`: none of this family.
fn dialled_by_clients(service: &Service, family: Family) -> Option<String> {
    let ip = ip(family);
    let clients = networks(&service.clients, family)?;
    let clients = if clients.is_empty() { clients } else { format!("{ip} saddr {clients} ") };
    if service.role == Role::Forward {
        let nfproto = if family == Family::V4 { "ipv4" } else { "ipv6" };
        return Some(format!(
            "meta nfproto {nfproto} {clients}fib daddr type != local tcp dport {CONTROL_PORT}"
        ));
    }
    let servers = service.upstream.iter().filter(|server| Family::of(server.ip()) == family);
    let servers = one_of(servers.map(|server| format!("{} . {}", server.ip(), server.port())))?;
    Some(format!("{clients}{ip} daddr . tcp dport {servers}"))
}

/// A set of the `networks` of `family`: `None` when there are none, empty when they hold every address.
fn networks(networks: &[IpNet], family: Family) -> Option<String> {
    let own = networks.iter().filter(|network| Family::of(network.addr()) == family).copied();
    // nft refuses networks that overlap.
    let own = IpNet::aggregate(&own.collect());
    if own.iter().any(|network| network.prefix_len() == 0) {
        return Some(String::new());
    }
    one_of(own.iter())
}

fn one_of<T: ToString>(items: impl Iterator<Item = T>) -> Option<String> {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    (!items.is_empty()).then(|| format!("{{ {} }}", items.join(", ")))
}

/// Where TPROXY hands a connection to: the address is left out when the socket takes any.
fn target(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() { format!(":{}", listen.port()) } else { listen.to_string() }
}

fn address_type(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    }
}

fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(services: &str) -> String {
        let rules = format!("version: 1\nservices:\n{services}");
        render(&Config::parse("rules.yaml", &rules).unwrap(), FIRST_GROUP)
    }

    /// The rules that services add to a chain.
    fn added(text: &str, chain: &str) -> Vec<String> {
        let (_, rules) = text.rsplit_once(&format!("chain {chain} {{\n")).unwrap();
        rules.lines().map(str::trim).take_while(|rule| *rule != "}").map(str::to_owned).collect()
    }

    #[test]
    fn a_standalone_table_guards_the_servers() {
        let text = rendered(
            "  a: {listen: [\"203.0.113.1:21\"], upstream: [\"10.0.0.5:21\", \"[fd00::5]:21\"], data_path: nftables}\n\
             \x20 b: {listen: [\"203.0.113.2:21\"], upstream: \"10.0.0.6:21\"}\n",
        );
        let guard = added(&text, "guard");
        assert_eq!(
            guard,
            [
                "ip daddr { 10.0.0.5 } ct state new,invalid,untracked drop",
                "ip6 daddr { fd00::5 } ct state new,invalid,untracked drop",
            ]
        );
        assert!(!text.contains("socket transparent") && !text.contains("zone_in"));
    }

    #[test]
    fn a_cooperative_table_guards_nobody() {
        let rules = "version: 1\ngateway: {nftables: {integration: cooperative, table: mine}}\nservices:\n\
                     \x20 a: {listen: [\"203.0.113.1:21\"], upstream: \"10.0.0.5:21\", data_path: nftables}\n";
        let text = render(&Config::parse("rules.yaml", rules).unwrap(), FIRST_GROUP);
        assert!(added(&text, "guard").is_empty());
        assert!(text.starts_with("table inet mine\ndelete table inet mine\n"));
        assert!(!text.contains("ftp_pinhole"));
    }

    #[test]
    fn clients_inside_are_intercepted_unless_they_dial_this_host() {
        let text = rendered(
            "  a: {role: forward, intercept: tproxy, listen: [\"0.0.0.0:2121\"], clients: [10.0.0.0/24, 10.0.0.0/8]}\n\
             \x20 b: {role: forward, intercept: redirect, listen: [\"[::]:2121\"]}\n",
        );
        let mark = "meta mark set meta mark & 0x1fffffff | 0x80000000 accept";
        assert_eq!(
            added(&text, "intercept"),
            [format!(
                "meta nfproto ipv4 ip saddr {{ 10.0.0.0/8 }} fib daddr type != local tcp dport 21 tproxy ip to :2121 {mark}"
            )]
        );
        assert_eq!(
            added(&text, "redirect_control"),
            ["meta nfproto ipv6 fib daddr type != local tcp dport 21 redirect to :2121",]
        );
    }

    #[test]
    fn no_placeholder_is_left() {
        let text =
            rendered("  a: {listen: [\"203.0.113.1:21\"], upstream: \"10.0.0.5:21\", data_path: nftables}\n");
        assert!(!text.contains('$'), "{text}");
    }
}
