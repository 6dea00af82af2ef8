//! Why an interface cannot be listened to.

use std::io;

/// Why an interface cannot be listened to, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// There is no interface of this name.
    #[error("there is no interface {name}; there are {}", .there_are.join(", "))]
    NoInterface {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        there_are: Vec<String>,
    },
    /// The interface is down.
    #[error("interface {0} is down (ip link set {0} up)")]
    Down(String),
    /// The process may not listen.
    #[error(
        "CAP_NET_RAW is missing, which listening to interface {0} needs (setcap cap_net_raw+ep on the program)"
    )]
    Capability(String),
    /// The kernel refuses for another reason.
    #[error("cannot listen to interface {interface}")]
    Open {
        /// Its name.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The interface is gone or was taken down.
    #[error("cannot listen to interface {interface} any more")]
    Read {
        /// Its name.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Interfaces cannot be listed.
    #[error("cannot list the network interfaces")]
    List(#[source] io::Error),
}

impl LiveError {
    pub(super) fn open(interface: &str, source: io::Error) -> Self {
        let interface = interface.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied => Self::Capability(interface),
            _ => Self::Open { interface, source },
        }
    }
}
