// SPDX-License-Identifier: GPL-2.0
//! Transactions made from a seed, and the rows that are there after each.

use crate::ops::fill;
use std::collections::BTreeMap;

/// Rows of the table, more or less.
const ROWS: usize = 40;

/// Bytes of a row: most fit into a page, some do not.
const SMALL: usize = 1200;
const LARGE: usize = 12_000;

/// What a row holds: its bytes follow from these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub tag: u32,
    pub len: usize,
}

impl Row {
    pub fn bytes(self) -> Vec<u8> {
        fill(u64::from(self.tag), self.len)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Insert(i64, Row),
    Update(i64, Row),
    Delete(i64),
}

/// Changes that are committed together, with the number of the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub number: u64,
    pub changes: Vec<Change>,
}

/// The transactions of one database. They never end.
pub struct Generator {
    rng: fastrand::Rng,
    rows: BTreeMap<i64, Row>,
    number: u64,
    /// Rows that have ever been inserted.
    inserted: i64,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            rows: BTreeMap::new(),
            number: 0,
            inserted: 0,
        }
    }

    /// The rows after the transactions so far, by their keys.
    pub fn rows(&self) -> &BTreeMap<i64, Row> {
        &self.rows
    }

    /// The next transaction, already applied to the rows.
    pub fn step(&mut self) -> Transaction {
        self.number += 1;
        let count = self.rng.usize(1..=5);
        Transaction {
            number: self.number,
            changes: (0..count).map(|_| self.change()).collect(),
        }
    }

    fn change(&mut self) -> Change {
        let most = if self.rng.u32(0..12) == 0 {
            LARGE
        } else {
            SMALL
        };
        let row = Row {
            tag: self.rng.u32(..),
            len: self.rng.usize(..most),
        };
        let at = self.rng.usize(..self.rows.len().max(1));
        let key = self.rows.keys().nth(at).copied();
        let full = self.rows.len() >= ROWS;
        match (self.rng.u32(0..10), key) {
            (0..4, Some(key)) => {
                self.rows.insert(key, row);
                Change::Update(key, row)
            }
            (4, Some(key)) | (_, Some(key)) if full || self.rng.u32(0..6) == 0 => {
                self.rows.remove(&key);
                Change::Delete(key)
            }
            _ => {
                self.inserted += 1;
                self.rows.insert(self.inserted, row);
                Change::Insert(self.inserted, row)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::mem::discriminant;

    #[test]
    fn the_same_seed_gives_the_same_transactions() {
        let all = |seed| -> Vec<Transaction> {
            let mut steps = Generator::new(seed);
            (0..100).map(|_| steps.step()).collect()
        };
        assert_eq!(all(3), all(3));
        assert_ne!(all(3), all(4));
    }

    #[test]
    fn every_kind_of_change_occurs_and_the_table_stays_small() {
        let mut steps = Generator::new(1);
        let mut kinds = HashSet::new();
        for _ in 0..500 {
            kinds.extend(steps.step().changes.iter().map(discriminant));
            assert!(steps.rows().len() <= ROWS);
        }
        assert_eq!(kinds.len(), 3);
        assert!(steps.rows().len() > ROWS / 2);
    }
}
