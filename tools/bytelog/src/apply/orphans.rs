// SPDX-License-Identifier: GPL-2.0

//! Inodes that the next recovery is to remove, or to cut to their size.

use super::extents::Map;
use super::inode::{Inode, DTIME};
use super::volume::Volume;
use crate::bytes::le32;
use crate::error::Result;
use std::collections::HashSet;

/// Offsets of `struct ext4_super_block`.
const COMPAT: usize = 0x5c;
const LAST_ORPHAN: usize = 0xe8;
const ORPHAN_FILE: usize = 0x280;

const COMPAT_ORPHAN_FILE: u32 = 0x1000;
/// Bytes at the end of a block of the orphan file that are no inode numbers.
const TAIL: usize = 8;

/// Those in the list that begins in `superblock`, and those in the orphan file.
pub fn all(volume: &mut Volume<'_>, superblock: &[u8]) -> Result<HashSet<u32>> {
    let mut found = HashSet::new();
    let mut next = le32(superblock, LAST_ORPHAN);
    while (1..=volume.sb.inodes_count()).contains(&next) && found.insert(next) {
        next = Inode::load(volume, next)?.word(DTIME);
    }
    if le32(superblock, COMPAT) & COMPAT_ORPHAN_FILE != 0 {
        let file = Inode::load(volume, le32(superblock, ORPHAN_FILE))?;
        // No more blocks than the filesystem has.
        for extent in Map::load(volume, &file)?.extents {
            for step in 0..u64::from(extent.len) {
                let block = volume.block(extent.block + step)?;
                let numbers = block.get(..block.len() - TAIL).unwrap_or_default();
                let numbers = numbers.chunks_exact(4).map(|bytes| le32(bytes, 0));
                found.extend(numbers.filter(|number| *number != 0));
            }
        }
    }
    Ok(found)
}
