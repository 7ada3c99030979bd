// SPDX-License-Identifier: GPL-2.0

//! A log, done to a filesystem without a kernel: which blocks it changes, and to what.
//!
//! Stock ext4 and e2fsck replay names, and files with extents. They cannot make or
//! remove a directory, know nothing of DIR, take a directory's size from its INODE, and
//! leave out what special files have in their inodes. So a log with such contents is
//! replayed here, in memory. What comes of it is blocks of metadata, which go into the
//! journal as a transaction: any kernel and any e2fsck recovers that.

mod directory;
mod extents;
mod group;
mod inode;
mod layout;
mod orphans;
mod overlay;
mod ranges;
mod replay;
mod settle;
mod volume;
mod xattrs;

use crate::error::Result;
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::store::Store;
use overlay::Blocks;
use volume::Volume;

/// What a log makes of a filesystem.
pub struct Applied {
    /// Blocks that it changes, but for the one with the superblock.
    pub blocks: Blocks,
    /// That block, with the counts of free blocks and inodes put right.
    pub sb_block: Vec<u8>,
}

/// Replays `tlvs` in memory. `store` has the filesystem of `sb` as it is before, and
/// `sb_block` its superblock.
pub fn apply(
    store: &dyn Store,
    sb: &Superblock,
    mut sb_block: Vec<u8>,
    tlvs: &[u8],
) -> Result<Applied> {
    let at = (PRIMARY % sb.block_size()) as usize;
    let mut volume = Volume::new(store, sb, replay::named_blocks(tlvs));
    let raw = sb_block.get(at..).unwrap_or_default();
    replay::replay(&mut volume, raw, tlvs)?;
    let (blocks, free_blocks, free_inodes) = volume.finish()?;
    if let Some(raw) = sb_block.get_mut(at..) {
        Superblock::patch_counts(raw, free_blocks, free_inodes);
    }
    Ok(Applied { blocks, sb_block })
}
