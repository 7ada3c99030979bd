// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A persistent memory that remembers, per aligned 8-byte word, everything that a
//! power cut could leave there.

use crate::common::{Broken, Rng};
use bytelog::writer::{Medium, Persistence};
use std::collections::BTreeMap;

pub const WORD: u64 = 8;
pub const LINE: u64 = 64;

/// How far a store has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Stored,
    WrittenBack,
    Fenced,
}

/// Looks at a state of the medium.
type Watch = Box<dyn FnMut(&Sim)>;

/// The medium, with file data as one counter: the last commit whose data has been
/// stored, passed a barrier, or both.
pub struct Sim {
    /// What is durable for certain.
    durable: Vec<u8>,
    /// What the program sees.
    visible: Vec<u8>,
    /// Per word, its stores since it was durable, oldest first.
    pending: BTreeMap<u64, Vec<([u8; 8], Stage)>>,
    persistence: Persistence,
    /// Operations so far.
    pub steps: usize,
    /// Fallible operations that still succeed; then one fails.
    pub lives: Option<usize>,
    /// Ordinal of the last commit whose data has been stored.
    pub data_stored: u32,
    /// The same, for data that is durable for certain.
    pub data_durable: u32,
    /// Called after every operation.
    on_step: Option<Watch>,
}

impl Sim {
    pub fn new(durable: Vec<u8>, persistence: Persistence) -> Self {
        Self {
            visible: durable.clone(),
            durable,
            pending: BTreeMap::new(),
            persistence,
            steps: 0,
            lives: None,
            data_stored: 0,
            data_durable: 0,
            on_step: None,
        }
    }

    /// Has `check` see every state of the medium from now on.
    pub fn watch(&mut self, check: impl FnMut(&Sim) + 'static) {
        self.on_step = Some(Box::new(check));
    }

    /// Whether the operation is one that fails, half done or not at all.
    fn fails(&mut self) -> Result<(), Broken> {
        match self.lives {
            Some(0) => {
                self.lives = None;
                self.step();
                Err(Broken)
            }
            Some(lives) => {
                self.lives = Some(lives - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        if let Some(mut check) = self.on_step.take() {
            check(self);
            self.on_step = Some(check);
        }
    }

    /// Makes durable what has come as far as `stage`.
    fn settle(&mut self, stage: Stage) {
        for (&word, stores) in &mut self.pending {
            if let Some(last) = stores.iter().rposition(|store| store.1 >= stage) {
                self.durable[word as usize..][..8].copy_from_slice(&stores[last].0);
                stores.drain(..=last);
            }
        }
        self.pending.retain(|_, stores| !stores.is_empty());
    }

    /// Everything in the caches is lost.
    pub fn image_of_nothing_more(&self) -> Vec<u8> {
        self.durable.clone()
    }

    /// Everything in the caches had been evicted.
    pub fn image_of_everything(&self) -> Vec<u8> {
        self.visible.clone()
    }

    /// Images with lines, or single words, at random states between.
    pub fn random_image(&self, rng: &mut Rng) -> Vec<u8> {
        let mut image = self.durable.clone();
        let (torn, chance) = (rng.below(2) == 0, 1 + rng.below(8));
        let mut line = (u64::MAX, false);
        for (&word, stores) in &self.pending {
            if line.0 != word / LINE {
                line = (word / LINE, rng.below(8) < chance);
            }
            let store = match torn {
                true if rng.below(8) < chance => rng.below(stores.len()),
                false if line.1 => stores.len() - 1,
                _ => continue,
            };
            image[word as usize..][..8].copy_from_slice(&stores[store].0);
        }
        image
    }

    /// Images in which one line is behind all others, or ahead of them.
    pub fn edge_images(&self) -> Vec<Vec<u8>> {
        let mut lines: Vec<u64> = self.pending.keys().map(|word| word / LINE).collect();
        lines.dedup();
        let mut images = Vec::new();
        for line in lines {
            let range = (line * LINE) as usize..((line + 1) * LINE) as usize;
            for (mut image, other) in [
                (self.durable.clone(), &self.visible),
                (self.visible.clone(), &self.durable),
            ] {
                image[range.clone()].copy_from_slice(&other[range.clone()]);
                images.push(image);
            }
        }
        images
    }
}

impl Medium for Sim {
    type Error = Broken;

    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result<(), Broken> {
        assert_eq!((off % WORD, bytes.len() as u64 % WORD), (0, 0));
        for (at, word) in (off..).step_by(8).zip(bytes.chunks_exact(8)) {
            self.visible[at as usize..][..8].copy_from_slice(word);
            let store = (word.try_into().unwrap(), Stage::Stored);
            self.pending.entry(at).or_default().push(store);
        }
        self.fails()?;
        self.step();
        Ok(())
    }

    fn write_back(&mut self, off: u64, len: u64) -> Result<(), Broken> {
        self.fails()?;
        let lines = off / LINE * LINE..(off + len).next_multiple_of(LINE);
        for (_, stores) in self.pending.range_mut(lines) {
            for store in stores {
                store.1 = store.1.max(Stage::WrittenBack);
            }
        }
        self.step();
        Ok(())
    }

    fn fence(&mut self) {
        match self.persistence {
            Persistence::Synchronous => {
                self.settle(Stage::WrittenBack);
                self.data_durable = self.data_stored;
            }
            Persistence::NeedsFlush => {
                for store in self.pending.values_mut().flatten() {
                    if store.1 == Stage::WrittenBack {
                        store.1 = Stage::Fenced;
                    }
                }
            }
        }
        self.step();
    }

    fn flush_device(&mut self) -> Result<(), Broken> {
        self.fails()?;
        self.settle(Stage::Fenced);
        self.data_durable = self.data_stored;
        self.step();
        Ok(())
    }

    fn persistence(&self) -> Persistence {
        self.persistence
    }
}
