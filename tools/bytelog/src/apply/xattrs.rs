// SPDX-License-Identifier: GPL-2.0

//! Blocks of xattrs, which inodes share.

use super::volume::Volume;
use crate::bytes::le32;
use crate::crc::{crc32c, crc32c_without};
use crate::error::Result;

const MAGIC: u32 = 0xea02_0000;
/// Offsets of `struct ext4_xattr_header`.
const REFERENCES: usize = 4;
const CHECKSUM: usize = 16;

impl Volume<'_> {
    /// One inode less has the xattrs of block `number`. Whether it was the last.
    pub fn release_xattrs(&mut self, number: u64) -> Result<bool> {
        if self.sb.has_ea_inodes() {
            return Err(self.refuse("it removes an inode whose xattrs can be in other inodes"));
        }
        let mut block = self.block(number)?;
        let references = le32(&block, REFERENCES);
        if le32(&block, 0) != MAGIC {
            return Err(self.damaged(format_args!("block {number} has no xattrs")));
        }
        if references <= 1 {
            return Ok(true);
        }
        let mut put = |at: usize, value: u32| {
            if let Some(place) = block.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        };
        put(REFERENCES, references - 1);
        if let Some(seed) = self.sb.checksum_seed() {
            put(CHECKSUM, 0);
            let seed = crc32c(seed, &number.to_le_bytes());
            let crc = crc32c_without(seed, &block, CHECKSUM);
            if let Some(place) = block.get_mut(CHECKSUM..CHECKSUM + 4) {
                place.copy_from_slice(&crc.to_le_bytes());
            }
        }
        self.put_block(number, block)?;
        Ok(false)
    }
}
