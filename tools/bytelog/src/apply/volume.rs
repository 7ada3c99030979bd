// SPDX-License-Identifier: GPL-2.0

//! A filesystem with changes that are only in memory: blocks, and groups with their
//! bitmaps and counts.

use super::group::Group;
use super::overlay::{Blocks, Overlay};
use super::ranges::Ranges;
use crate::error::Result;
use crate::ext4::superblock::Superblock;
use crate::store::Store;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// The filesystem on a store, and what is changed of it.
pub struct Volume<'a> {
    overlay: Overlay<'a>,
    groups: BTreeMap<u32, Group>,
    /// Blocks that must not be allocated, though they are free: the log names them.
    reserved: Ranges,
}

impl<'a> Deref for Volume<'a> {
    type Target = Overlay<'a>;

    fn deref(&self) -> &Self::Target {
        &self.overlay
    }
}

impl DerefMut for Volume<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.overlay
    }
}

impl<'a> Volume<'a> {
    /// The filesystem of `sb` on `store`; `reserved` are blocks that the log names.
    pub fn new(store: &'a dyn Store, sb: &'a Superblock, reserved: Ranges) -> Self {
        Self {
            overlay: Overlay::new(store, sb),
            groups: BTreeMap::new(),
            reserved,
        }
    }

    /// Group `number`, loaded. `then` does something with it.
    fn with_group<T>(
        &mut self,
        number: u32,
        then: impl FnOnce(&mut Overlay<'a>, &mut Group) -> Result<T>,
    ) -> Result<T> {
        let mut group = match self.groups.remove(&number) {
            Some(group) => group,
            None => Group::load(&self.overlay, number)?,
        };
        let done = then(&mut self.overlay, &mut group);
        self.groups.insert(number, group);
        done
    }

    /// The group of an inode, and its index there.
    fn of_inode(&self, ino: u32) -> Result<(u32, u32)> {
        let per_group = self.sb.inodes_per_group();
        match ino.checked_sub(1) {
            Some(index) if ino <= self.sb.inodes_count() => {
                Ok((index / per_group, index % per_group))
            }
            _ => Err(self.refuse(format_args!("it names inode {ino}"))),
        }
    }

    /// Bytes from the start of the filesystem to inode `ino`.
    pub fn inode_at(&mut self, ino: u32) -> Result<u64> {
        let (group, index) = self.of_inode(ino)?;
        let size = u64::from(self.sb.inode_size());
        self.with_group(group, |volume, group| {
            let table = group.inode_table();
            volume.check(table)?;
            Ok(table * volume.sb.block_size() + u64::from(index) * size)
        })
    }

    /// Whether inode `ino` is in use.
    pub fn uses_inode(&mut self, ino: u32) -> Result<bool> {
        let (group, index) = self.of_inode(ino)?;
        self.with_group(group, |volume, group| group.uses_inode(volume, index))
    }

    /// Takes inode `ino` into use.
    pub fn take_inode(&mut self, ino: u32, is_dir: bool) -> Result<()> {
        let (group, index) = self.of_inode(ino)?;
        let fresh = self.with_group(group, |volume, group| {
            group.take_inode(volume, index, is_dir)
        })?;
        // A part of the table that has never been used need not have been zeroed.
        let (size, per_group) = (
            usize::from(self.sb.inode_size()),
            self.sb.inodes_per_group(),
        );
        for index in fresh {
            let at = self.inode_at(group * per_group + index + 1)?;
            let old = self.get(at, size)?;
            if old.iter().any(|byte| *byte != 0) {
                self.put(at, &vec![0; size])?;
            }
        }
        Ok(())
    }

    /// Gives inode `ino` back.
    pub fn give_inode(&mut self, ino: u32, is_dir: bool) -> Result<()> {
        let (group, index) = self.of_inode(ino)?;
        self.with_group(group, |volume, group| {
            group.give_inode(volume, index, is_dir)
        })
    }

    /// Marks blocks as used, or as free.
    pub fn mark(&mut self, first: u64, len: u64, used: bool) -> Result<()> {
        let per_group = u64::from(self.sb.blocks_per_group());
        let base = u64::from(self.sb.first_data_block());
        let (mut at, end) = (first, first.saturating_add(len));
        if first < base || end > self.sb.blocks_count() {
            return Err(self.damaged(format_args!("blocks {first}-{end} cannot be in use")));
        }
        while at < end {
            let (group, from) = ((at - base) / per_group, (at - base) % per_group);
            let now = (end - at).min(per_group - from);
            self.with_group(group as u32, |volume, group| {
                group.mark(volume, from as u32, now as u32, used)
            })?;
            at += now;
        }
        Ok(())
    }

    /// A free block that the log does not name, from the group of inode `near` on; it is
    /// used then.
    pub fn allocate(&mut self, near: u32) -> Result<u64> {
        let first = self.of_inode(near)?.0;
        let groups = self.layout.groups;
        let per_group = u64::from(self.sb.blocks_per_group());
        let base = u64::from(self.sb.first_data_block());
        for step in 0..groups {
            let number = (first + step) % groups;
            let start = base + u64::from(number) * per_group;
            let reserved = std::mem::take(&mut self.reserved);
            let found = self.with_group(number, |volume, group| {
                group.find(volume, |bit| !reserved.has(start + u64::from(bit)))
            });
            self.reserved = reserved;
            if let Some(bit) = found? {
                let block = start + u64::from(bit);
                self.mark(block, 1, true)?;
                return Ok(block);
            }
        }
        Err(self.refuse("there is no free block for it"))
    }

    /// All changes, with their checksums, and the counts of free blocks and inodes that
    /// the superblock has to have.
    pub fn finish(mut self) -> Result<(Blocks, u64, u32)> {
        let groups = std::mem::take(&mut self.groups);
        let (mut blocks, mut inodes) = (0u64, 0u64);
        for number in 0..self.layout.groups {
            let counts = match groups.get(&number) {
                Some(group) => {
                    group.store(&mut self.overlay)?;
                    group.counts()
                }
                None => Group::load(&self.overlay, number)?.counts(),
            };
            blocks += u64::from(counts.0);
            inodes += u64::from(counts.1);
        }
        Ok((
            self.overlay.into_blocks(),
            blocks,
            u32::try_from(inodes).unwrap_or(u32::MAX),
        ))
    }
}
