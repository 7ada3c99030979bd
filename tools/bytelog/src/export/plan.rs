// SPDX-License-Identifier: GPL-2.0

//! Where the conventional blocks go, and whether there is room for them.

use crate::jbd2::compose;
use crate::jbd2::superblock::{JournalSuperblock, MIN_RING};
use schemars::JsonSchema;
use serde::Serialize;

/// Blocks of the ring that a transaction of ours takes: and one behind it, zeroed, that
/// ends the scan.
pub const SLOT: u32 = compose::LEN + 1;

/// Where the conventional blocks stand while the log is still needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Staging {
    /// At the end of the ring: the area grows to them.
    Ring,
    /// At the end of the area, behind the log: the area shrinks to them.
    Area,
    /// Nowhere: they are written over the log. Only for a copy.
    None,
}

/// Room for the conventional blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where they stand meanwhile.
    pub staging: Staging,
    /// First block of the journal that they stand at.
    pub first: u32,
    /// Blocks set aside for fast commits meanwhile.
    pub fc_blocks: u32,
    /// The block after the last that the ring has meanwhile.
    pub ring_end: u32,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// Blocks needed, the one that ends the log included.
    pub needed: u32,
    /// Blocks in the area.
    pub blocks: u32,
    /// Whether they fit the area, once the log is not needed any more.
    pub fits_over: bool,
}

/// Finds room for `needed` blocks, with one that ends the log, beside a log that takes
/// `used` blocks of its area; for a copy, over it.
pub fn plan(sb: &JournalSuperblock, used: u32, needed: u32, is_copy: bool) -> Result<Plan, NoRoom> {
    let maxlen = sb.maxlen();
    let set_aside = sb.fc_blocks();
    let ring_end = maxlen.saturating_sub(set_aside);
    let first = ring_end.saturating_add(1);
    let blocks = maxlen.saturating_sub(first);
    let no_room = NoRoom {
        needed,
        blocks,
        fits_over: needed <= blocks,
    };
    if needed > blocks {
        return Err(no_room);
    }
    if is_copy {
        return Ok(Plan {
            staging: Staging::None,
            first,
            fc_blocks: sb.stored_fc_blocks(),
            ring_end,
        });
    }
    let grown = set_aside.saturating_add(needed);
    let ring = maxlen.saturating_sub(grown);
    if ring >= MIN_RING.max(sb.first().saturating_add(2 * SLOT)) {
        return Ok(Plan {
            staging: Staging::Ring,
            first: ring + 1,
            fc_blocks: grown,
            ring_end: ring,
        });
    }
    let at = used.max(needed);
    if at.saturating_add(needed) <= blocks {
        return Ok(Plan {
            staging: Staging::Area,
            first: first + at,
            fc_blocks: set_aside - at,
            ring_end,
        });
    }
    Err(no_room)
}

/// The first run of [`SLOT`] blocks of the ring, up to `end`, that `is_free`.
pub fn slot(sb: &JournalSuperblock, end: u32, is_free: impl Fn(u32) -> bool) -> Option<u32> {
    let mut first = sb.first();
    while first.checked_add(SLOT)? <= end {
        match (first..first + SLOT).rev().find(|block| !is_free(*block)) {
            None => return Some(first),
            Some(taken) => first = taken + 1,
        }
    }
    None
}
