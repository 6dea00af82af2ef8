//! A backend that opens nothing and remembers everything, for tests.
//!
//! Does: hand out pinhole ids and ports in a fixed order, keep expectations and orders as they came,
//! fail when told to. Does not: open sockets, send events (the caller plays the network) or keep
//! triples unique. Called by tests of the proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpStream;

use super::{DataObserver, PinholeBackend};
use crate::ids::PinholeId;
use crate::pinhole::{Expectation, OpenError, Opened, Order};
use crate::policy::{Policy, RangePermit, TransferMode};

/// One call of the backend, in the order of the calls.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// [`PinholeBackend::open`] opened this.
    Open(Opened, Expectation),
    /// [`PinholeBackend::open`] was told to fail.
    Refuse(OpenError, Expectation),
    /// [`PinholeBackend::open_range`] opened this.
    OpenRange(PinholeId, RangePermit),
    /// [`PinholeBackend::order`].
    Order(PinholeId, Order),
}

/// Remembers what it was asked for.
#[derive(Default)]
pub struct Recorder {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    opened: u32,
    failure: Option<OpenError>,
    calls: Vec<Call>,
    owners: Vec<Arc<dyn DataObserver>>,
}

impl Recorder {
    /// A recorder whose pinholes are called `p-1`, `p-2` and so on.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every `open` fails with `failure`; `None`: none does.
    pub fn fail(&self, failure: Option<OpenError>) {
        self.state().failure = failure;
    }

    /// Hands out the calls since the last time.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state().calls)
    }

    /// Who is to be told about `pinhole`; `None` when it was never opened.
    pub fn owner(&self, pinhole: PinholeId) -> Option<Arc<dyn DataObserver>> {
        let index = usize::try_from(pinhole.0.checked_sub(1)?).ok()?;
        self.state().owners.get(index).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the lock held")
    }
}

impl PinholeBackend for Recorder {
    fn open(
        &self,
        expectation: Expectation,
        policy: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<Opened, OpenError> {
        let mut state = self.state();
        if let Some(failure) = state.failure {
            state.calls.push(Call::Refuse(failure, expectation));
            return Err(failure);
        }
        let ports = match expectation.mode() {
            TransferMode::Active => &policy.active_ports,
            TransferMode::Passive => &policy.passive_ports,
        };
        let turn = state.opened % ports.count();
        let port = expectation.port.or_else(|| ports.nth(turn)).expect("the turn is below the count");
        state.opened += 1;
        let opened = Opened { id: PinholeId(u64::from(state.opened)), port, relayed: None };
        state.owners.push(owner);
        state.calls.push(Call::Open(opened, expectation));
        Ok(opened)
    }

    fn open_range(
        &self,
        permit: RangePermit,
        _: &Arc<Policy>,
        owner: Arc<dyn DataObserver>,
    ) -> Result<PinholeId, OpenError> {
        let mut state = self.state();
        if let Some(failure) = state.failure {
            return Err(failure);
        }
        state.opened += 1;
        let id = PinholeId(u64::from(state.opened));
        state.owners.push(owner);
        state.calls.push(Call::OpenRange(id, permit));
        Ok(id)
    }

    fn enter_range(&self, stream: TcpStream, _: SocketAddr, _: SocketAddr) -> Option<TcpStream> {
        Some(stream)
    }

    fn order(&self, pinhole: PinholeId, order: Order) {
        self.state().calls.push(Call::Order(pinhole, order));
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::addr::Legs;
    use crate::pinhole::DataEvent;

    struct Deaf;

    impl DataObserver for Deaf {
        fn notify(&self, _: PinholeId, _: DataEvent) {}
    }

    fn expectation(policy: &Policy) -> Expectation {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let legs = Legs {
            client: at("198.51.100.7:40000"),
            reached: at("203.0.113.1:21"),
            source: at("10.0.0.1:40001"),
            server: at("10.0.0.5:21"),
        };
        Expectation::new(policy.permit_passive(&legs, 2000, None).unwrap().permit, None)
    }

    #[test]
    fn ids_and_ports_come_in_a_fixed_order_and_orders_are_kept() {
        let (recorder, policy) = (Recorder::new(), Arc::new(Policy::default()));
        let open = || recorder.open(expectation(&policy), &policy, Arc::new(Deaf)).unwrap();
        let (first, second) = (open(), open());
        assert_eq!(first, Opened { id: PinholeId(1), port: 50_000, relayed: None });
        assert_eq!(second, Opened { id: PinholeId(2), port: 50_001, relayed: None });
        recorder.order(first.id, Order::Close);
        let calls = recorder.calls();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[2], Call::Order(first.id, Order::Close));
        assert!(recorder.calls().is_empty());
        assert!(recorder.owner(second.id).is_some() && recorder.owner(PinholeId(3)).is_none());
    }

    #[test]
    fn it_fails_when_told_to_and_opens_nothing() {
        let (recorder, policy) = (Recorder::new(), Arc::new(Policy::default()));
        recorder.fail(Some(OpenError::Backend));
        let result = recorder.open(expectation(&policy), &policy, Arc::new(Deaf));
        assert_eq!(result, Err(OpenError::Backend));
        assert_eq!(recorder.calls(), [Call::Refuse(OpenError::Backend, expectation(&policy))]);
        recorder.fail(None);
        let opened = recorder.open(expectation(&policy), &policy, Arc::new(Deaf)).unwrap();
        assert_eq!(opened.id, PinholeId(1));
    }
}
