// SPDX-License-Identifier: GPL-2.0

//! Sets of block numbers, as ranges.

use std::collections::BTreeMap;

/// A set of block numbers. Ranges that touch are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `len` numbers from `first` on.
    pub fn add(&mut self, first: u64, len: u64) {
        if len == 0 {
            return;
        }
        let (mut from, mut to) = (first, first.saturating_add(len));
        while let Some((&start, &end)) = self.0.range(..=to).next_back() {
            if end < from {
                break;
            }
            from = from.min(start);
            to = to.max(end);
            self.0.remove(&start);
        }
        self.0.insert(from, to);
    }

    /// Whether `number` is there.
    pub fn has(&self, number: u64) -> bool {
        let before = self.0.range(..=number).next_back();
        before.is_some_and(|(_, end)| number < *end)
    }

    /// The ranges: first number and length.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(start, end)| (*start, end - start))
    }

    /// What is here and not in `other`.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (&start, &end) in &self.0 {
            let mut at = start;
            let first = other
                .0
                .range(..=start)
                .next_back()
                .map_or(start, |(at, _)| *at);
            for (&from, &to) in other.0.range(first..end) {
                if to > at {
                    left.add(at, from.saturating_sub(at));
                    at = at.max(to);
                }
            }
            left.add(at, end.saturating_sub(at));
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u64, u64)]) -> Ranges {
        let mut set = Ranges::default();
        ranges.iter().for_each(|(first, len)| set.add(*first, *len));
        set
    }

    #[test]
    fn sets_of_numbers() {
        let set = of(&[(10, 5), (20, 5), (15, 5), (30, 0), (40, 2), (39, 1)]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(10, 15), (39, 3)]);
        assert!(set.has(10) && set.has(24) && !set.has(25) && !set.has(9) && set.has(41));
    }

    #[test]
    fn differences_are_those_of_single_numbers() {
        let mut rng = 1u64;
        let mut next = |n: u64| {
            rng = rng
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (rng >> 33) % n
        };
        for _ in 0..500 {
            let mut random = || {
                let ranges: Vec<_> = (0..next(6)).map(|_| (next(40), next(8))).collect();
                of(&ranges)
            };
            let (a, b) = (random(), random());
            let c = a.without(&b);
            for number in 0..60 {
                assert_eq!(
                    c.has(number),
                    a.has(number) && !b.has(number),
                    "{a:?} {b:?}"
                );
            }
        }
    }
}
