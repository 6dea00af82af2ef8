//! A network interface: found by its name, and attached to a socket.

use std::io;
use std::os::fd::RawFd;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use pnet_datalink::{Config, NetworkInterface, channel};

use super::error::LiveError;

/// An interface that is up.
#[derive(Debug)]
pub(super) struct Interface {
    name: String,
    index: u32,
    pub(super) kind: Kind,
}

/// What comes before IP in a frame, and how often a frame is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ethernet headers.
    Ethernet,
    /// Ethernet headers, and each frame twice: as it goes and as it comes.
    Loopback,
    /// IP, once the kernel has taken off what is before it.
    Other,
}

impl Interface {
    /// The interface `name`, which has to be up.
    pub(super) fn find(name: &str) -> Result<Self, LiveError> {
        let listed = getifaddrs().map_err(|error| LiveError::List(error.into()))?;
        // An interface is listed for each of its addresses, and once with that of its link.
        let links: Vec<_> = listed.filter_map(|entry| Some((of_link(&entry)?, entry))).collect();
        let Some(((index, hardware), entry)) = links.iter().find(|(_, entry)| entry.interface_name == name)
        else {
            let there_are = links.into_iter().map(|(_, entry)| entry.interface_name).collect();
            return Err(LiveError::NoInterface { name: name.to_owned(), there_are });
        };
        if !entry.flags.contains(InterfaceFlags::IFF_UP) {
            return Err(LiveError::Down(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), index: *index, kind: Kind::of(*hardware) })
    }

    /// Lets `socket`, which this takes over, receive the interface's frames. The mode lasts as long as the socket.
    pub(super) fn attach(&self, socket: RawFd, promiscuous: bool) -> io::Result<()> {
        let config = Config { socket_fd: Some(socket), promiscuous, ..Config::default() };
        let interface = NetworkInterface {
            name: self.name.clone(),
            description: String::new(),
            index: self.index,
            mac: None,
            ips: Vec::new(),
            flags: 0,
        };
        // The channel goes, and its sending half with it: nobody here can send.
        channel(&interface, config).map(drop)
    }
}

impl Kind {
    /// By the kernel's number (ARPHRD, linux/if_arp.h).
    fn of(hardware: u16) -> Self {
        match hardware {
            1 => Self::Ethernet,
            772 => Self::Loopback,
            _ => Self::Other,
        }
    }

    /// The type of link headers as captures number it.
    pub(super) fn link_type(self) -> u32 {
        match self {
            Self::Ethernet | Self::Loopback => 1,
            Self::Other => 101,
        }
    }
}

/// The index and the kind of hardware, if `entry` has the address of a link.
fn of_link(entry: &InterfaceAddress) -> Option<(u32, u16)> {
    let link = entry.address.as_ref()?.as_link_addr()?;
    Some((u32::try_from(link.ifindex()).ok()?, link.hatype()))
}
