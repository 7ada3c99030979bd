// SPDX-License-Identifier: GPL-2.0
//! What a cut leaves in the middle of a commit, or of a replay: of what that has stored,
//! a part.

use super::memory::BLOCK;
use anyhow::{ensure, Context, Result};
use fastrand::Rng;
use std::collections::BTreeSet;

/// Bytes that a cache line has, and that are never torn.
const LINE: usize = 64;
const WORD: usize = 8;

/// Big-endian, as jbd2 writes them: what begins a block of the journal, and one that ends
/// a transaction; where the superblock has the journal's length and that of the
/// fast-commit area, which is 256 blocks where nothing is said.
const MAGIC: u32 = 0xc03b_3998;
const COMMIT: u32 = 2;
const LENGTH: usize = 16;
const FC_BLOCKS: usize = 84;

/// Where the journal is, in blocks of the device.
pub struct Journal {
    blocks: BTreeSet<usize>,
    area: BTreeSet<usize>,
}

fn u32_be(bytes: &[u8], at: usize) -> Result<u32> {
    let word = bytes.get(at..at + 4).context("beyond the end")?;
    Ok(u32::from_be_bytes(word.try_into()?))
}

fn block(image: &[u8], number: usize) -> Result<&[u8]> {
    let bytes = image.get(number * BLOCK..(number + 1) * BLOCK);
    bytes.with_context(|| format!("no block {number}"))
}

/// Whether a block of the journal is the last one of a transaction.
fn ends_transaction(bytes: &[u8]) -> Result<bool> {
    Ok(u32_be(bytes, 0)? == MAGIC && u32_be(bytes, 4)? == COMMIT)
}

impl Journal {
    /// From the numbers of its blocks, in their order.
    pub fn new(image: &[u8], blocks: &[usize]) -> Result<Self> {
        let sb = block(image, *blocks.first().context("no journal")?)?;
        ensure!(u32_be(sb, 0)? == MAGIC, "no journal superblock");
        let len = u32_be(sb, LENGTH)? as usize;
        let fc = match u32_be(sb, FC_BLOCKS)? as usize {
            0 => 256,
            n => n,
        };
        let first = len.checked_sub(fc).context("fast-commit area")? + 1;
        let area = blocks.get(first..len).context("fast-commit area")?;
        Ok(Self {
            blocks: blocks.iter().copied().collect(),
            area: area.iter().copied().collect(),
        })
    }

    /// A device between these two states, with a commit under way.
    ///
    /// Data are durable before the log that describes them; of the log any part can be,
    /// until its commit has returned. A full commit has not happened before its last
    /// block is there; of what it writes elsewhere than to the journal nothing is taken.
    pub fn in_commit(&self, before: &[u8], after: &[u8], rng: &mut Rng) -> Result<Vec<u8>> {
        let mut image = before.to_vec();
        let changed = changed(before, after);
        let full = |number: &usize| self.blocks.contains(number) && !self.area.contains(number);
        if changed.iter().any(full) {
            for number in changed.iter().filter(|number| full(number)) {
                let ends = ends_transaction(block(after, *number)?)?;
                let first = self.blocks.first() == Some(number);
                if !ends && !first && rng.bool() {
                    put(&mut image, after, *number);
                }
            }
            return Ok(image);
        }
        let data_only = rng.u8(..4) == 0;
        for number in changed.iter().filter(|number| !self.area.contains(number)) {
            if !data_only || rng.bool() {
                put(&mut image, after, *number);
            }
        }
        if !data_only {
            let grain = if rng.bool() { LINE } else { WORD };
            // Mostly all but a little, or only a little.
            let kept = [0.2, 0.5, 0.8, 0.95][rng.usize(..4)];
            for number in changed.iter().filter(|number| self.area.contains(number)) {
                let range = number * BLOCK..(number + 1) * BLOCK;
                let pieces = image[range.clone()].chunks_mut(grain);
                for (piece, new) in pieces.zip(after[range].chunks(grain)) {
                    if rng.f64() < kept {
                        piece.copy_from_slice(new);
                    }
                }
            }
        }
        Ok(image)
    }

    /// A device that a replay was changing: `before` it and `after` it. It empties the
    /// journal, and says so in the superblock, when all else is durable. What it makes of
    /// fast commits is a transaction in the journal before any of it is in its place.
    pub fn in_replay(&self, before: &[u8], after: &[u8], rng: &mut Rng) -> Result<Vec<u8>> {
        let mut image = before.to_vec();
        let (journal, places): (Vec<usize>, Vec<usize>) = changed(before, after)
            .into_iter()
            .filter(|number| !self.area.contains(number))
            .partition(|number| self.blocks.contains(number));
        let superblock = self.blocks.first();
        let transaction: Vec<usize> = journal
            .into_iter()
            .filter(|number| Some(number) != superblock)
            .collect();
        if !transaction.is_empty() && rng.u8(..4) == 0 {
            for number in transaction {
                if !ends_transaction(block(after, number)?)? && rng.bool() {
                    put(&mut image, after, number);
                }
            }
            return Ok(image);
        }
        for number in transaction {
            put(&mut image, after, number);
        }
        for number in places {
            if number != 0 && rng.bool() {
                put(&mut image, after, number);
            }
        }
        Ok(image)
    }
}

fn changed(before: &[u8], after: &[u8]) -> Vec<usize> {
    let pairs = before.chunks(BLOCK).zip(after.chunks(BLOCK));
    pairs
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(number, _)| number)
        .collect()
}

fn put(image: &mut [u8], from: &[u8], number: usize) {
    let range = number * BLOCK..(number + 1) * BLOCK;
    image[range.clone()].copy_from_slice(&from[range]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device of 12 blocks: data in 0 and 1, the journal behind them with a
    /// fast-commit area of four blocks, whose last one is not used.
    fn device() -> (Vec<u8>, Journal) {
        let mut image = vec![0; 12 * BLOCK];
        let sb = &mut image[2 * BLOCK..];
        sb[..4].copy_from_slice(&MAGIC.to_be_bytes());
        sb[LENGTH..LENGTH + 4].copy_from_slice(&10_u32.to_be_bytes());
        sb[FC_BLOCKS..FC_BLOCKS + 4].copy_from_slice(&4_u32.to_be_bytes());
        let blocks: Vec<usize> = (2..12).collect();
        let journal = Journal::new(&image, &blocks).unwrap();
        (image, journal)
    }

    #[test]
    fn the_area_is_at_the_end_of_the_journal() {
        let (_, journal) = device();
        assert_eq!(journal.area, BTreeSet::from([9, 10, 11]));
    }

    #[test]
    fn the_log_is_not_there_before_its_data() {
        let (before, journal) = device();
        let mut after = before.clone();
        after[BLOCK..2 * BLOCK].fill(1);
        after[9 * BLOCK..9 * BLOCK + 640].fill(1);
        let mut seen = BTreeSet::new();
        for seed in 0..60 {
            let image = journal
                .in_commit(&before, &after, &mut Rng::with_seed(seed))
                .unwrap();
            let data = image[BLOCK] == 1;
            let log = image[9 * BLOCK..].iter().filter(|byte| **byte == 1).count();
            assert!(data || log == 0);
            seen.insert((data, log > 0, log == 640));
        }
        assert!(seen.contains(&(false, false, false)) && seen.contains(&(true, true, false)));
    }

    #[test]
    fn a_full_commit_lacks_its_last_block() {
        let (before, journal) = device();
        let mut after = before.clone();
        after[..BLOCK].fill(1);
        after[3 * BLOCK..5 * BLOCK].fill(1);
        let end = &mut after[5 * BLOCK..];
        end[..4].copy_from_slice(&MAGIC.to_be_bytes());
        end[4..8].copy_from_slice(&COMMIT.to_be_bytes());
        let mut some = false;
        for seed in 0..20 {
            let image = journal
                .in_commit(&before, &after, &mut Rng::with_seed(seed))
                .unwrap();
            assert_eq!((image[0], image[5 * BLOCK]), (0, 0));
            some |= image[3 * BLOCK] == 1;
        }
        assert!(some);
    }

    #[test]
    fn a_cut_replay_has_nothing_in_place_before_its_transaction() {
        let (before, journal) = device();
        let mut after = vec![7; before.len()];
        // The last block of the transaction.
        after[8 * BLOCK..8 * BLOCK + 4].copy_from_slice(&MAGIC.to_be_bytes());
        after[8 * BLOCK + 4..8 * BLOCK + 8].copy_from_slice(&COMMIT.to_be_bytes());
        let (mut in_place, mut torn) = (false, false);
        for seed in 0..50 {
            let image = journal
                .in_replay(&before, &after, &mut Rng::with_seed(seed))
                .unwrap();
            // The filesystem's superblock, the journal's, and the fast commits.
            for kept in [0..BLOCK, 2 * BLOCK..3 * BLOCK, 9 * BLOCK..12 * BLOCK] {
                assert_eq!(image[kept.clone()], before[kept]);
            }
            let transaction = 3 * BLOCK..9 * BLOCK;
            let whole = image[transaction.clone()] == after[transaction];
            assert!(whole || image[BLOCK] == before[BLOCK]);
            in_place |= image[BLOCK] == 7;
            torn |= !whole;
        }
        assert!(in_place && torn);
    }
}
