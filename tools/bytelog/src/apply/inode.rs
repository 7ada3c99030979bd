// SPDX-License-Identifier: GPL-2.0

//! Inodes: their fields, as far as replay changes them, and their checksum.

use super::volume::Volume;
use crate::bytes::{join, le16, le32};
use crate::crc::crc32c;
use crate::error::Result;

/// Offsets of `struct ext4_inode`.
pub const MODE: usize = 0x00;
pub const CTIME: usize = 0x0c;
pub const MTIME: usize = 0x10;
pub const DTIME: usize = 0x14;
pub const LINKS: usize = 0x1a;
pub const FLAGS: usize = 0x20;
pub const VERSION: usize = 0x24;
pub const BLOCK: usize = 0x28;
pub const GENERATION: usize = 0x64;
pub const EXTRA_ISIZE: usize = 0x80;
pub const CTIME_EXTRA: usize = 0x84;
pub const MTIME_EXTRA: usize = 0x88;
pub const VERSION_HIGH: usize = 0x98;
const SIZE: usize = 0x04;
const BLOCKS: usize = 0x1c;
const SIZE_HIGH: usize = 0x6c;
const FILE_ACL: usize = 0x68;
const BLOCKS_HIGH: usize = 0x74;
const FILE_ACL_HIGH: usize = 0x76;
const CHECKSUM: usize = 0x7c;
const CHECKSUM_HIGH: usize = 0x82;
/// Bytes of `i_block`.
pub const BLOCK_LEN: usize = 60;
/// Bytes of an inode of the oldest kind.
pub const SMALL: usize = 128;

pub const INDEX_FL: u32 = 0x1000;
pub const ENCRYPT_FL: u32 = 0x800;
const HUGE_FILE_FL: u32 = 0x4_0000;
pub const EXTENTS_FL: u32 = 0x8_0000;
pub const INLINE_DATA_FL: u32 = 0x1000_0000;
pub const CASEFOLD_FL: u32 = 0x4000_0000;

/// Fields of a directory that replay does not take from an INODE: first byte and
/// length.
const OF_DIRECTORY: [(usize, usize); 7] = [
    (SIZE, 4),
    (BLOCKS, 4),
    (BLOCK, BLOCK_LEN),
    (FILE_ACL, 4),
    (SIZE_HIGH, 4),
    (BLOCKS_HIGH, 2),
    (FILE_ACL_HIGH, 2),
];
/// Nor are these flags.
const FLAGS_OF_DIRECTORY: u32 = INDEX_FL | EXTENTS_FL | INLINE_DATA_FL;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

impl Kind {
    /// Of an inode with this mode.
    pub fn of(mode: u16) -> Option<Self> {
        Some(match mode >> 12 {
            0o10 => Self::File,
            0o04 => Self::Directory,
            0o12 => Self::Symlink,
            0o02 => Self::CharDevice,
            0o06 => Self::BlockDevice,
            0o01 => Self::Fifo,
            0o14 => Self::Socket,
            _ => return None,
        })
    }

    /// Its number in directory entries: `EXT4_FT_*`.
    pub fn number(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::CharDevice => 3,
            Self::BlockDevice => 4,
            Self::Fifo => 5,
            Self::Socket => 6,
            Self::Symlink => 7,
        }
    }
}

/// An inode.
#[derive(Clone)]
pub struct Inode {
    /// Its number.
    pub ino: u32,
    /// As it is on the device, all bytes that the filesystem has for it.
    pub raw: Vec<u8>,
}

impl Inode {
    /// Reads inode `ino`, in use or not.
    pub fn load(volume: &mut Volume<'_>, ino: u32) -> Result<Self> {
        let at = volume.inode_at(ino)?;
        let raw = volume.get(at, usize::from(volume.sb.inode_size()))?;
        Ok(Self { ino, raw })
    }

    /// Puts it among the changes, with its checksum.
    pub fn store(&mut self, volume: &mut Volume<'_>) -> Result<()> {
        if let Some(seed) = self.seed(volume) {
            self.put16(CHECKSUM, 0);
            let has_high = self.has(CHECKSUM_HIGH + 2);
            if has_high {
                self.put16(CHECKSUM_HIGH, 0);
            }
            let crc = crc32c(seed, &self.raw);
            self.put16(CHECKSUM, crc as u16);
            if has_high {
                self.put16(CHECKSUM_HIGH, (crc >> 16) as u16);
            }
        }
        let at = volume.inode_at(self.ino)?;
        volume.put(at, &self.raw)
    }

    /// The seed of its checksum and of those of its blocks, where there are checksums.
    pub fn seed(&self, volume: &Volume<'_>) -> Option<u32> {
        let seed = volume.sb.checksum_seed()?;
        let crc = crc32c(seed, &self.ino.to_le_bytes());
        Some(crc32c(crc, &self.word(GENERATION).to_le_bytes()))
    }

    /// Whether the fields up to byte `end` are there, behind the first 128.
    pub fn has(&self, end: usize) -> bool {
        let extra = usize::from(le16(&self.raw, EXTRA_ISIZE));
        self.raw.len() > SMALL && end <= (SMALL + extra).min(self.raw.len())
    }

    /// The 4 bytes at `at`.
    pub fn word(&self, at: usize) -> u32 {
        le32(&self.raw, at)
    }

    /// Replaces the 4 bytes at `at`.
    pub fn put(&mut self, at: usize, value: u32) {
        if let Some(place) = self.raw.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn put16(&mut self, at: usize, value: u16) {
        if let Some(place) = self.raw.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// What it is.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(le16(&self.raw, MODE))
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == Some(Kind::Directory)
    }

    /// Whether it has one of these flags.
    pub fn has_flag(&self, flags: u32) -> bool {
        self.word(FLAGS) & flags != 0
    }

    /// Bytes in it.
    pub fn size(&self) -> u64 {
        join(self.word(SIZE_HIGH), self.word(SIZE))
    }

    /// Sets the number of bytes in it.
    pub fn set_size(&mut self, size: u64) {
        self.put(SIZE, size as u32);
        self.put(SIZE_HIGH, (size >> 32) as u32);
    }

    /// Sets the number of blocks of the filesystem that it takes.
    pub fn set_blocks(&mut self, blocks: u64, block_size: u64) {
        let sectors = blocks.saturating_mul(block_size / 512);
        let (number, huge) = match sectors >> 48 {
            0 => (sectors, 0),
            _ => (blocks, HUGE_FILE_FL),
        };
        self.put(BLOCKS, number as u32);
        self.put16(BLOCKS_HIGH, (number >> 32) as u16);
        self.put(FLAGS, (self.word(FLAGS) & !HUGE_FILE_FL) | huge);
    }

    /// The block with its xattrs, 0 for none.
    pub fn acl_block(&self) -> u64 {
        join(le16(&self.raw, FILE_ACL_HIGH).into(), self.word(FILE_ACL))
    }

    /// Sets the links to it.
    pub fn set_links(&mut self, links: u16) {
        self.put16(LINKS, links);
    }

    /// `i_block`.
    pub fn block(&self) -> &[u8] {
        self.raw.get(BLOCK..BLOCK + BLOCK_LEN).unwrap_or_default()
    }

    /// Replaces `i_block`.
    pub fn set_block(&mut self, bytes: &[u8]) {
        if let Some(place) = self.raw.get_mut(BLOCK..BLOCK + BLOCK_LEN) {
            place.copy_from_slice(bytes);
        }
    }

    /// Takes the fields that an INODE with the raw inode `logged` has for this one,
    /// which is of the same kind, or empty.
    pub fn take(&mut self, logged: &[u8], kind: Kind) {
        let before = self.clone();
        let len = logged.len().min(self.raw.len());
        let front = logged.get(..len).unwrap_or_default();
        if let Some(place) = self.raw.get_mut(..len) {
            place.copy_from_slice(front);
        }
        let keep = |inode: &mut Self, at: usize, len: usize| {
            let old = before.raw.get(at..at + len).unwrap_or_default();
            if let Some(place) = inode.raw.get_mut(at..at + len) {
                place.copy_from_slice(old);
            }
        };
        match kind {
            Kind::Directory => {
                for (at, len) in OF_DIRECTORY {
                    keep(self, at, len);
                }
                let flags = self.word(FLAGS) & !FLAGS_OF_DIRECTORY;
                self.put(FLAGS, flags | (before.word(FLAGS) & FLAGS_OF_DIRECTORY));
            }
            _ if self.has_flag(EXTENTS_FL) => {
                keep(self, BLOCK, BLOCK_LEN);
                keep(self, BLOCKS, 4);
                keep(self, BLOCKS_HIGH, 2);
            }
            _ => {}
        }
        // The list of orphans goes through this field, and has not been logged.
        keep(self, DTIME, 4);
    }
}
