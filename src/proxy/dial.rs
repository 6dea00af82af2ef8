//! Connecting to the server.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::addr::Family;
use crate::config::model::{Service, Source};
use crate::firewall::socket::{Origin, connect, established};

/// Connects to the first of `servers` that answers within the service's `timeouts.connect`, those of
/// the client's family before the others: the two legs then need no translation. With `source: client`
/// the server sees the client's address, and packets bear `mark`.
///
/// # Errors
/// None of them answered; the last error says why.
pub(super) async fn dial(
    service: &Service,
    servers: &[SocketAddr],
    client: SocketAddr,
    mark: u32,
) -> io::Result<TcpStream> {
    let same_family = |addr: &&SocketAddr| Family::of(addr.ip()) == Family::of(client.ip());
    let first = servers.iter().filter(same_family);
    let others = servers.iter().filter(|addr| !same_family(addr));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no upstream address");
    for &addr in first.chain(others) {
        let dialled = async {
            let stream = connect(addr, &origin(service, client.ip(), addr, mark)?)?;
            established(&stream).await?;
            Ok(stream)
        };
        match timeout(service.policy.timeouts.connect, dialled).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// What the server is to see.
fn origin(service: &Service, client: IpAddr, server: SocketAddr, mark: u32) -> io::Result<Origin> {
    let same_family = |ip: &IpAddr| Family::of(*ip) == Family::of(server.ip());
    match service.source {
        Source::Gateway => {
            let ip = service.outside_address.iter().copied().find(same_family);
            Ok(Origin { ip, ..Origin::default() })
        }
        Source::Client if same_family(&client) => {
            Ok(Origin { ip: Some(client), transparent: Some(mark), ..Origin::default() })
        }
        Source::Client => {
            let problem = format!("{server} is not of the family of the client's address {client}");
            Err(io::Error::new(io::ErrorKind::AddrNotAvailable, problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn service(keys: &str) -> Service {
        let text = format!("version: 1\nservices: {{a: {{listen: [0.0.0.0:2121, '[::]:2121'], {keys}}}}}\n");
        Config::parse("rules.yaml", &text).unwrap().services.remove(0)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_server_sees_the_outside_address_of_its_family() {
        let service =
            service("role: forward, intercept: redirect, outside_address: [203.0.113.1, '2001:db8::1']");
        let seen = |server: &str| origin(&service, ip("10.1.0.5"), server.parse().unwrap(), 1).unwrap();
        assert_eq!(seen("198.51.100.5:21"), Origin { ip: Some(ip("203.0.113.1")), ..Origin::default() });
        assert_eq!(seen("[2001:db8:2::5]:21").ip, Some(ip("2001:db8::1")));
    }

    #[test]
    fn the_server_sees_the_client_or_nobody() {
        let service = service("source: client, upstream: [10.0.0.5:21, '[fd00::5]:21']");
        let seen = |server: &str| origin(&service, ip("10.1.0.5"), server.parse().unwrap(), 7);
        let client = Origin { ip: Some(ip("10.1.0.5")), port: None, transparent: Some(7) };
        assert_eq!(seen("10.0.0.5:21").unwrap(), client);
        assert_eq!(seen("[fd00::5]:21").unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn by_default_the_route_decides() {
        let service = service("upstream: 10.0.0.5:21");
        let seen = origin(&service, ip("2001:db8::7"), "10.0.0.5:21".parse().unwrap(), 1).unwrap();
        assert_eq!(seen, Origin::default());
    }
}
