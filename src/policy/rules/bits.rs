//! Sets of rules by their number.

/// One bit for each rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// The rules that `holds` says of `count` rules.
    pub(super) fn of(count: usize, holds: impl Fn(usize) -> bool) -> Self {
        let mut bits = Self(vec![0; count.div_ceil(64)]);
        (0..count).filter(|rule| holds(*rule)).for_each(|rule| bits.insert(rule));
        bits
    }

    pub(super) fn insert(&mut self, rule: usize) {
        if let Some(word) = self.0.get_mut(rule / 64) {
            *word |= 1 << (rule % 64);
        }
    }

    pub(super) fn contains(&self, rule: usize) -> bool {
        self.0.get(rule / 64).is_some_and(|word| word >> (rule % 64) & 1 == 1)
    }

    /// The rules in both sets, the first one first.
    pub(super) fn common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let words = self.0.iter().zip(&other.0).map(|(a, b)| a & b).enumerate();
        words.flat_map(|(index, word)| Ones(word).map(move |bit| index * 64 + bit))
    }

    /// The rules in both sets.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }
}

/// The places of the ones in a word.
struct Ones(u64);

impl Iterator for Ones {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        usize::try_from(bit).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_rules_come_in_their_order() {
        let (even, third) = (Bits::of(200, |rule| rule % 2 == 0), Bits::of(200, |rule| rule % 3 == 0));
        let common: Vec<_> = even.common(&third).collect();
        assert_eq!(common, (0..200).step_by(6).collect::<Vec<_>>());
        assert_eq!(even.and(&third), Bits::of(200, |rule| rule % 6 == 0));
        assert!(even.contains(198) && !even.contains(199) && !even.contains(200));
    }
}
