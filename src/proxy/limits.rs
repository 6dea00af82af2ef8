//! How many sessions a service and each of its clients may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::Limits;
use crate::reason::Reason;

/// Counts the sessions of one service.
#[derive(Debug, Default)]
pub(super) struct SessionCounter {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    by_client: HashMap<IpAddr, u32>,
}

/// A session's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    counter: Arc<SessionCounter>,
    client: IpAddr,
}

impl SessionCounter {
    /// A place for `client`, or which limit is reached.
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr, limits: &Limits) -> Result<Place, Reason> {
        let client = network_of(client);
        let mut counts = self.lock();
        if counts.total >= limits.sessions {
            return Err(Reason::SessionLimit);
        }
        let of_client = counts.by_client.entry(client).or_default();
        if *of_client >= limits.sessions_per_client {
            return Err(Reason::ClientSessionLimit);
        }
        *of_client += 1;
        counts.total += 1;
        Ok(Place { counter: Arc::clone(self), client })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counter.lock();
        counts.total -= 1;
        if let Some(of_client) = counts.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                counts.by_client.remove(&self.client);
            }
        }
    }
}

/// One IPv6 client has a whole /64 to choose addresses from, so the /64 is what counts.
fn network_of(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_its_session_is_gone() {
        let counter = Arc::new(SessionCounter::default());
        let limits = Limits { sessions: 2, sessions_per_client: 1, ..Limits::default() };
        let first = counter.enter(ip("192.0.2.1"), &limits).unwrap();
        assert_eq!(counter.enter(ip("192.0.2.1"), &limits).unwrap_err(), Reason::ClientSessionLimit);
        let _second = counter.enter(ip("192.0.2.2"), &limits).unwrap();
        assert_eq!(counter.enter(ip("192.0.2.3"), &limits).unwrap_err(), Reason::SessionLimit);
        drop(first);
        assert!(counter.enter(ip("192.0.2.1"), &limits).is_ok());
    }

    #[test]
    fn an_ipv6_client_is_its_64_bit_network() {
        let counter = Arc::new(SessionCounter::default());
        let limits = Limits { sessions_per_client: 1, ..Limits::default() };
        let _place = counter.enter(ip("2001:db8::1"), &limits).unwrap();
        assert!(counter.enter(ip("2001:db8::2"), &limits).is_err());
        assert!(counter.enter(ip("2001:db8:0:1::1"), &limits).is_ok());
    }
}
