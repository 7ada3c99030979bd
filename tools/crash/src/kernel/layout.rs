// SPDX-License-Identifier: GPL-2.0

//! Where log and journal are on the device, and which transactions the journal
//! commits.

use bytelog_trace::session::Segment;
use std::collections::HashMap;

/// Bytes of a block; ByteLog's are pages.
pub const BLOCK: u64 = 4096;

/// First word of a journal block, big endian as all of them.
pub const JOURNAL_MAGIC: u32 = 0xc03b_3998;

/// The second word of one that ends a transaction.
pub const COMMIT_BLOCK: u32 = 2;

/// Bytes up to the end of the third word, the transaction.
const HEAD: usize = 12;

/// Where things are on the device.
pub struct Layout {
    area: HashMap<u64, u64>,
    journal: HashMap<u64, [u8; HEAD]>,
}

impl Layout {
    /// Of the filesystem of `segment`, which `base` holds.
    pub fn new(segment: &Segment, base: &[u8]) -> Self {
        let head = |&block: &u64| {
            let at = (block * BLOCK) as usize;
            let head = base
                .get(at..at + HEAD)
                .and_then(|head| head.try_into().ok());
            (block, head.unwrap_or_default())
        };
        Self {
            area: segment.area.iter().copied().zip(0..).collect(),
            journal: segment.journal.iter().map(head).collect(),
        }
    }

    /// Offset in the area, if the device's byte at `off` is in it.
    pub fn in_area(&self, off: u64) -> Option<u64> {
        let block = self.area.get(&(off / BLOCK))?;
        Some(block * BLOCK + off % BLOCK)
    }

    /// Whether it is in the journal, and not in the area.
    pub fn in_journal(&self, off: u64) -> bool {
        self.journal.contains_key(&(off / BLOCK))
    }

    /// Takes note of a store to the journal. Returns the transaction that a commit
    /// block ends with it.
    pub fn journal_store(&mut self, off: u64, bytes: &[u8]) -> Option<u32> {
        let head = self.journal.get_mut(&(off / BLOCK))?;
        let start = (off % BLOCK) as usize;
        let room = head.get_mut(start..)?;
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        let word = |at: usize| -> Option<u32> {
            Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?))
        };
        let commits = word(0)? == JOURNAL_MAGIC && word(4)? == COMMIT_BLOCK;
        commits.then(|| word(8))?
    }
}
