// SPDX-License-Identifier: GPL-2.0

//! What an export writes to the filesystem itself.

use super::reuse::{self, Cleared};
use crate::error::Result;
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::image::Image;
use crate::jbd2::recover::{self, Blocks, Wrong};
use crate::jbd2::recovered::Recovered;
use crate::jbd2::scan::Scan;

/// What recovery would write before it replays the log.
pub struct Home {
    /// The ring that it comes from.
    pub ring: Scan,
    /// The block with the filesystem's superblock, which is not among the others.
    pub sb_block: Vec<u8>,
    /// Whether the ring has a superblock with the feature bit.
    pub sets_bit: bool,
    /// The log's TLVs, with those that stock replay needs besides.
    pub tlvs: Vec<u8>,
    /// Inodes that stock replay would take for those of other files.
    pub reused: u32,
    blocks: Blocks,
    /// Inodes to be cleared.
    inodes: Vec<u64>,
}

impl Home {
    /// What `ring` has for the filesystem of `image`, and what the log `tlvs` needs of
    /// it.
    pub fn new(image: &Image, ring: &Scan, tlvs: &[u8], wrong: Wrong) -> Result<Self> {
        let size = image.sb.block_size();
        let count = image.sb.blocks_count();
        let mut blocks = recover::blocks(&image.journal, ring, count, wrong)?;
        let recovered = Recovered::new(image.store.as_ref(), &blocks, size);
        let Cleared {
            tlvs,
            inodes,
            removed,
        } = reuse::clear(&recovered, &image.sb, tlvs)?;
        let sb_number = PRIMARY / size;
        let in_ring = blocks.remove(&sb_number);
        let sets_bit = in_ring.as_ref().is_some_and(|block| {
            let at = usize::try_from(PRIMARY % size).unwrap_or(0);
            Superblock::has_bit(block.get(at..).unwrap_or_default())
        });
        let sb_block = match in_ring {
            Some(block) => block,
            None => image.store.read(sb_number * size, size as usize)?,
        };
        Ok(Self {
            ring: ring.clone(),
            sb_block,
            sets_bit,
            tlvs,
            reused: removed.saturating_add(u32::try_from(inodes.len()).unwrap_or(u32::MAX)),
            blocks,
            inodes,
        })
    }

    /// The filesystem as recovery of the ring would leave it. For reading only.
    pub fn recovered<'a>(&'a self, image: &'a Image) -> Recovered<'a> {
        Recovered::new(image.store.as_ref(), &self.blocks, image.sb.block_size())
    }

    /// Writes all but the superblock, and waits until that is durable.
    pub fn write(&self, image: &Image) -> Result<()> {
        let size = image.sb.block_size();
        for (number, data) in &self.blocks {
            image.store.write_at(number * size, data)?;
        }
        let empty = vec![0; usize::from(image.sb.inode_size())];
        for at in &self.inodes {
            image.store.write_at(*at, &empty)?;
        }
        image.store.sync()
    }
}
