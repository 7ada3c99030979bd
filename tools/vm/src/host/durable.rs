// SPDX-License-Identifier: GPL-2.0
//! The durable contents of a device, and what survives of the rest.

use crate::image::BLOCK;
use anyhow::{ensure, Result};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

const PAGE: usize = BLOCK as usize;

#[derive(Default)]
pub struct Durable(Vec<u8>);

/// How a power cut chooses among what was stored and never flushed.
#[derive(Debug, Clone, Default)]
pub struct Tear {
    pub seed: u64,
    /// Blocks that are torn in pieces: the fast-commit area, whose format does
    /// not rely on whole blocks. ext4 itself does, so that elsewhere a block
    /// survives whole or not at all.
    pub fine: HashSet<u64>,
    /// Nothing survives at all, whatever the seed says.
    pub nothing: bool,
}

impl Tear {
    /// All is lost that no flush covered.
    pub fn of_nothing() -> Self {
        Self {
            nothing: true,
            ..Self::default()
        }
    }
}

/// What a cut leaves of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    pub bytes: Vec<u8>,
    pub loss: Loss,
}

/// What it takes away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Blocks with stores that no flush covered.
    pub unflushed: u64,
    /// Of these, blocks that did not keep all of them.
    pub discarded: u64,
    /// Sectors that were written to a disk with no flush behind them, and those of them
    /// that are gone.
    pub loose: u64,
    pub dropped: u64,
}

impl Durable {
    /// All that the file has now is durable.
    pub fn take(&mut self, image: &File) -> Result<()> {
        self.0.resize(image.metadata()?.len() as usize, 0);
        Ok(image.read_exact_at(&mut self.0, 0)?)
    }

    /// What is left of `stored`, the contents at the cut.
    pub fn survivor(&self, stored: &[u8], tear: &Tear) -> Result<Survivor> {
        ensure!(
            stored.len() == self.0.len(),
            "the image has changed its size"
        );
        let mut rng = fastrand::Rng::with_seed(tear.seed);
        // Nothing, all, or a part.
        let chance = match rng.usize(..5) {
            _ if tear.nothing => 0.0,
            choice => [0.0, 0.1, 0.5, 0.9, 1.0][choice],
        };
        let grain = [8, 64, 512, PAGE][rng.usize(..4)];
        let mut survivor = Survivor {
            bytes: stored.to_vec(),
            loss: Loss::default(),
        };
        let pages = survivor.bytes.chunks_mut(PAGE).zip(self.0.chunks(PAGE));
        for (block, (page, old)) in (0u64..).zip(pages) {
            if page == old {
                continue;
            }
            let mut whole = true;
            let grain = if tear.fine.contains(&block) {
                grain
            } else {
                PAGE
            };
            for (piece, before) in page.chunks_mut(grain).zip(old.chunks(grain)) {
                if piece != before && rng.f64() >= chance {
                    piece.copy_from_slice(before);
                    whole = false;
                }
            }
            survivor.loss.unflushed += 1;
            survivor.loss.discarded += u64::from(!whole);
        }
        Ok(survivor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 16 blocks of ones over a durable copy of zeros, after a cut.
    fn cut(seed: u64, fine: &[u64]) -> Survivor {
        let durable = Durable(vec![0; 16 * PAGE]);
        let tear = Tear {
            seed,
            fine: fine.iter().copied().collect(),
            nothing: false,
        };
        durable.survivor(&[1; 16 * PAGE], &tear).unwrap()
    }

    #[test]
    fn blocks_survive_whole_or_not_at_all() {
        let mut kept = HashSet::new();
        for seed in 0..50 {
            let Survivor { bytes, loss } = cut(seed, &[]);
            let whole = |page: &&[u8]| page.iter().all(|byte| *byte == page[0]);
            assert_eq!(bytes.chunks(PAGE).filter(whole).count(), 16);
            let gone = bytes.chunks(PAGE).filter(|page| page[0] == 0).count() as u64;
            assert_eq!((loss.unflushed, loss.discarded), (16, gone));
            kept.insert(gone);
        }
        assert!(kept.contains(&0) && kept.contains(&16) && kept.len() > 4);
    }

    #[test]
    fn the_log_is_torn_in_pieces() {
        let torn = |seed| {
            let page = &cut(seed, &[3]).bytes[3 * PAGE..4 * PAGE];
            page.chunks(8).any(|piece| piece[0] != page[0])
        };
        assert!((0..50).any(torn));
    }

    #[test]
    fn the_same_seed_leaves_the_same() {
        assert_eq!(cut(7, &[1, 2]), cut(7, &[1, 2]));
    }
}
