// SPDX-License-Identifier: GPL-2.0

//! The first pass of recovery: which transactions the ring holds whole, and the one
//! it ends before, which is the one that fast commits must be of. As
//! `do_one_pass()` of the kernel has it.

use super::block::{self, Kind};
use super::journal::Journal;
use crate::error::Error;

/// A part of a transaction that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The transaction.
    pub tid: u32,
    /// The block of the ring that describes it.
    pub block: u32,
    /// Whether it revokes blocks; otherwise it describes those that follow.
    pub is_revoke: bool,
}

/// What the ring holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The first transaction looked for.
    pub first: u32,
    /// The transaction that recovery ends before.
    pub end: u32,
    /// Block of the ring after the last whole transaction.
    pub head: u32,
    /// The block that ended the scan: behind `head` where a transaction was cut off.
    pub stop: u32,
    /// Descriptor and revoke blocks of the whole transactions, in order.
    pub parts: Vec<Part>,
    /// Why recovery fails there, if it does: what is behind is damaged.
    pub fault: Option<Error>,
}

impl Scan {
    /// Whole transactions in the ring.
    pub fn transactions(&self) -> u32 {
        self.end.wrapping_sub(self.first)
    }
}

/// A place in the ring.
#[derive(Clone, Copy)]
pub struct Ring<'a> {
    journal: &'a Journal,
    /// The next block.
    pub next: u32,
}

impl<'a> Ring<'a> {
    /// At block `next`.
    pub fn at(journal: &'a Journal, next: u32) -> Self {
        Self { journal, next }
    }

    /// Goes over `count` blocks.
    pub fn skip(&mut self, count: u32) {
        let first = self.journal.sb.first();
        let len = self.journal.sb.ring_end().saturating_sub(first).max(1);
        let from = u64::from(self.next.saturating_sub(first));
        let behind = (from + u64::from(count)) % u64::from(len);
        self.next = first + u32::try_from(behind).unwrap_or(0);
    }

    /// Goes over one block and gives its number.
    pub fn step(&mut self) -> u32 {
        let block = self.next;
        self.skip(1);
        block
    }
}

/// Scans the ring of a journal that has something to recover.
pub fn scan(journal: &Journal) -> Scan {
    let sb = &journal.sb;
    let mut found = Scan {
        first: sb.sequence(),
        end: sb.sequence(),
        head: sb.start(),
        stop: sb.start(),
        parts: Vec::new(),
        fault: None,
    };
    let mut ring = Ring::at(journal, sb.start());
    let mut open = Vec::new();
    // A descriptor whose checksum is wrong may be an old one: the time tells.
    let mut doubtful = false;
    let mut last_time = 0;
    let mut left = sb.ring_end().saturating_sub(sb.first());
    loop {
        let at = ring.step();
        found.stop = at;
        let bytes = match journal.read_block(at) {
            Ok(bytes) => bytes,
            Err(error) => {
                found.fault = Some(error);
                return found;
            }
        };
        let kind = match block::header(&bytes) {
            Some((kind, tid)) if tid == found.end => kind,
            _ => return found,
        };
        let mut passed = 1;
        match kind {
            Kind::Descriptor => {
                doubtful |= !block::tail_is_right(sb, &bytes);
                let data = u32::try_from(block::tags(sb, &bytes).len()).unwrap_or(u32::MAX);
                ring.skip(data);
                passed += data;
                open.push((at, false));
            }
            Kind::Revoke => {
                doubtful |= !block::tail_is_right(sb, &bytes);
                open.push((at, true));
            }
            Kind::Commit => {
                let time = block::commit_time(&bytes);
                let right = block::commit_is_right(sb, &bytes);
                if (doubtful || !right) && time < last_time {
                    return found;
                }
                if doubtful || (!right && !sb.has_async_commit()) {
                    let cause = format!("transaction {} has a wrong checksum", found.end);
                    found.fault = Some(damaged(journal, at, cause));
                    return found;
                }
                if !right {
                    return found;
                }
                let tid = found.end;
                let parts = open.drain(..).map(|(block, is_revoke)| Part {
                    tid,
                    block,
                    is_revoke,
                });
                found.parts.extend(parts);
                last_time = time;
                found.end = found.end.wrapping_add(1);
                found.head = ring.next;
            }
            Kind::Other(_) => return found,
        }
        left = match left.checked_sub(passed) {
            Some(left) => left,
            None => {
                found.fault = Some(damaged(journal, at, "the journal's ring has no end"));
                return found;
            }
        };
    }
}

/// An error about block `at` of the ring.
pub(super) fn damaged(journal: &Journal, at: u32, cause: impl std::fmt::Display) -> Error {
    journal.refuse(at, cause).remedy(
        "the journal is damaged: keep a copy; without a ByteLog see e2fsck, with one see \
         bytelog export --discard-log --dry-run",
    )
}
