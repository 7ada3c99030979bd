// SPDX-License-Identifier: GPL-2.0

//! Inodes whose number another file had before.
//!
//! Stock replay copies a new inode over the one on the device, but for its extents, and
//! takes those over from whatever stood there: that of a file which the log deletes, in
//! e2fsck, which does not delete it; or anything, in an inode table that mke2fs has left
//! for later. ByteLog's own replay tells such inodes by their generation and clears
//! them. A log that is exported says so in a way that stock replay understands.

use crate::bytes::le32;
use crate::error::{Error, Result};
use crate::ext4::group::Group;
use crate::ext4::superblock::Superblock;
use crate::store::Store;
use bytelog::tlv::{Tag, Tlvs};
use std::collections::hash_map::{Entry, HashMap};

/// Offsets of `struct ext4_inode`.
const FLAGS: usize = 0x20;
const GENERATION: usize = 0x64;

const EXTENTS_FL: u32 = 0x8_0000;

/// `sizeof(struct ext4_fc_del_range)`: inode, first block, number of blocks.
const DEL_RANGE_LEN: u16 = 12;

/// More blocks than a file has whose extents are to go.
const ALL: u32 = i32::MAX as u32;

/// A log with what stock replay needs besides.
pub struct Cleared {
    /// The TLVs, with more among them.
    pub tlvs: Vec<u8>,
    /// Bytes from the start of the filesystem to inodes that nobody uses, that are not
    /// empty, and that the log brings into use.
    pub inodes: Vec<u64>,
    /// Inodes whose old extents the log removes.
    pub removed: u32,
}

/// Finds the reused inodes of the log `tlvs`; `store` has the filesystem of `sb` as it
/// is before replay.
pub fn clear(store: &dyn Store, sb: &Superblock, tlvs: &[u8]) -> Result<Cleared> {
    let mut cleared = Cleared {
        tlvs: Vec::with_capacity(tlvs.len()),
        inodes: Vec::new(),
        removed: 0,
    };
    // The generation that each inode has at this place of the log.
    let mut generations: HashMap<u32, u32> = HashMap::new();
    for tlv in Tlvs::new(tlvs, tlvs.len()) {
        let tlv = tlv.map_err(|error| Error::refused(store.name(), error))?;
        cleared.tlvs.extend(tlv.bytes());
        if tlv.tag() != Tag::Inode {
            continue;
        }
        let number = le32(tlv.value(), 0);
        let inode = tlv.value().get(4..).unwrap_or_default();
        let generation = le32(inode, GENERATION);
        let before = match generations.entry(number) {
            Entry::Occupied(mut entry) => Some(entry.insert(generation)),
            Entry::Vacant(entry) => {
                entry.insert(generation);
                on_device(store, sb, number, generation, &mut cleared.inodes)?
            }
        };
        let is_other = before.is_some_and(|before| before != generation);
        // Of what has no extents nothing can be removed, nor is anything taken over.
        if is_other && le32(inode, FLAGS) & EXTENTS_FL != 0 {
            cleared.removed += 1;
            cleared.tlvs.extend(Tag::DelRange.raw().to_le_bytes());
            cleared.tlvs.extend(DEL_RANGE_LEN.to_le_bytes());
            for word in [number, 0, ALL] {
                cleared.tlvs.extend(word.to_le_bytes());
            }
        }
    }
    Ok(cleared)
}

/// The generation of an inode that is in use. One that is not goes to `unused` if it has
/// another generation and is not empty.
fn on_device(
    store: &dyn Store,
    sb: &Superblock,
    number: u32,
    generation: u32,
    unused: &mut Vec<u64>,
) -> Result<Option<u32>> {
    let (group, index) = Group::of_inode(store, sb, number)?;
    let at = group.inode_at(store, sb, index)?;
    let inode = store.read(at, usize::from(sb.inode_size()))?;
    let before = le32(&inode, GENERATION);
    if group.uses_inode(store, sb, index)? {
        return Ok(Some(before));
    }
    if before != generation && inode.iter().any(|byte| *byte != 0) {
        unused.push(at);
    }
    Ok(None)
}
