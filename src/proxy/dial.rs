//! Connecting to the server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::addr::Family;

/// Connects to the first of `upstream` that answers within `within`, those of the client's family
/// before the others: the two legs then need no translation.
///
/// # Errors
/// None of them answered; the last error says why.
pub(super) async fn dial(
    upstream: &[SocketAddr],
    client: SocketAddr,
    within: Duration,
) -> io::Result<TcpStream> {
    let same_family = |addr: &&SocketAddr| Family::of(addr.ip()) == Family::of(client.ip());
    let first = upstream.iter().filter(same_family);
    let others = upstream.iter().filter(|addr| !same_family(addr));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no upstream address");
    for addr in first.chain(others) {
        match timeout(within, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}
