// SPDX-License-Identifier: GPL-2.0

//! Group descriptors: `struct ext4_group_desc`.

use super::superblock::Superblock;
use crate::bytes::{join, le16, le32};
use crate::error::{Error, Result};
use crate::store::Store;

/// Offsets of fields; the high halves are there on filesystems with 64-bit numbers.
const INODE_BITMAP: [usize; 2] = [0x04, 0x24];
const INODE_TABLE: [usize; 2] = [0x08, 0x28];
const FLAGS: usize = 0x12;

/// No inode of the group is in use, and its bitmap means nothing.
const INODE_UNINIT: u16 = 0x1;

/// A block group, as far as its inodes go.
pub struct Group {
    raw: Vec<u8>,
    at: u64,
}

impl Group {
    /// The group that has inode `number`, and the inode's index in it.
    pub fn of_inode(store: &dyn Store, sb: &Superblock, number: u32) -> Result<(Self, u32)> {
        let index = number.checked_sub(1);
        let per_group = sb.inodes_per_group();
        let (group, index) = match index {
            Some(index) if number <= sb.inodes_count() => (index / per_group, index % per_group),
            _ => {
                return Err(Error::refused(
                    store.name(),
                    format_args!("the filesystem has no inode {number}"),
                )
                .remedy("the filesystem is damaged: see e2fsck"))
            }
        };
        let at = desc_at(sb, group);
        let raw = store.read(at, usize::from(sb.desc_size()))?;
        Ok((Self { raw, at }, index))
    }

    /// Bytes from the start of the filesystem to the inode with that index.
    pub fn inode_at(&self, store: &dyn Store, sb: &Superblock, index: u32) -> Result<u64> {
        let table = self.block(store, sb, INODE_TABLE, "the inode table")?;
        Ok(table * sb.block_size() + u64::from(index) * u64::from(sb.inode_size()))
    }

    /// Whether the inode with that index is in use.
    pub fn uses_inode(&self, store: &dyn Store, sb: &Superblock, index: u32) -> Result<bool> {
        if sb.has_group_flags() && le16(&self.raw, FLAGS) & INODE_UNINIT != 0 {
            return Ok(false);
        }
        let bitmap = self.block(store, sb, INODE_BITMAP, "the inode bitmap")?;
        let mut byte = [0];
        store.read_at(bitmap * sb.block_size() + u64::from(index / 8), &mut byte)?;
        Ok(byte.iter().any(|byte| byte & (1 << (index % 8)) != 0))
    }

    fn block(
        &self,
        store: &dyn Store,
        sb: &Superblock,
        [low, high]: [usize; 2],
        what: &str,
    ) -> Result<u64> {
        let high = match self.raw.len() {
            64.. => le32(&self.raw, high),
            _ => 0,
        };
        let block = join(high, le32(&self.raw, low));
        if block == 0 || block >= sb.blocks_count() {
            return Err(store
                .refuse(self.at, format_args!("block {block} cannot be {what}"))
                .remedy("the filesystem is damaged: see e2fsck"));
        }
        Ok(block)
    }
}

/// Bytes from the start of the filesystem to the descriptor of a group.
pub(crate) fn desc_at(sb: &Superblock, group: u32) -> u64 {
    let (group, len, size) = (u64::from(group), u64::from(sb.desc_size()), sb.block_size());
    let per_block = size / len;
    let (block, index) = (group / per_block, group % per_block);
    let first = u64::from(sb.first_data_block());
    let is_meta = sb
        .first_meta_bg()
        .is_some_and(|meta| block >= u64::from(meta));
    if !is_meta {
        return (first + 1 + block) * size + index * len;
    }
    // In the first of the groups that the block describes, behind a backup of the
    // superblock, if that has one.
    let start = (first + block * per_block * u64::from(sb.blocks_per_group())) * size;
    let is_behind = block == 0 || sb.backups().contains(&start);
    start + u64::from(is_behind) * size + index * len
}
