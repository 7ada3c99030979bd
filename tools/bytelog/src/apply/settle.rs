// SPDX-License-Identifier: GPL-2.0

//! The end of a replay: parents, trees of extents, and which blocks are in use.

use super::directory::Directory;
use super::extents::Map;
use super::inode::{Inode, INLINE_DATA_FL};
use super::ranges::Ranges;
use super::replay::{Replay, ROOT};
use crate::bytes::le32;
use crate::error::Result;
use std::collections::HashSet;

impl Replay<'_, '_> {
    /// What can be told only at the end: parents, trees of extents, blocks.
    pub(super) fn settle(mut self) -> Result<()> {
        for (ino, parent) in std::mem::take(&mut self.parents) {
            if self.volume.uses_inode(ino)? {
                let inode = Inode::load(self.volume, ino)?;
                let mut dir = Directory::open(self.volume, inode)?;
                dir.set_parent(self.volume, parent)?;
                dir.inode.store(self.volume)?;
                self.touched.insert(ino);
                self.is_below_root(ino)?;
            }
        }
        let mut used = Ranges::default();
        for ino in std::mem::take(&mut self.touched) {
            if !self.volume.uses_inode(ino)? {
                continue;
            }
            let mut inode = Inode::load(self.volume, ino)?;
            let map = match self.maps.remove(&ino) {
                Some(mut map) => {
                    let spare = map.write(self.volume, &mut inode)?;
                    spare.iter().for_each(|block| self.freed.add(*block, 1));
                    map
                }
                None => Map::load(self.volume, &inode)?,
            };
            for extent in &map.extents {
                used.add(extent.block, extent.len.into());
            }
            map.nodes.iter().for_each(|block| used.add(*block, 1));
            let xattrs = inode.acl_block();
            if xattrs != 0 {
                used.add(xattrs, 1);
            }
            if !inode.has_flag(INLINE_DATA_FL) {
                let all = map.blocks() + u64::from(xattrs != 0);
                inode.set_blocks(all, self.volume.sb.block_size());
            }
            inode.store(self.volume)?;
        }
        for (first, len) in self.freed.without(&used).iter() {
            self.volume.mark(first, len, false)?;
        }
        for (first, len) in used.iter() {
            self.volume.mark(first, len, true)?;
        }
        Ok(())
    }

    /// Refuses a directory that is below itself.
    fn is_below_root(&mut self, ino: u32) -> Result<()> {
        let (mut at, mut seen) = (ino, HashSet::new());
        while at != ROOT {
            if !seen.insert(at) || !self.volume.uses_inode(at)? {
                let cause = format!("directory {ino} is not below the root directory");
                return Err(self.volume.refuse(cause));
            }
            let inode = Inode::load(self.volume, at)?;
            if inode.is_dir() && inode.has_flag(INLINE_DATA_FL) {
                // What it is in is in the inode.
                at = le32(inode.block(), 0);
                continue;
            }
            at = match self.parents.get(&at) {
                Some(parent) => *parent,
                None => Directory::open(self.volume, inode)?.parent(self.volume)?,
            };
        }
        Ok(())
    }
}
