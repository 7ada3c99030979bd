// SPDX-License-Identifier: GPL-2.0

//! How to export, and what an export did.

use super::plan::Staging;
use crate::jbd2::recover::Wrong;
use crate::log::inspect::{Inspection, State};
use crate::log::loss::Loss;
use schemars::JsonSchema;
use serde::Serialize;

/// What an export did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Exported {
    /// What was there before.
    pub state: State,
    /// Transaction of the log.
    pub tid: Option<u32>,
    /// Fast commits that are conventional now.
    pub commits: u32,
    /// Blocks that they take.
    pub blocks: u32,
    /// Inodes that stock replay would take for those of other files, and what the export
    /// does prevents.
    pub reused_inodes: u32,
    /// Where these stood meanwhile.
    pub staging: Option<Staging>,
    /// Whether the blocks are those of the metadata that the log changes, in the ring,
    /// and not fast commits.
    pub replayed: bool,
    /// Whether an export that was cut has been completed.
    pub resumed: bool,
    /// Whether the feature bit was cleared.
    pub bit_cleared: bool,
    /// Whether the journal's mark was cleared.
    pub mark_cleared: bool,
    /// Transactions of the ring that were written back.
    pub written_back: u32,
    /// Whether nothing was written, for there is nothing of ByteLog.
    pub left_alone: bool,
    /// What was given up, where that was asked for.
    pub lost: Option<Loss>,
}

impl Exported {
    /// Nothing done yet.
    pub(super) fn of(state: State, tid: Option<u32>) -> Self {
        Self {
            state,
            tid,
            commits: 0,
            blocks: 0,
            reused_inodes: 0,
            staging: None,
            replayed: false,
            resumed: false,
            bit_cleared: false,
            mark_cleared: false,
            written_back: 0,
            left_alone: false,
            lost: None,
        }
    }
}

/// How to export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// It is a copy: a cut does not matter.
    pub is_copy: bool,
    /// Only to look whether it can be done.
    pub dry_run: bool,
    /// What may be given up.
    pub salvage: Salvage,
}

/// What may be given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Salvage {
    /// Nothing: a damaged log is refused.
    #[default]
    Nothing,
    /// What is at and behind the damage.
    BehindDamage,
    /// All fast commits, and whatever of the journal cannot be read.
    Log,
}

impl Salvage {
    /// Whether no fast commit is kept of what was `found`.
    pub fn drops_all(self, found: &Inspection<'_>) -> bool {
        match self {
            Self::Nothing => false,
            // Fast commits continue the last full commit, which is missing then.
            Self::BehindDamage => found.journal_fault().is_some(),
            Self::Log => true,
        }
    }

    /// What to do with blocks of the ring that are not as they were written.
    pub fn wrong(self) -> Wrong {
        match self {
            Self::Nothing => Wrong::Refuse,
            Self::BehindDamage | Self::Log => Wrong::Skip,
        }
    }
}
