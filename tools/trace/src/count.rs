// SPDX-License-Identifier: GPL-2.0

//! What the counter (`tools/tcg` with `count=`) has counted: a line of JSON for each
//! segment, written when it stops.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// From one mark of a call to the next, on the one CPU: whatever ran meanwhile. Of a
/// function that is watched, from its first instruction to its return: whatever ran in
/// the kernel meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions executed.
    pub instructions: u64,
    /// Store fences.
    pub fences: u64,
    /// Cache lines that were written back, or stored past the caches.
    pub lines: u64,
    /// Bytes stored to the device.
    pub bytes: u64,
}

/// A run of guest code without a jump into or out of its middle, and how often it
/// ran during calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Address of its first instruction.
    pub pc: u64,
    /// Instructions in it.
    pub instructions: u64,
    /// Times that it was entered.
    pub entered: u64,
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Its number, as the mark gave it.
    pub segment: u64,
    /// Each call, in the order of their ends.
    pub calls: Vec<Cost>,
    /// What ran during calls; a block can be listed more than once.
    pub blocks: Vec<Block>,
}

/// Reads the segments of a counter's file while the counter goes on.
pub struct Reader(BufReader<File>);

impl Reader {
    /// Opens the file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Self(BufReader::new(file)))
    }

    /// The next segment, which must have stopped.
    pub fn next_segment(&mut self) -> Result<Counted> {
        let mut line = String::new();
        self.0.read_line(&mut line).context("the counter's file")?;
        serde_json::from_str(&line).context("the counter has not written this segment")
    }
}
