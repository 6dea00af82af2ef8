//! Connections that begin at a given address, which need not be the host's.
//!
//! Does: bind, mark and connect a socket without waiting. Does not: choose addresses. Called by the
//! relay for data connections and by the proxy for control connections.
//!
//! A transparent socket may have any address (IP_TRANSPARENT, ip(7)); it needs CAP_NET_ADMIN, and the
//! peer's packets have to come by way of this host.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

/// Where a connection comes from; by default from the address that the route has and any port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// The address, of the family that is dialled; `None`: by route.
    pub ip: Option<IpAddr>,
    /// The port, 1..=65535, without effect unless there is an address; `None`: any.
    pub port: Option<u16>,
    /// `None`: the address is the host's. Otherwise it may be anyone's, and packets bear this mark (not
    /// 0), so that the gateway's table tells them from those of whose address it is.
    pub transparent: Option<u32>,
}

/// Begins to connect to `to`; [`established`] waits for the end of it.
///
/// # Errors
/// The address or the port cannot be had, a transparent socket is not permitted, or there is no route.
pub fn connect(to: SocketAddr, origin: &Origin) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if let Some(mark) = origin.transparent {
        make_transparent(&socket, to.ip())?;
        socket.set_mark(mark)?;
    }
    if let Some(ip) = origin.ip {
        match origin.port {
            Some(_) => socket.set_reuse_address(true)?,
            // The kernel picks the port when it connects, when it knows the far end and can use a
            // port again; picking at bind runs out of ports and searches long before it does.
            None => setsockopt(&socket, IpBindAddressNoPort, &true)?,
        }
        socket.bind(&SocketAddr::new(ip, origin.port.unwrap_or(0)).into())?;
    }
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => TcpStream::from_std(socket.into()),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a connect that was begun has come to its end.
///
/// # Errors
/// It failed.
pub async fn established(stream: &TcpStream) -> io::Result<()> {
    stream.writable().await?;
    stream.take_error()?.map_or(Ok(()), Err)
}

/// Lets `socket`, of the family of `ip`, have addresses that are not the host's.
///
/// # Errors
/// CAP_NET_ADMIN is missing.
pub fn make_transparent(socket: &Socket, ip: IpAddr) -> io::Result<()> {
    match ip {
        IpAddr::V4(_) => socket.set_ip_transparent_v4(true),
        IpAddr::V6(_) => socket.set_ip_transparent_v6(true),
    }
}
