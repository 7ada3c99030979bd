// SPDX-License-Identifier: GPL-2.0

//! A filesystem as it will be when the ring's transactions have been written back.

use super::recover::Blocks;
use crate::error::{Error, Result};
use crate::store::Store;

/// The blocks of the ring in front of those on the device. For reading only.
pub struct Recovered<'a> {
    store: &'a dyn Store,
    blocks: &'a Blocks,
    block_size: u64,
}

impl<'a> Recovered<'a> {
    /// The filesystem on `store` with `blocks` of `block_size` bytes written back.
    pub fn new(store: &'a dyn Store, blocks: &'a Blocks, block_size: u64) -> Self {
        Self {
            store,
            blocks,
            block_size,
        }
    }
}

impl Store for Recovered<'_> {
    fn name(&self) -> &str {
        self.store.name()
    }

    fn base(&self) -> u64 {
        self.store.base()
    }

    fn len(&self) -> u64 {
        self.store.len()
    }

    fn read_at(&self, mut at: u64, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            let from = at % self.block_size;
            let in_block = usize::try_from(self.block_size - from).unwrap_or(buf.len());
            let (now, later) = buf.split_at_mut(in_block.min(buf.len()));
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            let block = self.blocks.get(&(at / self.block_size));
            match block.and_then(|block| block.get(from..)?.get(..now.len())) {
                Some(bytes) => now.copy_from_slice(bytes),
                None => self.store.read_at(at, now)?,
            }
            at += now.len() as u64;
            buf = later;
        }
        Ok(())
    }

    fn write_at(&self, at: u64, _bytes: &[u8]) -> Result<()> {
        Err(Error::failed(self.name(), "this is for reading only").at(at))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
