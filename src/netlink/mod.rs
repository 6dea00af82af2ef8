//! Netfilter over netlink: elements of nftables sets, conntrack entries and header copies (NFLOG).
//!
//! Does: speak to the kernel on NETLINK_NETFILTER sockets, without C libraries, processes or `unsafe`.
//! Does not: decide anything, know pinholes, wait for other processes, or use async. Needs CAP_NET_ADMIN
//! in the user namespace that owns the network namespace. Called by the nftables backend of `firewall`.
//!
//! Each type holds one socket. The kernel handles a request within sendmsg(2): when that returns, the
//! answer lies in the socket. So every call here is a few system calls that do not wait.

mod conntrack;
mod log;
mod message;
mod nft;
mod socket;

pub use conntrack::{Conntrack, Counter, Entry, Flow, TcpState};
pub use log::{HeaderCopy, HeaderLog, TcpFlags};
pub use nft::{Change, Data, Element, Nft, NftError, TableState};
