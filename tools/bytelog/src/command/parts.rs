// SPDX-License-Identifier: GPL-2.0

//! Parts of the fast-commit area, as maps have them.

use schemars::JsonSchema;
use serde::Serialize;

/// What a part of the area holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The opener.
    Opener,
    /// A record of a sealed fast commit.
    Record,
    /// A record of a fast commit that was cut off.
    Unsealed,
    /// A record that the reader does not come to.
    Beyond,
    /// A block of a log in stock format.
    Stock,
}

/// A part of the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Part {
    /// Bytes from the start of the area.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// What it holds.
    pub kind: Kind,
    /// Fast commit, from 1; 0 for what belongs to none.
    pub commit: u32,
    /// Number of the record.
    pub seq: u64,
}
