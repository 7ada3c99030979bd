// SPDX-License-Identifier: GPL-2.0

//! Blocks of a filesystem with changes that are only in memory.

use super::layout::Layout;
use crate::error::{Error, Result};
use crate::ext4::superblock::Superblock;
use crate::store::Store;
use std::collections::BTreeMap;

/// Changed blocks, by their numbers.
pub type Blocks = BTreeMap<u64, Vec<u8>>;

/// The blocks of the filesystem on a store, and what is changed of them.
pub struct Overlay<'a> {
    store: &'a dyn Store,
    /// Its superblock, whose counts are not kept up to date.
    pub sb: &'a Superblock,
    /// How it is laid out.
    pub layout: Layout,
    blocks: Blocks,
}

impl<'a> Overlay<'a> {
    /// The filesystem of `sb` on `store`, without changes.
    pub fn new(store: &'a dyn Store, sb: &'a Superblock) -> Self {
        Self {
            store,
            sb,
            layout: Layout::of(sb),
            blocks: Blocks::new(),
        }
    }

    /// What is changed.
    pub fn into_blocks(self) -> Blocks {
        self.blocks
    }

    /// Bytes in a block.
    pub fn block_size(&self) -> usize {
        self.sb.block_size() as usize
    }

    /// That the log cannot be converted, for `cause`.
    pub fn refuse(&self, cause: impl std::fmt::Display) -> Error {
        Error::refused(
            self.store.name(),
            format_args!("the log cannot be converted: {cause}"),
        )
        .remedy("mount the filesystem with an ext4 that has ByteLog")
    }

    /// That the filesystem is not as it should be.
    pub fn damaged(&self, cause: impl std::fmt::Display) -> Error {
        Error::refused(self.store.name(), cause)
            .remedy("the filesystem is damaged: keep a copy, and see e2fsck after that")
    }

    /// That block `number` can be in use.
    pub fn check(&self, number: u64) -> Result<()> {
        let is_data = number > u64::from(self.sb.first_data_block());
        match is_data && number < self.sb.blocks_count() {
            true => Ok(()),
            false => Err(self.damaged(format_args!("block {number} cannot be in use"))),
        }
    }

    /// The bytes of block `number`.
    pub fn block(&self, number: u64) -> Result<Vec<u8>> {
        self.check(number)?;
        match self.blocks.get(&number) {
            Some(block) => Ok(block.clone()),
            None => self
                .store
                .read(number * self.sb.block_size(), self.block_size()),
        }
    }

    /// Replaces block `number`.
    pub fn put_block(&mut self, number: u64, bytes: Vec<u8>) -> Result<()> {
        self.check(number)?;
        self.blocks.insert(number, bytes);
        Ok(())
    }

    /// Replaces a part of a block, `at` bytes from the start of the filesystem.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let size = self.sb.block_size();
        let (number, from) = (at / size, (at % size) as usize);
        let mut block = self.block(number)?;
        match block.get_mut(from..from + bytes.len()) {
            Some(place) => place.copy_from_slice(bytes),
            None => return Err(self.damaged("a field goes beyond its block")),
        }
        self.put_block(number, block)
    }

    /// `len` bytes of a block, `at` bytes from the start of the filesystem.
    pub fn get(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let size = self.sb.block_size();
        let from = (at % size) as usize;
        let block = self.block(at / size)?;
        block
            .get(from..from + len)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| self.damaged("a field goes beyond its block"))
    }
}
