// SPDX-License-Identifier: GPL-2.0

//! The superblock: `struct ext4_super_block`.

use crate::bytes::{join, le16, le32, uuid};
use crate::crc::{compensate, crc32c};
use crate::error::{Error, Result};
use crate::signature;
use crate::store::{Store, SECTOR};

/// Bytes from the start of the filesystem to the primary superblock.
pub const PRIMARY: u64 = 1024;

/// Bytes of a superblock.
pub const LEN: usize = 1024;

/// Incompatible feature: what replays the journal must know ByteLog.
pub const DAX_FC_BYTELOG: u32 = 0x4_0000;

const MAGIC: u16 = 0xef53;
/// Fewest blocks that mke2fs puts into a group.
const MIN_GROUP: u32 = 256;
/// `EXT4_MAX_DESC_SIZE`.
const MAX_DESC: u16 = 1024;
pub(super) const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
const RO_COMPAT_GDT_CSUM: u32 = 0x10;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;

/// Offsets of fields.
pub(super) mod field {
    pub const STATE: usize = 0x3a;
    pub const BLOCK_GROUP: usize = 0x5a;
    pub const INODES_COUNT: usize = 0x00;
    pub const BLOCKS_COUNT_LO: usize = 0x04;
    pub const FIRST_DATA_BLOCK: usize = 0x14;
    pub const LOG_BLOCK_SIZE: usize = 0x18;
    pub const BLOCKS_PER_GROUP: usize = 0x20;
    pub const INODES_PER_GROUP: usize = 0x28;
    pub const WTIME: usize = 0x30;
    pub const MAGIC: usize = 0x38;
    pub const REV_LEVEL: usize = 0x4c;
    pub const INODE_SIZE: usize = 0x58;
    pub const COMPAT: usize = 0x5c;
    pub const INCOMPAT: usize = 0x60;
    pub const RO_COMPAT: usize = 0x64;
    pub const UUID: usize = 0x68;
    pub const JOURNAL_UUID: usize = 0xd0;
    pub const JOURNAL_INUM: usize = 0xe0;
    pub const JOURNAL_BLOCKS: usize = 0x10c;
    pub const JOURNAL_DEV: usize = 0xe4;
    pub const DESC_SIZE: usize = 0xfe;
    pub const FIRST_META_BG: usize = 0x104;
    pub const BLOCKS_COUNT_HI: usize = 0x150;
    pub const BACKUP_BGS: usize = 0x24c;
    pub const CHECKSUM_SEED: usize = 0x270;
    pub const CHECKSUM: usize = 0x3fc;
    pub const FREE_BLOCKS_LO: usize = 0x0c;
    pub const FREE_INODES: usize = 0x10;
    pub const FIRST_INO: usize = 0x54;
    pub const RESERVED_GDT: usize = 0xce;
    pub const FREE_BLOCKS_HI: usize = 0x158;
}

/// A superblock whose magic, sizes and checksum are right.
#[derive(Clone)]
pub struct Superblock {
    pub(super) raw: Vec<u8>,
    /// Whether the sectors that it lies in are of two writes: one with the ByteLog bit
    /// and one without it.
    torn: bool,
}

impl Superblock {
    /// Reads the one at byte `at` of the filesystem.
    pub fn read(store: &dyn Store, at: u64) -> Result<Self> {
        if store.len() < at.saturating_add(LEN as u64) {
            return Err(store
                .fail(at, "it is too short for an ext4 filesystem")
                .remedy("name the device, image or partition that has the filesystem"));
        }
        let mut sb = Self {
            raw: store.read(at, LEN)?,
            torn: false,
        };
        if le16(&sb.raw, field::MAGIC) != MAGIC {
            return Err(no_ext4(store, at));
        }
        sb.check_checksum(store, at)?;
        sb.check_sizes().map_err(|what| {
            store
                .refuse(at, what)
                .remedy("the superblock is damaged: see e2fsck -b")
        })?;
        let size = sb.blocks_count().saturating_mul(sb.block_size());
        if !sb.is_journal_device() && size > store.len() {
            return Err(store
                .refuse(
                    at,
                    format_args!(
                        "the filesystem has {} blocks ({size} bytes), the file has only {} bytes",
                        sb.blocks_count(),
                        store.len()
                    ),
                )
                .remedy("it is cut short, or --offset or --partition is wrong"));
        }
        Ok(sb)
    }

    fn check_checksum(&mut self, store: &dyn Store, at: u64) -> Result<()> {
        if !self.has_checksums() || self.stored_checksum() == self.checksum() {
            return Ok(());
        }
        // The field and the checksum are in different sectors.
        let mut other = self.clone();
        other.flip_bytelog();
        if self.stored_checksum() == other.checksum() {
            self.torn = true;
            return Ok(());
        }
        Err(store
            .refuse(at, "the superblock's checksum does not match")
            .remedy("the superblock is damaged: see e2fsck -b"))
    }

    fn check_sizes(&self) -> std::result::Result<(), &'static str> {
        if le32(&self.raw, field::LOG_BLOCK_SIZE) > 6 {
            return Err("the block size is not one of ext4's");
        }
        if self.rev_level() > 0 && !self.inode_size().is_power_of_two() {
            return Err("the inode size is not a power of two");
        }
        if self.inode_size() < 128 || u64::from(self.inode_size()) > self.block_size() {
            return Err("the inode size is not one of ext4's");
        }
        if self.is_journal_device() {
            return Ok(());
        }
        if self.blocks_per_group() < MIN_GROUP || self.inodes_per_group() == 0 {
            return Err("its block groups are too small");
        }
        if !self.desc_size().is_power_of_two() || self.desc_size() > MAX_DESC {
            return Err("the size of its group descriptors is not one of ext4's");
        }
        let size = self.blocks_count().checked_mul(self.block_size());
        if size.is_none_or(|size| size == 0) {
            return Err("its number of blocks is not one of ext4's");
        }
        Ok(())
    }

    fn rev_level(&self) -> u32 {
        le32(&self.raw, field::REV_LEVEL)
    }

    /// Whether a write of this superblock was cut in the middle: its checksum is that
    /// of the same superblock with the ByteLog bit the other way.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Bytes in a block: 1024 to 65536.
    pub fn block_size(&self) -> u64 {
        1024 << le32(&self.raw, field::LOG_BLOCK_SIZE)
    }

    /// Blocks in the filesystem.
    pub fn blocks_count(&self) -> u64 {
        let high = match self.incompat() & INCOMPAT_64BIT {
            0 => 0,
            _ => le32(&self.raw, field::BLOCKS_COUNT_HI),
        };
        join(high, le32(&self.raw, field::BLOCKS_COUNT_LO))
    }

    /// Number of the block that holds the superblock.
    pub fn first_data_block(&self) -> u32 {
        le32(&self.raw, field::FIRST_DATA_BLOCK)
    }

    /// Blocks in a group.
    pub fn blocks_per_group(&self) -> u32 {
        le32(&self.raw, field::BLOCKS_PER_GROUP)
    }

    /// Inodes in the filesystem.
    pub fn inodes_count(&self) -> u32 {
        le32(&self.raw, field::INODES_COUNT)
    }

    /// Inodes in a group.
    pub fn inodes_per_group(&self) -> u32 {
        le32(&self.raw, field::INODES_PER_GROUP)
    }

    /// Bytes of an inode.
    pub fn inode_size(&self) -> u16 {
        match self.rev_level() {
            0 => 128,
            _ => le16(&self.raw, field::INODE_SIZE),
        }
    }

    /// Bytes of a group descriptor.
    pub fn desc_size(&self) -> u16 {
        match self.incompat() & INCOMPAT_64BIT {
            0 => 32,
            _ => le16(&self.raw, field::DESC_SIZE).max(64),
        }
    }

    /// Whether the flags of group descriptors mean something.
    pub fn has_group_flags(&self) -> bool {
        let features = RO_COMPAT_GDT_CSUM | RO_COMPAT_METADATA_CSUM;
        le32(&self.raw, field::RO_COMPAT) & features != 0
    }

    /// The first block of group descriptors that lies among its groups, if there are
    /// such.
    pub fn first_meta_bg(&self) -> Option<u32> {
        let has = self.incompat() & INCOMPAT_META_BG != 0;
        has.then(|| le32(&self.raw, field::FIRST_META_BG))
    }

    /// The filesystem's UUID, which seeds ByteLog's chain.
    pub fn uuid(&self) -> [u8; 16] {
        uuid(&self.raw, field::UUID)
    }

    /// `s_jnl_blocks`: `i_block` and `i_size` of the journal's inode, for when that is
    /// damaged.
    pub fn journal_backup(&self) -> &[u8] {
        self.raw
            .get(field::JOURNAL_BLOCKS..field::JOURNAL_BLOCKS + 17 * 4)
            .unwrap_or_default()
    }

    /// UUID of the journal's own device.
    pub fn journal_uuid(&self) -> [u8; 16] {
        uuid(&self.raw, field::JOURNAL_UUID)
    }

    /// Inode of an internal journal, 0 if it is external.
    pub fn journal_inum(&self) -> u32 {
        le32(&self.raw, field::JOURNAL_INUM)
    }

    /// Device number of an external journal, as the kernel last saw it.
    pub fn journal_dev(&self) -> u32 {
        le32(&self.raw, field::JOURNAL_DEV)
    }

    pub(super) fn incompat(&self) -> u32 {
        le32(&self.raw, field::INCOMPAT)
    }

    pub(super) fn compat(&self) -> u32 {
        le32(&self.raw, field::COMPAT)
    }

    pub(super) fn has_checksums(&self) -> bool {
        le32(&self.raw, field::RO_COMPAT) & RO_COMPAT_METADATA_CSUM != 0
    }

    /// The seed of the checksums of metadata; `None` where it has none.
    pub fn checksum_seed(&self) -> Option<u32> {
        self.has_checksums()
            .then(|| match self.incompat() & INCOMPAT_CSUM_SEED {
                0 => crc32c(!0, &self.uuid()),
                _ => le32(&self.raw, field::CHECKSUM_SEED),
            })
    }

    /// The first inode that is not the filesystem's own.
    pub fn first_ino(&self) -> u32 {
        match self.rev_level() {
            0 => 11,
            _ => le32(&self.raw, field::FIRST_INO),
        }
    }

    /// Blocks behind each copy of the group descriptors that they can grow to.
    pub fn reserved_gdt_blocks(&self) -> u16 {
        le16(&self.raw, field::RESERVED_GDT)
    }

    /// Whether the ByteLog bit is set.
    pub fn has_bytelog(&self) -> bool {
        self.incompat() & DAX_FC_BYTELOG != 0
    }

    fn stored_checksum(&self) -> u32 {
        le32(&self.raw, field::CHECKSUM)
    }

    fn checksum(&self) -> u32 {
        crc32c(!0, self.raw.get(..field::CHECKSUM).unwrap_or_default())
    }

    pub(super) fn put(&mut self, at: usize, value: u32) {
        if let Some(place) = self.raw.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *place = value.to_le_bytes();
        }
    }

    fn flip_bytelog(&mut self) {
        self.put(field::INCOMPAT, self.incompat() ^ DAX_FC_BYTELOG);
    }

    /// Sets or clears the ByteLog bit.
    pub fn set_bytelog(&mut self, on: bool) {
        if self.has_bytelog() != on {
            self.flip_bytelog();
        }
        self.torn = false;
    }

    fn seal(&mut self) {
        if self.has_checksums() {
            self.put(field::CHECKSUM, self.checksum());
        }
    }

    /// Writes it to byte `at` of the filesystem, with its checksum.
    pub fn write(&mut self, store: &dyn Store, at: u64) -> Result<()> {
        self.seal();
        store.write_at(at, &self.raw)
    }

    /// Clears the ByteLog bit in the superblock's first sector, which is all that is
    /// written, so that a cut cannot leave a wrong checksum: that is in the other sector
    /// and stays right, for the time of the last write takes a value that makes up for
    /// the bit. Recovery then brings the superblock back from the journal.
    pub fn clear_bytelog_before_recovery(&mut self, store: &dyn Store, at: u64) -> Result<()> {
        self.set_bytelog(false);
        if self.has_checksums() {
            let (front, rest) = self.raw.split_at(field::WTIME);
            let behind = rest.get(4..field::CHECKSUM - field::WTIME);
            let target = self.stored_checksum();
            let bytes = compensate(!0, front, behind.unwrap_or_default(), target);
            self.put(field::WTIME, u32::from_le_bytes(bytes));
        }
        store.write_at(at, self.raw.get(..SECTOR).unwrap_or_default())
    }

    /// Sets or clears the ByteLog bit of a superblock that is in the journal, and has it
    /// say that recovery is needed, as the one on the device does.
    pub fn patch(raw: &mut [u8], on: bool) {
        let Some(place) = raw.get_mut(..LEN) else {
            return;
        };
        let mut sb = Self {
            raw: place.to_vec(),
            torn: false,
        };
        sb.put(field::INCOMPAT, sb.incompat() | INCOMPAT_RECOVER);
        sb.set_bytelog(on);
        sb.seal();
        place.copy_from_slice(&sb.raw);
    }

    /// Sets the counts of free blocks and inodes of a superblock that is in the journal.
    pub fn patch_counts(raw: &mut [u8], blocks: u64, inodes: u32) {
        let Some(place) = raw.get_mut(..LEN) else {
            return;
        };
        let mut sb = Self {
            raw: place.to_vec(),
            torn: false,
        };
        sb.put(field::FREE_BLOCKS_LO, blocks as u32);
        if sb.incompat() & INCOMPAT_64BIT != 0 {
            sb.put(field::FREE_BLOCKS_HI, (blocks >> 32) as u32);
        }
        sb.put(field::FREE_INODES, inodes);
        sb.seal();
        place.copy_from_slice(&sb.raw);
    }

    /// Whether the ByteLog bit is set in a superblock that is in the journal.
    pub fn has_bit(raw: &[u8]) -> bool {
        le32(raw, field::INCOMPAT) & DAX_FC_BYTELOG != 0
    }
}

/// An error that says what there is instead.
fn no_ext4(store: &dyn Store, at: u64) -> Error {
    let other = signature::of(store);
    let cause = "no ext4 filesystem: ";
    match other.filter(|_| at == PRIMARY) {
        Some((what, remedy)) => store
            .fail(at, format_args!("{cause}it is {what}"))
            .remedy(remedy),
        None => store
            .fail(
                at,
                format_args!("{cause}the superblock's magic is not there"),
            )
            .remedy("name the device, image or partition that has the filesystem"),
    }
}
