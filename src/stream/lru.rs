//! A table that knows which entry was used longest ago, at constant cost.

use std::collections::HashMap;
use std::hash::Hash;

/// Entries in slots, linked from the one used last to the one used longest ago. The hash is keyed: whoever
/// made a capture cannot choose keys that collide.
#[derive(Debug)]
pub(super) struct Lru<K, T> {
    index: HashMap<K, usize>,
    slots: Vec<Slot<K, T>>,
    free: Vec<usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
}

#[derive(Debug)]
struct Slot<K, T> {
    /// `None` in a free slot.
    entry: Option<(K, T)>,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<K: Copy + Eq + Hash, T> Lru<K, T> {
    pub(super) fn new() -> Self {
        Self { index: HashMap::new(), slots: Vec::new(), free: Vec::new(), newest: None, oldest: None }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The slot of `key`, which becomes the one used last.
    pub(super) fn touch(&mut self, key: &K) -> Option<usize> {
        let slot = *self.index.get(key)?;
        if self.newest != Some(slot) {
            self.unlink(slot);
            self.link(slot);
        }
        Some(slot)
    }

    /// The entry in `slot`.
    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.slots.get_mut(slot)?.entry.as_mut().map(|(_, value)| value)
    }

    /// Adds what `make` makes for its slot under `key`, which must be new.
    pub(super) fn insert(&mut self, key: K, make: impl FnOnce(usize) -> T) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { entry: None, newer: None, older: None });
            self.slots.len() - 1
        });
        if let Some(free) = self.slots.get_mut(slot) {
            free.entry = Some((key, make(slot)));
        }
        self.index.insert(key, slot);
        self.link(slot);
        slot
    }

    /// Takes the entry in `slot` out.
    pub(super) fn remove(&mut self, slot: usize) -> Option<T> {
        let (key, value) = self.slots.get_mut(slot)?.entry.take()?;
        self.unlink(slot);
        self.index.remove(&key);
        self.free.push(slot);
        Some(value)
    }

    /// The slot that was used longest ago.
    pub(super) fn oldest(&self) -> Option<usize> {
        self.oldest
    }

    fn link(&mut self, slot: usize) {
        let older = self.newest.replace(slot);
        if let Some(this) = self.slots.get_mut(slot) {
            (this.newer, this.older) = (None, older);
        }
        match older.and_then(|older| self.slots.get_mut(older)) {
            Some(older) => older.newer = Some(slot),
            None => self.oldest = Some(slot),
        }
    }

    fn unlink(&mut self, slot: usize) {
        let Some(this) = self.slots.get_mut(slot) else { return };
        let (newer, older) = (this.newer.take(), this.older.take());
        match newer.and_then(|newer| self.slots.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match older.and_then(|older| self.slots.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(lru: &mut Lru<u8, u8>) -> Vec<u8> {
        std::iter::from_fn(|| lru.oldest().and_then(|slot| lru.remove(slot))).collect()
    }

    fn of(keys: &[u8]) -> Lru<u8, u8> {
        let mut lru = Lru::new();
        keys.iter().for_each(|key| {
            lru.insert(*key, |_| *key);
        });
        lru
    }

    #[test]
    fn entries_leave_in_the_order_of_their_last_use() {
        let mut lru = of(&[1, 2, 3, 4]);
        for key in [1, 3, 3, 4, 9] {
            lru.touch(&key);
        }
        assert_eq!(drain(&mut lru), [2, 1, 3, 4]);
        assert_eq!((lru.len(), lru.oldest()), (0, None));
    }

    #[test]
    fn slots_are_used_again() {
        let mut lru = of(&[1, 2, 3]);
        let two = lru.touch(&2).unwrap();
        assert_eq!(lru.remove(two), Some(2));
        assert_eq!(lru.remove(two), None);
        assert_eq!(lru.insert(5, |slot| u8::try_from(slot).unwrap()), two);
        assert_eq!(lru.get_mut(two), Some(&mut u8::try_from(two).unwrap()));
        assert_eq!(drain(&mut lru), [1, 3, 1]);
    }
}
