// SPDX-License-Identifier: GPL-2.0

//! What became of the blocks that are neither log nor journal, and which of them
//! the fast commits describe.

use super::layout::BLOCK;
use crate::memory::{Memory, LINE};
use crate::trace::{Event, Trace};
use anyhow::{Context, Result};
use bytelog::tlv::{Tag, Tlv, Tlvs};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// Blocks of an extent up to which it is written; one more and it is unwritten, by
/// as many blocks as are beyond.
const INIT_MAX: u16 = 1 << 15;

/// Stores to such blocks, each under a number of its own.
#[derive(Default)]
pub struct Data {
    /// The number of the next store.
    next: u64,
    /// By block, the numbers of its stores.
    blocks: HashMap<u64, Vec<u64>>,
    /// By line, the numbers of ordinary stores since it was written back.
    dirty: HashMap<u64, Vec<u64>>,
}

impl Data {
    /// A store within a block.
    pub fn store(&mut self, off: u64, len: u64, streaming: bool, events: &mut Vec<Event>) {
        if streaming {
            let number = self.number(off, events);
            events.push(Event::DataFlush(number));
            return;
        }
        for line in off / LINE as u64..=(off + len - 1) / LINE as u64 {
            let number = self.number(off, events);
            self.dirty.entry(line).or_default().push(number);
        }
    }

    /// A number for a store to the block at `off`.
    fn number(&mut self, off: u64, events: &mut Vec<Event>) -> u64 {
        let number = self.next;
        self.next += 1;
        events.push(Event::DataStore(number));
        self.blocks.entry(off / BLOCK).or_default().push(number);
        number
    }

    /// A line that is written back.
    pub fn written_back(&mut self, off: u64, events: &mut Vec<Event>) {
        let numbers = self.dirty.remove(&(off / LINE as u64));
        events.extend(numbers.into_iter().flatten().map(Event::DataFlush));
    }

    /// Fills in which data each fast commit describes, and which other data its
    /// fsync owes: what was stored before to any block that has been a file's.
    pub fn describe(&self, trace: &mut Trace) -> Result<()> {
        let mut memory = Memory::new(trace.device, trace.image.clone());
        let max_tlv = trace.block_size as usize;
        let mut files = BTreeSet::new();
        let stored: HashMap<u64, usize> = trace
            .events
            .iter()
            .enumerate()
            .filter_map(|(at, event)| match event {
                Event::DataStore(number) => Some((*number, at)),
                _ => None,
            })
            .collect();
        let ends = ends(&trace.events);
        for at in 0..trace.events.len() {
            memory.apply(&trace.events[at])?;
            let Event::Issue(issue) = &mut trace.events[at] else {
                continue;
            };
            let payload = issue.payload.as_ref().context("an unknown payload")?;
            let described: BTreeSet<u64> = extents(payload, max_tlv).flatten().collect();
            files.extend(&described);
            let end = ends.get(&at).copied().unwrap_or(at);
            let numbers = |blocks: &BTreeSet<u64>, until: usize| -> Vec<u64> {
                let all = blocks.iter().flat_map(|block| self.blocks.get(block));
                let mut open: Vec<u64> = all
                    .flatten()
                    .copied()
                    .filter(|number| {
                        let stored = stored.get(number).copied().unwrap_or(usize::MAX);
                        stored < until && (stored > at || !memory.data_is_durable(*number))
                    })
                    .collect();
                open.sort_unstable();
                open
            };
            issue.data = numbers(&described, end);
            issue.synced = numbers(&files, at);
        }
        Ok(())
    }
}

/// For each issue, the acknowledgement that follows.
fn ends(events: &[Event]) -> HashMap<usize, usize> {
    let mut ends = HashMap::new();
    let mut open = None;
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Issue(_) => open = Some(at),
            Event::Ack => ends.extend(open.take().map(|issue| (issue, at))),
            _ => {}
        }
    }
    ends
}

/// Blocks of the extents that a run of TLVs adds, as far as they are written.
fn extents(payload: &[u8], max_tlv: usize) -> impl Iterator<Item = Range<u64>> + '_ {
    let tlvs = Tlvs::new(payload, max_tlv).filter_map(Result::ok);
    tlvs.filter(|tlv| tlv.tag() == Tag::AddRange)
        .filter_map(|tlv| extent(&tlv))
}

/// `struct ext4_fc_add_range`: inode, then the on-disk extent: logical block,
/// length, high and low part of the physical block.
fn extent(tlv: &Tlv<'_>) -> Option<Range<u64>> {
    let value = tlv.value();
    let half = |at: usize| -> Option<u16> {
        Some(u16::from_le_bytes(value.get(at..at + 2)?.try_into().ok()?))
    };
    let (len, high) = (half(8)?, half(10)?);
    let low = u64::from(half(12)?) | (u64::from(half(14)?) << 16);
    let start = (u64::from(high) << 32) | low;
    (len <= INIT_MAX).then(|| start..start + u64::from(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Issue;
    use bytelog::medium::Persistence;

    /// An ADD_RANGE of `len` blocks from `start` on.
    fn add_range(start: u32, len: u16) -> Vec<u8> {
        let mut tlv = vec![1, 0, 16, 0];
        tlv.extend([0; 8]);
        tlv.extend(len.to_le_bytes());
        tlv.extend([0; 2]);
        tlv.extend(start.to_le_bytes());
        tlv
    }

    #[test]
    fn written_extents_only() {
        let payload = [add_range(5, 2), add_range(9, INIT_MAX + 1), add_range(7, 1)].concat();
        let blocks: Vec<u64> = extents(&payload, 4096).flatten().collect();
        assert_eq!(blocks, [5, 6, 7]);
    }

    fn issue(payload: Vec<u8>) -> Event {
        Event::Issue(Issue {
            payload: Some(payload),
            ..Issue::default()
        })
    }

    /// What is listed for each issue, after `describe`.
    fn listed(data: &Data, events: Vec<Event>) -> Vec<(Vec<u64>, Vec<u64>)> {
        let mut trace = Trace {
            device: Persistence::Synchronous,
            block_size: 4096,
            uuid: [0; 16],
            image: vec![0; 64],
            events,
            check_from: 0,
            runs: true,
        };
        data.describe(&mut trace).unwrap();
        let issues = trace.events.into_iter().filter_map(|event| match event {
            Event::Issue(issue) => Some((issue.data, issue.synced)),
            _ => None,
        });
        issues.collect()
    }

    #[test]
    fn what_is_not_durable_is_listed() {
        let (mut data, mut events) = (Data::default(), Vec::new());
        // 0 is durable before, 1 is a block that nobody describes, 2 and 3 wait: one
        // for a fence, one for its write-back, as does 4 in its second line.
        data.store(5 * BLOCK, 8, true, &mut events);
        events.push(Event::Fence);
        data.store(6 * BLOCK, 8, true, &mut events);
        data.store(5 * BLOCK + 8, 8, true, &mut events);
        data.store(5 * BLOCK + 60, 8, false, &mut events);
        data.written_back(5 * BLOCK + 63, &mut events);
        events.push(issue(add_range(5, 1)));
        data.store(5 * BLOCK, 1, false, &mut events);
        events.extend([Event::Fence, Event::Ack]);
        // An overwrite, which no TLV describes.
        data.store(5 * BLOCK, 8, true, &mut events);
        events.extend([issue(vec![2, 0]), Event::Ack]);
        assert_eq!(
            listed(&data, events),
            [(vec![2, 3, 4, 5], vec![2, 3, 4]), (vec![], vec![4, 5, 6])]
        );
    }
}
