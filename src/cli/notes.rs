//! What `check` says of a valid file that its author may not expect: pinholes that use the relay though the
//! service has `data_path: nftables`.

use std::net::SocketAddr;

use crate::config::{Config, Service};
use crate::policy::{DataPath, Tls};

/// The notes on all services, one a line.
pub(super) fn notes(config: &Config) -> Vec<String> {
    let kernel = config.services.iter().filter(|service| service.policy.data_path == DataPath::Nftables);
    kernel
        .flat_map(|service| families(service).chain(own_host(config, service)).chain(tls(service)))
        .collect()
}

/// Sessions with TLS whose bytes the gateway has to see, or whose transfers it does not.
fn tls(service: &Service) -> Option<String> {
    let sessions = match &service.policy.tls {
        Tls::Terminate(terminate) if !terminate.passthrough => "sessions with TLS use the relay for data",
        Tls::Blind(_) => "sessions that are encrypted from end to end use the relay for data",
        Tls::Terminate(_) | Tls::Deny => return None,
    };
    Some(note(service, sessions))
}

/// Listen addresses whose clients have no server of their family. Role forward has none such.
fn families(service: &Service) -> impl Iterator<Item = String> {
    let lacks = |listen: &&SocketAddr| {
        let mut upstream = service.upstream.iter();
        !service.upstream.is_empty() && !upstream.any(|upstream| upstream.is_ipv4() == listen.is_ipv4())
    };
    service.listen.iter().filter(lacks).map(|listen| {
        note(
            service,
            &format!("clients of {listen} use the relay for data, as no upstream is of their family"),
        )
    })
}

/// Servers that are on this host, as far as the file shows.
fn own_host(config: &Config, service: &Service) -> impl Iterator<Item = String> {
    let own = |upstream: &&SocketAddr| {
        let mut listens = config.services.iter().flat_map(|service| &service.listen);
        upstream.ip().is_loopback() || listens.any(|listen| listen.ip() == upstream.ip())
    };
    service.upstream.iter().filter(own).map(|upstream| {
        note(service, &format!("upstream {upstream} is on this host, so its data connections use the relay"))
    })
}

fn note(service: &Service, text: &str) -> String {
    format!("note: service {}: {text}\n", service.name)
}
