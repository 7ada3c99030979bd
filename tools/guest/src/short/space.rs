// SPDX-License-Identifier: GPL-2.0
//! The numbers of the workloads.

use super::{Op, Sync};
use super::{Start, Step, OPS, STARTS, SYNCS};
use std::fmt;

/// A workload: where it begins, and its steps. The last step is synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    pub number: u64,
    pub start: Start,
    pub steps: Vec<Step>,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<String> = self.steps.iter().map(Step::to_string).collect();
        write!(f, "{}: {:?}: {}", self.number, self.start, steps.join("; "))
    }
}

/// Every step that an operation can be part of, synced or not, and those that are.
#[derive(Debug)]
pub struct Space {
    steps: Vec<Step>,
    synced: Vec<Step>,
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

impl Space {
    pub fn new() -> Self {
        let possible = |op: &Op| {
            let op = *op;
            SYNCS
                .into_iter()
                .filter(move |sync| op.can(*sync))
                .map(move |sync| Step { op, sync })
        };
        let steps: Vec<Step> = OPS.iter().flat_map(possible).collect();
        let synced = steps
            .iter()
            .copied()
            .filter(|step| step.sync != Sync::Nothing)
            .collect();
        Self { steps, synced }
    }

    /// How many workloads have so many steps (1 to 3).
    pub fn count(&self, steps: u32) -> u64 {
        let (all, last) = (self.steps.len() as u64, self.synced.len() as u64);
        STARTS.len() as u64 * last * all.pow(steps.saturating_sub(1))
    }

    /// The number of the first workload of so many steps (1 to 3).
    pub fn first(&self, steps: u32) -> u64 {
        (1..steps).map(|n| self.count(n)).sum()
    }

    /// The workload of a number; `None` beyond those of three steps.
    pub fn workload(&self, number: u64) -> Option<Workload> {
        let len = (1..=3).find(|len| number < self.first(len + 1))?;
        let mut rest = number - self.first(len);
        let mut digit = |base: usize| {
            let digit = rest % base as u64;
            rest /= base as u64;
            digit as usize
        };
        let start = STARTS[digit(STARTS.len())];
        let last = self.synced[digit(self.synced.len())];
        let mut steps: Vec<Step> = (1..len)
            .map(|_| self.steps[digit(self.steps.len())])
            .collect();
        steps.push(last);
        Some(Workload {
            number,
            start,
            steps,
        })
    }

    /// The numbers of so many steps, in an order in which any part of them is spread
    /// over all: the `index`-th in the order that `seed` gives.
    pub fn shuffled(&self, steps: u32, seed: u64, index: u64) -> u64 {
        let count = self.count(steps);
        // A stride that has no factor in common with the count visits each once.
        let mut rng = fastrand::Rng::with_seed(seed);
        let from = rng.u64(..count);
        let stride = loop {
            let stride = rng.u64(count / 3..count);
            if gcd(stride, count) == 1 {
                break stride;
            }
        };
        let at = u128::from(from) + u128::from(index) * u128::from(stride);
        self.first(steps) + (at % u128::from(count)) as u64
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        gcd(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_number_is_another_workload_and_the_last_step_is_synced() {
        let space = Space::new();
        let mut seen = BTreeSet::new();
        let two = space.count(1) + space.count(2);
        for number in (0..space.count(1)).chain((space.first(2)..two).step_by(7)) {
            let workload = space.workload(number).unwrap();
            assert_ne!(workload.steps.last().unwrap().sync, Sync::Nothing);
            assert!(seen.insert(format!("{:?}{:?}", workload.start, workload.steps)));
        }
        assert_eq!(space.workload(two - 1).unwrap().steps.len(), 2);
        assert_eq!(space.workload(two).unwrap().steps.len(), 3);
        assert_eq!(space.workload(two + space.count(3)), None);
    }

    #[test]
    fn a_shuffle_visits_each_number_once() {
        let space = Space::new();
        let seen: BTreeSet<u64> = (0..space.count(1))
            .map(|index| space.shuffled(1, 5, index))
            .collect();
        assert_eq!(seen.len() as u64, space.count(1));
        assert_eq!(seen.last(), Some(&(space.count(1) - 1)));
    }
}
