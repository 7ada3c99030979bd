// SPDX-License-Identifier: GPL-2.0

//! A journal, inside the filesystem or on a device of its own.

use super::superblock::JournalSuperblock;
use crate::bytes::uuid_text;
use crate::error::{Error, Result};
use crate::ext4::inode;
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::store::Store;
use std::rc::Rc;

/// Where a journal's blocks are.
#[derive(Clone)]
enum Map {
    /// Filesystem block of each block of the journal's inode.
    Inode(Vec<u64>),
    /// A device of its own: block for block.
    Device,
}

/// A journal.
#[derive(Clone)]
pub struct Journal {
    /// What it is on.
    pub store: Rc<dyn Store>,
    /// Its superblock.
    pub sb: JournalSuperblock,
    /// Bytes from the start of the store to the superblock.
    pub sb_at: u64,
    block_size: u64,
    map: Map,
}

impl Journal {
    /// The journal inside the filesystem.
    pub fn internal(store: &Rc<dyn Store>, sb: &Superblock) -> Result<Self> {
        let blocks = inode::blocks(store.as_ref(), sb, sb.journal_inum())?;
        let first = blocks.first().copied().unwrap_or(0);
        let sb_at = first * sb.block_size();
        let count = blocks.len() as u64;
        Ok(Self {
            store: store.clone(),
            sb: JournalSuperblock::read(store.as_ref(), sb_at, sb.block_size(), count)?,
            sb_at,
            block_size: sb.block_size(),
            map: Map::Inode(blocks),
        })
    }

    /// Clears the mark of a journal inside the filesystem whose superblock is damaged, and
    /// returns whether there was one; if `dry_run`, only looks.
    pub fn clear_damaged_mark(store: &dyn Store, sb: &Superblock, dry_run: bool) -> Result<bool> {
        // e2fsck, too, goes by the copy where the inode is damaged.
        let blocks = match sb.journal_inum() {
            0 => Vec::new(),
            inode => inode::blocks(store, sb, inode)
                .or_else(|_| inode::backup_of_journal(store, sb))
                .unwrap_or_default(),
        };
        match blocks.first() {
            Some(first) => {
                JournalSuperblock::clear_raw_mark(store, first * sb.block_size(), dry_run)
            }
            None => Ok(false),
        }
    }

    /// The journal on `store`, a device of its own, of the filesystem with `sb`.
    pub fn external(store: Rc<dyn Store>, sb: &Superblock) -> Result<Self> {
        let device = Superblock::read(store.as_ref(), PRIMARY)?;
        let wrong = |cause: String| {
            store
                .refuse(PRIMARY, cause)
                .remedy("name the journal's device with --journal")
        };
        if !device.is_journal_device() {
            return Err(wrong("this is not a journal device".into()));
        }
        if device.uuid() != sb.journal_uuid() {
            return Err(wrong(format!(
                "this is journal {}, but the filesystem's is {}",
                uuid_text(&device.uuid()),
                uuid_text(&sb.journal_uuid())
            )));
        }
        let block_size = sb.block_size();
        // Behind the block that has the device's own superblock.
        let sb_at = (PRIMARY / block_size + 1) * block_size;
        let blocks = device.blocks_count().min(store.len() / block_size);
        Ok(Self {
            sb: JournalSuperblock::read(store.as_ref(), sb_at, block_size, blocks)?,
            sb_at,
            block_size,
            map: Map::Device,
            store,
        })
    }

    /// Whether it is on a device of its own.
    pub fn is_external(&self) -> bool {
        matches!(self.map, Map::Device)
    }

    /// Bytes in a block.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Bytes from the start of the store to block `block` of the journal.
    pub fn place(&self, block: u32) -> Result<u64> {
        let physical = match &self.map {
            Map::Device => Some(u64::from(block)),
            Map::Inode(blocks) => blocks.get(block as usize).copied(),
        };
        physical
            .filter(|_| block < self.sb.maxlen())
            .and_then(|physical| physical.checked_mul(self.block_size))
            .ok_or_else(|| {
                Error::refused(
                    self.store.name(),
                    format_args!("the journal has no block {block}"),
                )
            })
    }

    /// The bytes of block `block`.
    pub fn read_block(&self, block: u32) -> Result<Vec<u8>> {
        let at = self.place(block)?;
        self.store.read(at, self.block_size as usize)
    }

    /// An error about block `block`.
    pub fn refuse(&self, block: u32, cause: impl std::fmt::Display) -> Error {
        match self.place(block) {
            Ok(at) => self.store.refuse(at, cause),
            Err(error) => error,
        }
    }
}
