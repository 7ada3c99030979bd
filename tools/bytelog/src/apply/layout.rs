// SPDX-License-Identifier: GPL-2.0

//! Where the filesystem's own metadata is.

use crate::ext4::superblock::Superblock;
use std::collections::HashSet;

/// Where the filesystem's own metadata is.
pub struct Layout {
    /// Number of groups.
    pub groups: u32,
    /// Groups with a copy of the superblock.
    with_super: HashSet<u64>,
}

impl Layout {
    /// Of the filesystem with this superblock.
    pub fn of(sb: &Superblock) -> Self {
        let first = u64::from(sb.first_data_block());
        let per_group = u64::from(sb.blocks_per_group());
        let blocks = sb.blocks_count().saturating_sub(first);
        let backups = sb.backups().into_iter();
        let of_backup = |at: u64| (at / sb.block_size()).saturating_sub(first) / per_group;
        Self {
            groups: u32::try_from(blocks.div_ceil(per_group)).unwrap_or(u32::MAX),
            with_super: backups.map(of_backup).chain([0]).collect(),
        }
    }

    /// Blocks at a group's start with superblock and descriptors:
    /// `ext4_num_base_meta_clusters()`.
    pub fn base_blocks(&self, sb: &Superblock, group: u32) -> u64 {
        let has_super = u64::from(self.with_super.contains(&u64::from(group)));
        let per_block = (sb.block_size() / u64::from(sb.desc_size())) as u32;
        let (meta, index) = (group / per_block, group % per_block);
        let first_meta = sb.first_meta_bg();
        match first_meta.filter(|first| meta >= *first) {
            Some(_) => has_super + u64::from(index <= 1 || index == per_block - 1),
            None => {
                let all = self.groups.div_ceil(per_block);
                let descs = first_meta.map_or(all, |first| first.min(all));
                has_super * (1 + u64::from(descs) + u64::from(sb.reserved_gdt_blocks()))
            }
        }
    }
}
