//! Addresses and ports as the gateway uses them: whose they are, which family, which ports are allowed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The port that FTP servers listen on when nothing else is said (RFC 959 section 5.2).
pub const CONTROL_PORT: u16 = 21;

/// An address written inside a control line: untrusted, only ever compared or recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdvertisedAddr(pub SocketAddr);

/// The address family of one leg. It decides the verbs: PORT and PASV for IPv4, EPRT and EPSV for IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4, network protocol 1 of RFC 2428.
    V4,
    /// IPv6, network protocol 2 of RFC 2428.
    V6,
}

impl Family {
    /// The family of `ip`.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }

    /// The number that EPRT and EPSV call it by (RFC 2428 section 2).
    pub fn number(self) -> u8 {
        match self {
            Family::V4 => 1,
            Family::V6 => 2,
        }
    }
}

/// An IPv4 address that an IPv6 socket shows as `::ffff:a.b.c.d` becomes the IPv4 address it is.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The four addresses of a control connection's two legs, all taken from the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Legs {
    /// The client.
    pub client: SocketAddr,
    /// The gateway's address that the client reached.
    pub reached: SocketAddr,
    /// The gateway's address that the server sees.
    pub source: SocketAddr,
    /// The server (upstream).
    pub server: SocketAddr,
}

/// One or more ports: `low..=high`, both in 1..=65535 and `low <= high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    low: u16,
    high: u16,
}

impl PortRange {
    /// The ports `low..=high`; `None` when `low` is 0 or above `high`.
    pub const fn new(low: u16, high: u16) -> Option<Self> {
        if low == 0 || low > high {
            return None;
        }
        Some(Self { low, high })
    }

    /// The first port.
    pub const fn low(self) -> u16 {
        self.low
    }

    /// The last port.
    pub const fn high(self) -> u16 {
        self.high
    }

    /// How many ports, 1..=65535.
    pub fn count(self) -> u32 {
        u32::from(self.high) - u32::from(self.low) + 1
    }

    /// Whether `port` is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.low..=self.high).contains(&port)
    }

    /// Whether a port is in both ranges.
    fn meets(self, other: Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}

/// A list of port ranges, in the order that the administrator wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSet(Vec<PortRange>);

impl PortSet {
    /// The ports of `ranges`; `None` when there are none or two ranges share a port.
    pub fn new(ranges: Vec<PortRange>) -> Option<Self> {
        let mut sorted = ranges.clone();
        sorted.sort_by_key(|range| range.low);
        let overlap = sorted.iter().zip(sorted.iter().skip(1)).any(|(a, b)| a.high >= b.low);
        (!ranges.is_empty() && !overlap).then_some(Self(ranges))
    }

    /// The ranges, in the order that they were given.
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    /// How many ports, 1..=65535.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|range| range.count()).sum()
    }

    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(port))
    }

    /// Whether a port is in both sets.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().any(|range| other.0.iter().any(|theirs| range.meets(*theirs)))
    }

    /// The port at `index` in 0..[`count`](Self::count), counted through the ranges in order.
    pub fn nth(&self, index: u32) -> Option<u16> {
        let mut left = index;
        for range in &self.0 {
            if left < range.count() {
                return u16::try_from(u32::from(range.low) + left).ok();
            }
            left -= range.count();
        }
        None
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u16, u16)]) -> Option<PortSet> {
        PortSet::new(ranges.iter().map(|&(low, high)| PortRange::new(low, high).unwrap()).collect())
    }

    #[test]
    fn a_set_counts_its_ports_through_the_ranges() {
        let set = set(&[(50_000, 50_002), (21, 21)]).unwrap();
        assert_eq!(set.count(), 4);
        let ports: Vec<_> = (0..5).map(|i| set.nth(i)).collect();
        assert_eq!(ports, [Some(50_000), Some(50_001), Some(50_002), Some(21), None]);
        assert_eq!(set.to_string(), "50000-50002, 21");
    }

    #[test]
    fn empty_and_overlapping_sets_are_refused() {
        assert_eq!(set(&[]), None);
        assert_eq!(set(&[(10, 20), (20, 30)]), None);
        assert_eq!(PortRange::new(0, 5), None);
        assert_eq!(PortRange::new(6, 5), None);
    }

    #[test]
    fn sets_meet_where_a_port_is_in_both() {
        let one = set(&[(10, 20), (40, 40)]).unwrap();
        for (ranges, meet) in [(&[(20, 30)][..], true), (&[(1, 5), (40, 40)], true), (&[(21, 39)], false)] {
            let other = set(ranges).unwrap();
            assert_eq!((one.meets(&other), other.meets(&one)), (meet, meet), "{other}");
        }
    }

    #[test]
    fn the_whole_range_can_be_held() {
        assert_eq!(set(&[(1, 65_535)]).unwrap().nth(65_534), Some(65_535));
    }
}
