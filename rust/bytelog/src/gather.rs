// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What the writer knows of its log and of the fast commit being gathered.

use super::crc::SEED;
use super::features::Features;
use super::tlv::DESCRIBES_DATA;

/// A place between two records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// Offset from the start of the area.
    pub(super) head: u64,
    /// Number of the next record.
    pub(super) seq: u64,
    /// Seed of the next record's header CRC.
    pub(super) chain: u32,
}

/// The log of one tid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) tid: u32,
    pub(super) nonce: u32,
    /// Fast commits that are durable.
    pub(super) commits: u32,
    /// Where they end.
    pub(super) durable: Position,
    /// A commit has failed after its seal might have reached the medium.
    pub(super) closed: bool,
}

/// The fast commit being gathered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathering {
    /// Where its next record goes.
    pub(super) at: Position,
    /// Payload bytes in the staging buffer.
    pub(super) staged: usize,
    /// Payload bytes that may be there without a further look: what a record and
    /// the area can hold, and 0 where nothing may be gathered.
    pub(super) room: usize,
    pub(super) records: u32,
    pub(super) payload_bytes: u64,
    /// What its TLVs say: bits of [`Features`], and [`DESCRIBES_DATA`].
    pub(super) says: u32,
    /// CRC over all payloads; kept for the tid's first commit only.
    pub(super) crc: u32,
    /// A TLV is missing: it must not be committed.
    pub(super) failed: bool,
}

impl Gathering {
    pub(super) const fn from(at: Position, room: usize) -> Self {
        Self {
            at,
            staged: 0,
            room,
            records: 0,
            payload_bytes: 0,
            says: 0,
            crc: SEED,
            failed: false,
        }
    }

    /// Whether a TLV describes file data.
    #[inline]
    pub(super) const fn describes_data(&self) -> bool {
        self.says & DESCRIBES_DATA as u32 != 0
    }

    /// Features that a reader must know.
    pub(super) const fn needs(&self) -> Features {
        Features::from_bits(self.says & !(DESCRIBES_DATA as u32))
    }
}
