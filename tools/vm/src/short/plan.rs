// SPDX-License-Identifier: GPL-2.0
//! Which workloads are run, in which order.

use bytelog_guest::short::Space;

/// For so many workloads of two steps there is one of three.
const TWO_PER_THREE: u64 = 8;

#[derive(Debug)]
enum Order {
    One(u64),
    /// All of one step, then those of two, with some of three among them.
    Whole,
    /// Some of each length, side by side.
    Sample,
}

#[derive(Debug)]
pub struct Plan {
    space: Space,
    seed: u64,
    order: Order,
}

impl Plan {
    fn new(seed: u64, order: Order) -> Self {
        Self {
            space: Space::new(),
            seed,
            order,
        }
    }

    pub fn one(number: u64) -> Self {
        Self::new(0, Order::One(number))
    }

    pub fn whole(seed: u64) -> Self {
        Self::new(seed, Order::Whole)
    }

    pub fn sample(seed: u64) -> Self {
        Self::new(seed, Order::Sample)
    }

    /// Workloads in the plan.
    pub fn len(&self) -> u64 {
        let (one, two) = (self.space.count(1), self.space.count(2));
        match self.order {
            Order::One(_) => 1,
            Order::Whole => one + two + two / TWO_PER_THREE,
            Order::Sample => one * 3,
        }
    }

    fn number(&self, position: u64) -> u64 {
        let shuffled = |steps, index| self.space.shuffled(steps, self.seed, index);
        let one = self.space.count(1);
        match self.order {
            Order::One(number) => number,
            Order::Whole if position < one => position,
            Order::Whole => {
                let at = position - one;
                let threes = at / (TWO_PER_THREE + 1);
                match at % (TWO_PER_THREE + 1) {
                    TWO_PER_THREE => shuffled(3, threes),
                    _ => shuffled(2, at - threes),
                }
            }
            Order::Sample => shuffled(1 + (position % 3) as u32, position / 3),
        }
    }

    /// The workloads from a position on, at most so many.
    pub fn numbers(&self, position: u64, most: u64) -> Vec<u64> {
        let end = position.saturating_add(most).min(self.len());
        (position..end).map(|at| self.number(at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_whole_has_all_of_one_and_of_two_steps() {
        let plan = Plan::whole(3);
        let numbers: BTreeSet<u64> = plan.numbers(0, u64::MAX).into_iter().collect();
        assert_eq!(numbers.len() as u64, plan.len());
        let short = plan.space.first(3);
        assert!((0..short).all(|number| numbers.contains(&number)));
    }
}
