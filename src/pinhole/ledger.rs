//! Which (dialling address, address dialled, port dialled) triples are taken.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use crate::addr::PortSet;

/// The key of a pending pinhole: a guessed port is worth nothing to another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Triple {
    /// Who dials.
    pub dialler: IpAddr,
    /// The gateway's address that is dialled.
    pub listen: IpAddr,
    /// The gateway's port that is dialled.
    pub port: u16,
}

/// The pending pinholes of a backend by their triple. Bounded by the sessions and by what
/// each may have pending.
#[derive(Debug)]
pub struct Ledger<T> {
    pending: HashMap<Triple, T>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { pending: HashMap::new() }
    }
}

impl<T> Ledger<T> {
    /// The free triples of `ports`, beginning with the one that `random` picks, so that a caller can
    /// go on to the next when a port turns out to be in use by another program.
    pub fn candidates<'a>(
        &'a self,
        dialler: IpAddr,
        listen: IpAddr,
        ports: &'a PortSet,
        random: u32,
    ) -> impl Iterator<Item = Triple> + 'a {
        let count = ports.count();
        let start = random % count;
        (0..count)
            .filter_map(move |step| ports.nth((start + step) % count))
            .map(move |port| Triple { dialler, listen, port })
            .filter(|triple| !self.pending.contains_key(triple))
    }

    /// Takes `triple` for `holder`; gives `holder` back when it is taken already.
    pub fn take(&mut self, triple: Triple, holder: T) -> Result<(), T> {
        match self.pending.entry(triple) {
            Entry::Occupied(_) => Err(holder),
            Entry::Vacant(free) => {
                free.insert(holder);
                Ok(())
            }
        }
    }

    /// Frees `triple` and hands out its holder.
    pub fn release(&mut self, triple: &Triple) -> Option<T> {
        self.pending.remove(triple)
    }

    /// The holder of `triple`.
    pub fn get(&self, triple: &Triple) -> Option<&T> {
        self.pending.get(triple)
    }

    /// How many pinholes are pending.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::addr::PortRange;

    const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

    fn client(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(198, 51, 100, last))
    }

    fn ports(low: u16, high: u16) -> PortSet {
        PortSet::new(vec![PortRange::new(low, high).unwrap()]).unwrap()
    }

    #[test]
    fn one_port_serves_many_clients_but_each_only_once() {
        let one = ports(50_000, 50_000);
        let mut ledger = Ledger::default();
        for last in 1..=3 {
            let triple = ledger.candidates(client(last), GATEWAY, &one, 7).next().unwrap();
            assert_eq!(triple.port, 50_000);
            ledger.take(triple, last).unwrap();
        }
        assert_eq!(ledger.candidates(client(1), GATEWAY, &one, 0).next(), None);
        ledger.release(&Triple { dialler: client(1), listen: GATEWAY, port: 50_000 });
        assert!(ledger.candidates(client(1), GATEWAY, &one, 0).next().is_some());
    }

    #[test]
    fn candidates_go_once_round_the_range_from_a_random_start() {
        let ledger: Ledger<()> = Ledger::default();
        let range = ports(10, 13);
        let got: Vec<_> =
            ledger.candidates(client(1), GATEWAY, &range, u32::MAX).map(|triple| triple.port).collect();
        assert_eq!(got, [13, 10, 11, 12]);
    }

    #[test]
    fn a_taken_triple_is_not_given_away() {
        let mut ledger = Ledger::default();
        let triple = Triple { dialler: client(1), listen: GATEWAY, port: 1024 };
        assert_eq!(ledger.take(triple, "first"), Ok(()));
        assert_eq!(ledger.take(triple, "second"), Err("second"));
        assert_eq!(ledger.get(&triple), Some(&"first"));
    }
}
