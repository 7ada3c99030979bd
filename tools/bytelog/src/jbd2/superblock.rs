// SPDX-License-Identifier: GPL-2.0

//! The journal's superblock: `journal_superblock_t`.

use super::MAGIC;
use crate::bytes::{be32, uuid};
use crate::crc::{crc32c, crc32c_without};
use crate::error::{Error, Result};
use crate::store::{Store, SECTOR};

/// Bytes of it.
pub const LEN: usize = 1024;

/// Fewest blocks outside the fast-commit area: `JBD2_MIN_JOURNAL_BLOCKS`.
pub const MIN_RING: u32 = 1024;

/// Blocks of a fast-commit area whose size is not given.
const DEFAULT_FC_BLOCKS: u32 = 256;

const VERSION_1: u32 = 3;
const VERSION_2: u32 = 4;

const COMPAT_CHECKSUM: u32 = 0x1;
const INCOMPAT_REVOKE: u32 = 0x1;
const INCOMPAT_64BIT: u32 = 0x2;
const INCOMPAT_ASYNC_COMMIT: u32 = 0x4;
const INCOMPAT_CSUM_V2: u32 = 0x8;
const INCOMPAT_CSUM_V3: u32 = 0x10;
const INCOMPAT_FAST_COMMIT: u32 = 0x20;
/// ByteLog's mark: `EXT4_FC_JOURNAL_MARK` in fs/ext4/fc_backend.h.
const INCOMPAT_BYTELOG: u32 = 0x4_0000;
const KNOWN_INCOMPAT: u32 = INCOMPAT_REVOKE
    | INCOMPAT_64BIT
    | INCOMPAT_ASYNC_COMMIT
    | INCOMPAT_CSUM_V2
    | INCOMPAT_CSUM_V3
    | INCOMPAT_FAST_COMMIT
    | INCOMPAT_BYTELOG;
const CRC32C: u8 = 4;

/// Offsets of fields.
mod field {
    pub const MAGIC: usize = 0x00;
    pub const TYPE: usize = 0x04;
    pub const BLOCK_SIZE: usize = 0x0c;
    pub const MAXLEN: usize = 0x10;
    pub const FIRST: usize = 0x14;
    pub const SEQUENCE: usize = 0x18;
    pub const START: usize = 0x1c;
    pub const COMPAT: usize = 0x24;
    pub const INCOMPAT: usize = 0x28;
    pub const UUID: usize = 0x30;
    pub const CHECKSUM_TYPE: usize = 0x50;
    pub const NUM_FC_BLOCKS: usize = 0x54;
    pub const CHECKSUM: usize = 0xfc;
}

/// How blocks of the journal are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// Not at all.
    None,
    /// `JBD2_FEATURE_COMPAT_CHECKSUM`: the commit block's over a whole transaction.
    V1,
    /// 16 bits in each tag.
    V2,
    /// 32 bits in each tag.
    V3,
}

/// A journal superblock whose magic, sizes and checksum are right.
#[derive(Clone)]
pub struct JournalSuperblock {
    raw: Vec<u8>,
}

impl JournalSuperblock {
    /// Reads the one at byte `at` of the journal's device, for `blocks` blocks of
    /// `block_size` bytes.
    pub fn read(store: &dyn Store, at: u64, block_size: u64, blocks: u64) -> Result<Self> {
        let sb = Self {
            raw: store.read(at, LEN)?,
        };
        let checked = sb.check(block_size, blocks);
        checked.map_err(|what| {
            store
                .refuse(at, what)
                .remedy("the journal's superblock is damaged: see e2fsck")
        })?;
        let unknown = sb.incompat() & !KNOWN_INCOMPAT;
        if unknown != 0 {
            return Err(Error::refused(
                store.name(),
                format_args!("the journal has unknown features {unknown:#x}"),
            )
            .at(store.base().saturating_add(at))
            .remedy("use a newer bytelog"));
        }
        Ok(sb)
    }

    /// Clears the mark in what is at byte `at` of the journal's device, whatever else is
    /// wrong with that, and returns whether it is there; if `dry_run`, only looks.
    pub fn clear_raw_mark(store: &dyn Store, at: u64, dry_run: bool) -> Result<bool> {
        let mut sb = Self {
            raw: store.read(at, LEN)?,
        };
        let has_mark = sb.has_raw_mark();
        if has_mark && !dry_run {
            sb.set_marked(false);
            store.write_at(at, sb.raw.get(..SECTOR).unwrap_or_default())?;
            store.sync()?;
        }
        Ok(has_mark)
    }

    /// Whether there is a mark for e2fsck, which looks at it before all else but the magic.
    fn has_raw_mark(&self) -> bool {
        be32(&self.raw, field::MAGIC) == MAGIC && self.is_marked()
    }

    fn check(&self, block_size: u64, blocks: u64) -> std::result::Result<(), &'static str> {
        let kind = be32(&self.raw, field::TYPE);
        if be32(&self.raw, field::MAGIC) != MAGIC || !(VERSION_1..=VERSION_2).contains(&kind) {
            return Err("no journal superblock");
        }
        if u64::from(be32(&self.raw, field::BLOCK_SIZE)) != block_size {
            return Err("the journal's block size is not the filesystem's");
        }
        if kind == VERSION_2 && self.has_csum() {
            if self.raw.get(field::CHECKSUM_TYPE) != Some(&CRC32C) {
                return Err("the journal's checksum type is not crc32c");
            }
            if self.checksum() != be32(&self.raw, field::CHECKSUM) {
                return Err("the journal superblock's checksum does not match");
            }
        }
        if u64::from(self.maxlen()) > blocks {
            return Err("the journal is shorter than its superblock says");
        }
        if self.first() == 0 || self.first() >= self.maxlen() {
            return Err("the journal's first block is not in it");
        }
        let ring = self.maxlen().checked_sub(self.fc_blocks());
        if self.has_fast_commit() && ring.is_none_or(|ring| ring < MIN_RING) {
            return Err("the journal has no room for its fast-commit area");
        }
        if self.start() != 0 && !(self.first()..self.ring_end()).contains(&self.start()) {
            return Err("the journal's start is not in it");
        }
        Ok(())
    }

    fn incompat(&self) -> u32 {
        match be32(&self.raw, field::TYPE) {
            VERSION_2 => be32(&self.raw, field::INCOMPAT),
            _ => 0,
        }
    }

    fn has_csum(&self) -> bool {
        self.incompat() & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) != 0
    }

    fn checksum(&self) -> u32 {
        crc32c_without(!0, &self.raw, field::CHECKSUM)
    }

    /// How blocks are checked.
    pub fn checksums(&self) -> Checksums {
        let version_2 = be32(&self.raw, field::TYPE) == VERSION_2;
        let incompat = self.incompat();
        if incompat & INCOMPAT_CSUM_V3 != 0 {
            Checksums::V3
        } else if incompat & INCOMPAT_CSUM_V2 != 0 {
            Checksums::V2
        } else if version_2 && be32(&self.raw, field::COMPAT) & COMPAT_CHECKSUM != 0 {
            Checksums::V1
        } else {
            Checksums::None
        }
    }

    /// Seed of the checksums in the journal's blocks.
    pub fn checksum_seed(&self) -> u32 {
        crc32c(!0, &self.uuid())
    }

    /// Whether block numbers have 64 bits.
    pub fn has_64bit(&self) -> bool {
        self.incompat() & INCOMPAT_64BIT != 0
    }

    /// Whether commit blocks may be written before what they commit.
    pub fn has_async_commit(&self) -> bool {
        self.incompat() & INCOMPAT_ASYNC_COMMIT != 0
    }

    /// Whether recovery looks at the fast-commit area. A clean unmount clears this.
    pub fn has_fast_commit(&self) -> bool {
        self.incompat() & INCOMPAT_FAST_COMMIT != 0
    }

    /// Whether the journal has ByteLog's mark, with which other tools and kernels leave it
    /// alone.
    pub fn is_marked(&self) -> bool {
        self.incompat() & INCOMPAT_BYTELOG != 0
    }

    /// Sets or clears the mark.
    pub fn set_marked(&mut self, on: bool) {
        if self.is_marked() != on {
            self.put(field::INCOMPAT, self.incompat() ^ INCOMPAT_BYTELOG);
        }
    }

    /// UUID of the journal.
    pub fn uuid(&self) -> [u8; 16] {
        uuid(&self.raw, field::UUID)
    }

    /// Blocks of the journal, superblock and fast-commit area included.
    pub fn maxlen(&self) -> u32 {
        be32(&self.raw, field::MAXLEN)
    }

    /// First block of the ring that full commits are written to.
    pub fn first(&self) -> u32 {
        be32(&self.raw, field::FIRST)
    }

    /// The block after the ring's last.
    pub fn ring_end(&self) -> u32 {
        match self.has_fast_commit() {
            true => self.maxlen().saturating_sub(self.fc_blocks()),
            false => self.maxlen(),
        }
    }

    /// Transaction that recovery begins with.
    pub fn sequence(&self) -> u32 {
        be32(&self.raw, field::SEQUENCE)
    }

    /// Block that recovery begins at; 0 if there is nothing to recover.
    pub fn start(&self) -> u32 {
        be32(&self.raw, field::START)
    }

    /// Blocks set aside for fast commits. The first of them is never used.
    pub fn fc_blocks(&self) -> u32 {
        match be32(&self.raw, field::NUM_FC_BLOCKS) {
            0 => DEFAULT_FC_BLOCKS,
            blocks => blocks,
        }
    }

    /// `s_num_fc_blks` as it stands there.
    pub fn stored_fc_blocks(&self) -> u32 {
        be32(&self.raw, field::NUM_FC_BLOCKS)
    }

    fn put(&mut self, at: usize, value: u32) {
        if let Some(place) = self.raw.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *place = value.to_be_bytes();
        }
    }

    /// Has recovery begin with transaction `sequence` at block `start`.
    pub fn set_start(&mut self, sequence: u32, start: u32) {
        self.put(field::SEQUENCE, sequence);
        self.put(field::START, start);
    }

    /// Sets aside another number of blocks for fast commits.
    pub fn set_fc_blocks(&mut self, stored: u32) {
        self.put(field::NUM_FC_BLOCKS, stored);
    }

    /// Writes it to byte `at` of the journal's device: a single sector, so that a
    /// power cut leaves the old one or the new one.
    pub fn write(&mut self, store: &dyn Store, at: u64) -> Result<()> {
        if self.has_csum() {
            self.put(field::CHECKSUM, self.checksum());
        }
        store.write_at(at, self.raw.get(..SECTOR).unwrap_or_default())
    }
}

// All that changes, and the checksum, is in the first sector.
const _: () = assert!(field::CHECKSUM + 4 <= SECTOR);
