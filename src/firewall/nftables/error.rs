//! Why the nftables backend cannot start.

use std::io;

/// Why the nftables backend cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NftablesError {
    /// The program `nft` cannot be run.
    #[error("cannot run the program nft (Debian package nftables)")]
    Program(#[source] io::Error),
    /// The kernel does not take the table; the text is what `nft` said.
    #[error("nft refuses the table: {0}")]
    Refused(String),
    /// Another gateway uses a table of this name in this network namespace.
    #[error(
        "another gateway has the table inet {table} (it holds the socket @ftp-pinhole/table/{table}); \
         give one of them another gateway.nftables.table and mark, and servers of its own"
    )]
    Taken {
        /// The name.
        table: String,
    },
    /// A kernel helper reads the same control connections.
    #[error(
        "the kernel's FTP helper is active on port {port}, and both would rewrite the same lines; remove: {rule}"
    )]
    Helper {
        /// The control port.
        port: u16,
        /// The rule that assigns it.
        rule: String,
    },
    /// Header copies of connections cannot be had.
    #[error(
        "cannot read header copies of connections (needs CAP_NET_ADMIN and the kernel's NETFILTER_NETLINK_LOG)"
    )]
    Log(#[source] io::Error),
    /// The table was gone right after it was installed.
    #[error("somebody removes the table as soon as it is there")]
    Vanished,
    /// A socket to the kernel, or a thread, cannot be had.
    #[error("cannot talk to the kernel's packet filter (needs CAP_NET_ADMIN)")]
    Kernel(#[from] io::Error),
}
