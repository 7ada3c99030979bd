// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A log as its readers see it: where it comes from, where it goes, and what it is.

use super::error::Fault;
use super::features::Features;
use super::record::Record;

/// The fast-commit area, for reading.
pub trait ReadArea {
    /// Why bytes could not be read, such as a poisoned line.
    type Error;

    /// Length of the area in bytes, block 0 included.
    fn len(&self) -> u64;

    /// Whether the area has no bytes; such an area is refused.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with a copy of the bytes at `off`, which are inside the area.
    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result<(), Self::Error>;
}

/// Takes the log in.
///
/// Records come in order. Those told since the last [`sealed`](Self::sealed)
/// count only when the next one comes: at the end of reading the sink drops what
/// no seal followed. If reading fails the sink drops everything.
pub trait Sink {
    /// Why something could not be taken in.
    type Error;

    /// A record and its payload, a run of whole TLVs.
    fn record(&mut self, record: &Record, payload: &[u8]) -> Result<(), Self::Error>;

    /// The records told since the last seal are fast commit number `commit` of
    /// the log, from 1 and without gaps; a version 1 log has one.
    fn sealed(&mut self, commit: u32) -> Result<(), Self::Error>;
}

/// What an area holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No fast commit in any format.
    Empty,
    /// As [`Self::Empty`], but a log of the expected transaction with more than one fast
    /// commit stands behind. Either the opener has been lost whole, as by clearing a poisoned
    /// line, or the log is of an older life of the device, and the first commit of this one
    /// was cut. Nothing tells which, and nothing is replayed.
    Headless,
    /// A log in stock format: for ext4 to read, unchanged.
    Stock,
    /// A log of another transaction: nothing to replay.
    Stale {
        /// That transaction.
        tid: u32,
    },
    /// An opener that is not whole: its fast commit was not acknowledged, there
    /// is nothing to replay. One that was whole and has lost its identity and more
    /// looks the same.
    Torn,
    /// The RFC's log.
    V1,
    /// This format's log, possibly without a sealed fast commit.
    V2,
}

/// Where and why a log ends before the area does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Offset of what is not the next record, bytes from the start of the area.
    pub offset: u64,
    /// What it lacks for that.
    pub reason: Fault,
}

/// The result of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// What the area holds.
    pub found: Found,
    /// The expected transaction.
    pub tid: u32,
    /// What its commits may contain, as the opener says.
    pub features: Features,
    /// Fast commits to replay.
    pub commits: u32,
    /// Their records.
    pub records: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Offset where the last of them ends, bytes from the start of the area.
    pub head: u64,
    /// Where reading ended; `None` at the end of the area or of a version 1
    /// window, and where no log was read.
    pub stop: Option<Stop>,
}
