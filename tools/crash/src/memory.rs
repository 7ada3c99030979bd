// SPDX-License-Identifier: GPL-2.0

//! A persistent memory that remembers, per aligned 8-byte word, everything that a
//! power cut could leave there.
//!
//! A store can become durable from the moment it is made, alone or with others, in
//! any order: lines are evicted as the cache likes. It is durable for certain when
//! its line has been written back after it and a fence has passed, and, where the
//! device needs one, a flush after that. Words are atomic, lines are not: within a
//! line x86 keeps the order of stores, which is not relied upon.

use crate::trace::Event;
use anyhow::{ensure, Context, Result};
use bytelog::medium::Persistence;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Bytes that become durable together.
pub const WORD: usize = 8;

/// Bytes of a cache line, the unit of write-back.
pub const LINE: usize = 64;

/// The content of a word.
pub type Word = [u8; WORD];

/// How far a store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Stored,
    WrittenBack,
    Fenced,
}

/// The memory.
pub struct Memory {
    device: Persistence,
    /// What is there for certain.
    durable: Vec<u8>,
    /// What the program sees.
    visible: Vec<u8>,
    /// By offset, the stores since a word was durable, oldest first.
    pending: BTreeMap<usize, Vec<(Word, Stage)>>,
    /// File data that is not durable for certain.
    data: BTreeMap<u64, Stage>,
    /// The same on a device of its own.
    apart: BTreeSet<u64>,
}

impl Memory {
    /// A memory that durably holds `image`.
    pub fn new(device: Persistence, image: Vec<u8>) -> Self {
        Self {
            device,
            visible: image.clone(),
            durable: image,
            pending: BTreeMap::new(),
            data: BTreeMap::new(),
            apart: BTreeSet::new(),
        }
    }

    /// What a power cut leaves for certain.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// What the program sees.
    pub fn visible(&self) -> &[u8] {
        &self.visible
    }

    /// Whether file data is there for certain. Data that was never stored is
    /// somebody else's business.
    pub fn data_is_durable(&self, number: u64) -> bool {
        !self.data.contains_key(&number) && !self.apart.contains(&number)
    }

    /// The words that can be this way or another, by offset, with what has been
    /// stored there since they were durable, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = Word> + '_)> {
        let values = |stores: &'_ Vec<(Word, Stage)>| stores.clone().into_iter().map(|s| s.0);
        self.pending
            .iter()
            .map(move |(&off, stores)| (off, values(stores)))
    }

    /// Does what `event` says.
    pub fn apply(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Store { off, bytes } => self.store(*off, bytes, Stage::Stored),
            Event::Stream { off, bytes } => self.store(*off, bytes, Stage::WrittenBack),
            Event::WriteBack { off, len } => self.write_back(*off, *len),
            Event::Fence => {
                match self.device {
                    Persistence::Synchronous => self.settle(Stage::WrittenBack),
                    Persistence::NeedsFlush => self.fence(),
                }
                Ok(())
            }
            Event::Flush => {
                self.settle(match self.device {
                    Persistence::Synchronous => Stage::WrittenBack,
                    Persistence::NeedsFlush => Stage::Fenced,
                });
                Ok(())
            }
            Event::DataStore(number) => {
                let fresh = self.data.insert(*number, Stage::Stored).is_none();
                ensure!(fresh, "data {number} is stored twice");
                Ok(())
            }
            Event::DataFlush(number) => {
                if let Some(stage) = self.data.get_mut(number) {
                    *stage = Stage::WrittenBack;
                }
                Ok(())
            }
            Event::ApartStore(number) => {
                let fresh = self.apart.insert(*number);
                ensure!(fresh, "data {number} is stored twice");
                Ok(())
            }
            Event::ApartFlush => {
                self.apart.clear();
                Ok(())
            }
            Event::Tid(_) | Event::Issue(_) | Event::Ack | Event::Abort => Ok(()),
        }
    }

    fn range(&self, off: u64, len: u64) -> Result<Range<usize>> {
        let start = usize::try_from(off).ok();
        let end = off
            .checked_add(len)
            .and_then(|end| usize::try_from(end).ok());
        start
            .zip(end)
            .map(|(start, end)| start..end)
            .filter(|range| range.end <= self.visible.len())
            .with_context(|| format!("{len} bytes at {off} are not inside the area"))
    }

    fn store(&mut self, off: u64, bytes: &[u8], stage: Stage) -> Result<()> {
        let range = self.range(off, bytes.len() as u64)?;
        self.visible[range.clone()].copy_from_slice(bytes);
        for at in (range.start / WORD * WORD..range.end).step_by(WORD) {
            let mut word = [0; WORD];
            word.copy_from_slice(&self.visible[at..at + WORD]);
            let stores = self.pending.entry(at).or_default();
            stores.push((word, stage));
        }
        Ok(())
    }

    fn write_back(&mut self, off: u64, len: u64) -> Result<()> {
        let range = self.range(off, len)?;
        let lines = range.start / LINE * LINE..range.end.next_multiple_of(LINE);
        for (_, stores) in self.pending.range_mut(lines) {
            for (_, stage) in stores {
                *stage = (*stage).max(Stage::WrittenBack);
            }
        }
        Ok(())
    }

    /// A fence that is not enough.
    fn fence(&mut self) {
        for (_, stage) in self.pending.values_mut().flatten() {
            if *stage == Stage::WrittenBack {
                *stage = Stage::Fenced;
            }
        }
    }

    /// Makes durable what has come as far as `stage`. File data has been handed to
    /// the device when it has been written back.
    fn settle(&mut self, stage: Stage) {
        let durable = &mut self.durable;
        self.pending.retain(|&at, stores| {
            if let Some(last) = stores.iter().rposition(|store| store.1 >= stage) {
                durable[at..at + WORD].copy_from_slice(&stores[last].0);
                stores.drain(..=last);
            }
            !stores.is_empty()
        });
        self.data.retain(|_, stage| *stage < Stage::WrittenBack);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(device: Persistence, events: &[Event]) -> Memory {
        let mut memory = Memory::new(device, vec![0; 256]);
        for event in events {
            memory.apply(event).unwrap();
        }
        memory
    }

    fn store(off: u64, byte: u8) -> Event {
        let bytes = vec![byte; WORD];
        Event::Store { off, bytes }
    }

    fn write_back(off: u64) -> Event {
        Event::WriteBack { off, len: 1 }
    }

    #[test]
    fn synchronous_needs_write_back_then_fence() {
        use Event::Fence;
        let durable = |events: &[_]| memory(Persistence::Synchronous, events).durable[64];
        assert_eq!(durable(&[store(64, 1), Fence]), 0);
        assert_eq!(durable(&[store(64, 1), write_back(64)]), 0);
        assert_eq!(durable(&[write_back(64), store(64, 1), Fence]), 0);
        assert_eq!(durable(&[store(64, 1), write_back(0), Fence]), 0);
        assert_eq!(durable(&[store(64, 1), write_back(127), Fence]), 1);
        let late = [store(64, 1), write_back(64), store(64, 2), Fence];
        let memory = memory(Persistence::Synchronous, &late);
        assert_eq!((memory.durable[64], memory.visible[64]), (1, 2));
        assert_eq!(memory.pending.len(), 1);
    }

    #[test]
    fn streams_need_a_fence_only() {
        let (off, bytes) = (64, vec![1; WORD]);
        let stream = Event::Stream { off, bytes };
        let durable = |events: &[_]| memory(Persistence::Synchronous, events).durable[64];
        assert_eq!(durable(&[stream.clone()]), 0);
        assert_eq!(durable(&[stream.clone(), Event::Fence]), 1);
        // A word that was stored to before and after is at what was streamed.
        assert_eq!(durable(&[store(64, 2), stream.clone(), Event::Fence]), 1);
        let later = memory(
            Persistence::Synchronous,
            &[stream, store(64, 2), Event::Fence],
        );
        assert_eq!((later.durable[64], later.visible[64]), (1, 2));
    }

    #[test]
    fn others_need_a_flush_after_the_fence() {
        use Event::{Fence, Flush};
        let durable = |events: &[_]| memory(Persistence::NeedsFlush, events).durable[64];
        assert_eq!(durable(&[store(64, 1), write_back(64), Fence]), 0);
        assert_eq!(durable(&[store(64, 1), write_back(64), Flush]), 0);
        assert_eq!(durable(&[store(64, 1), write_back(64), Flush, Fence]), 0);
        assert_eq!(durable(&[store(64, 1), write_back(64), Fence, Flush]), 1);
    }

    #[test]
    fn small_stores_join_their_word() {
        let bytes = vec![7; 2];
        let events = [store(64, 1), Event::Store { off: 67, bytes }];
        let memory = memory(Persistence::Synchronous, &events);
        let (off, values) = memory.pending().next().unwrap();
        let values: Vec<_> = values.collect();
        assert_eq!(off, 64);
        assert_eq!(values, [[1; 8], [1, 1, 1, 7, 7, 1, 1, 1]]);
        assert!(Memory::new(Persistence::Synchronous, vec![0; 64])
            .apply(&store(60, 1))
            .is_err());
    }

    #[test]
    fn data_needs_write_back_and_a_barrier() {
        use Event::{DataFlush, DataStore, Fence};
        let durable = |events: &[_]| memory(Persistence::Synchronous, events).data_is_durable(1);
        assert!(!durable(&[DataStore(1), Fence]));
        assert!(!durable(&[DataStore(1), DataFlush(1)]));
        assert!(durable(&[DataStore(1), DataFlush(1), Fence]));
    }

    #[test]
    fn data_apart_needs_its_own_device_flushed() {
        use Event::{ApartFlush, ApartStore, Fence, Flush};
        for device in [Persistence::Synchronous, Persistence::NeedsFlush] {
            let durable = |events: &[_]| memory(device, events).data_is_durable(1);
            assert!(!durable(&[ApartStore(1), Fence, Flush]));
            assert!(!durable(&[ApartFlush, ApartStore(1)]));
            assert!(durable(&[ApartStore(1), ApartFlush]));
        }
    }
}
