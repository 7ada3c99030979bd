// SPDX-License-Identifier: GPL-2.0

//! The journal's inode and the blocks that it has, through extents or through
//! indirect blocks.

use super::group::Group;
use super::superblock::{Superblock, PRIMARY};
use crate::bytes::{join, le16, le32};
use crate::error::{Error, Result};
use crate::store::Store;

/// Offsets of `struct ext4_inode`.
const SIZE_LO: usize = 0x04;
const FLAGS: usize = 0x20;
const BLOCK: usize = 0x28;
const BLOCK_LEN: usize = 60;
const SIZE_HIGH: usize = 0x6c;

const EXTENTS_FL: u32 = 0x8_0000;
const EXTENT_MAGIC: u16 = 0xf30a;
/// `EXT4_MAX_EXTENT_DEPTH`.
const MAX_DEPTH: u16 = 5;
/// `EXT_INIT_MAX_LEN`: longer ones are unwritten, by what exceeds this.
const INIT_MAX_LEN: u16 = 1 << 15;
/// Blocks named in the inode itself, if it has no extents.
const DIRECT: usize = 12;

/// Most blocks of a journal: `JBD2`'s block numbers are 32 bits wide, but such a map
/// would not fit in memory. 64 GiB of 4 KiB blocks.
const MAX_BLOCKS: u64 = 1 << 24;

/// Finds the blocks of a file.
struct Mapper<'a> {
    store: &'a dyn Store,
    sb: &'a Superblock,
    /// Blocks of the file, by its own numbers; 0 for a hole.
    blocks: Vec<u64>,
    /// Extent-tree and indirect blocks that may still be read: a tree that needs more
    /// than the file has blocks goes round in circles.
    budget: u64,
}

/// Filesystem block of each block of inode `number`.
pub fn blocks(store: &dyn Store, sb: &Superblock, number: u32) -> Result<Vec<u64>> {
    let (group, index) = Group::of_inode(store, sb, number)?;
    let inode_at = group.inode_at(store, sb, index)?;
    let inode = store.read(inode_at, usize::from(sb.inode_size()))?;
    let bytes = join(le32(&inode, SIZE_HIGH), le32(&inode, SIZE_LO));
    let root = inode.get(BLOCK..BLOCK + BLOCK_LEN).unwrap_or_default();
    let has_extents = le32(&inode, FLAGS) & EXTENTS_FL != 0;
    mapped(store, sb, inode_at, root, has_extents, bytes)
}

/// The same of the journal, from the copy of its inode's fields in the superblock.
pub fn backup_of_journal(store: &dyn Store, sb: &Superblock) -> Result<Vec<u64>> {
    let copy = sb.journal_backup();
    let (root, sizes) = copy.split_at_checked(BLOCK_LEN).unwrap_or_default();
    let bytes = join(le32(sizes, 0), le32(sizes, 4));
    let has_extents = le16(root, 0) == EXTENT_MAGIC;
    mapped(store, sb, PRIMARY, root, has_extents, bytes)
}

/// The blocks of a file of `bytes` bytes, from the `i_block` that is at `inode_at`.
fn mapped(
    store: &dyn Store,
    sb: &Superblock,
    inode_at: u64,
    root: &[u8],
    has_extents: bool,
    bytes: u64,
) -> Result<Vec<u64>> {
    let count = bytes / sb.block_size();
    if count == 0 || count > MAX_BLOCKS || count > sb.blocks_count() {
        return Err(damaged(
            store,
            inode_at,
            format_args!("the journal's inode says {bytes} bytes"),
        ));
    }
    let mut mapper = Mapper {
        store,
        sb,
        blocks: vec![0; usize::try_from(count).unwrap_or(0)],
        budget: count,
    };
    if has_extents {
        mapper.extents(root, inode_at, MAX_DEPTH + 1)?;
    } else {
        mapper.indirect(root)?;
    }
    match mapper.blocks.iter().position(|block| *block == 0) {
        None => Ok(mapper.blocks),
        Some(hole) => Err(damaged(
            store,
            inode_at,
            format_args!("the journal has a hole at its block {hole}"),
        )),
    }
}

fn damaged(store: &dyn Store, at: u64, what: impl std::fmt::Display) -> Error {
    store
        .refuse(at, what)
        .remedy("the filesystem is damaged: see e2fsck")
}

impl Mapper<'_> {
    fn read_block(&mut self, block: u64, named_at: u64) -> Result<Vec<u8>> {
        self.budget = self
            .budget
            .checked_sub(1)
            .ok_or_else(|| damaged(self.store, named_at, "the journal's block map is circular"))?;
        if block == 0 || block >= self.sb.blocks_count() {
            let what = format!("the journal's block map names block {block}");
            return Err(damaged(self.store, named_at, what));
        }
        let size = self.sb.block_size();
        self.store.read(block * size, size as usize)
    }

    /// Walks an extent node, of a depth below `above`, that stands at byte `at`.
    fn extents(&mut self, node: &[u8], at: u64, above: u16) -> Result<()> {
        let (entries, depth) = (le16(node, 2), le16(node, 6));
        if le16(node, 0) != EXTENT_MAGIC || depth >= above {
            return Err(damaged(
                self.store,
                at,
                "this is no extent node of the journal",
            ));
        }
        for entry in node.chunks_exact(12).skip(1).take(entries.into()) {
            let first = le32(entry, 0);
            if depth > 0 {
                let child = join(u32::from(le16(entry, 8)), le32(entry, 4));
                let block = self.read_block(child, at)?;
                self.extents(&block, child * self.sb.block_size(), depth)?;
                continue;
            }
            let len = match le16(entry, 4) {
                len if len > INIT_MAX_LEN => len - INIT_MAX_LEN,
                len => len,
            };
            let start = join(u32::from(le16(entry, 6)), le32(entry, 8));
            for step in 0..u64::from(len) {
                self.put(u64::from(first) + step, start + step, at)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, logical: u64, physical: u64, at: u64) -> Result<()> {
        let slot = usize::try_from(logical).ok();
        let Some(slot) = slot.and_then(|slot| self.blocks.get_mut(slot)) else {
            // Preallocated beyond the end of the file.
            return Ok(());
        };
        if *slot != 0 || physical == 0 || physical >= self.sb.blocks_count() {
            let what = format!("the journal's block {logical} cannot be block {physical}");
            return Err(damaged(self.store, at, what));
        }
        *slot = physical;
        Ok(())
    }

    /// Walks `i_block` of an inode without extents.
    fn indirect(&mut self, root: &[u8]) -> Result<()> {
        let mut next = 0;
        for (slot, entry) in root.chunks_exact(4).enumerate() {
            let levels = slot.saturating_sub(DIRECT - 1) as u32;
            self.indirect_entry(le32(entry, 0), levels, &mut next)?;
        }
        Ok(())
    }

    /// One entry with `levels` of indirect blocks below it; `next` is the file's block
    /// that it begins with.
    fn indirect_entry(&mut self, block: u32, levels: u32, next: &mut u64) -> Result<()> {
        if *next >= self.blocks.len() as u64 {
            return Ok(());
        }
        if levels == 0 {
            self.put(*next, block.into(), 0)?;
            *next += 1;
            return Ok(());
        }
        let entries = self.read_block(block.into(), 0)?;
        for entry in entries.chunks_exact(4) {
            self.indirect_entry(le32(entry, 0), levels - 1, next)?;
        }
        Ok(())
    }
}
