// SPDX-License-Identifier: GPL-2.0

//! Backups of the superblock: where they are, and what is read of them and written back.

use super::superblock::{field, Superblock, INCOMPAT_RECOVER, PRIMARY};
use crate::bytes::{le16, le32};
use crate::error::{Error, Result};
use crate::store::Store;

const COMPAT_SPARSE_SUPER2: u32 = 0x200;
const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;

/// The state of a filesystem that was unmounted, and has no errors.
const STATE_VALID: u16 = 1;

impl Superblock {
    /// The backup at block `block`, whatever the size of blocks is.
    pub fn read_backup(store: &dyn Store, block: u64) -> Result<Self> {
        for size in (10..=16).map(|bits| 1u64 << bits) {
            match Self::read(store, block.saturating_mul(size)) {
                Ok(sb) if sb.block_size() == size && sb.block_group() != 0 => return Ok(sb),
                _ => continue,
            }
        }
        let error = Error::failed(
            store.name(),
            format_args!("there is no backup of the superblock at block {block}"),
        );
        Err(error.remedy("mke2fs -n tells where backups are, if it is given the same options"))
    }

    /// The block with the first backup that is whole, where mke2fs puts one: at the start
    /// of the second group.
    pub fn find_backup(store: &dyn Store) -> Option<(u64, Self)> {
        for size in (10..=16).map(|bits| 1u64 << bits) {
            let first = u64::from(size == 1024);
            // The largest groups, which are the usual ones, come first.
            for bits in (8..=19).rev() {
                let block = first + (1u64 << bits);
                if (1u64 << bits) > 8 * size {
                    continue;
                }
                let Ok(sb) = Self::read(store, block * size) else {
                    continue;
                };
                let is_there = sb.block_size() == size
                    && u64::from(sb.blocks_per_group()) == 1 << bits
                    && sb.block_group() == 1;
                if is_there && !sb.is_journal_device() {
                    return Some((block, sb));
                }
            }
        }
        None
    }

    /// The block group that a backup says that it is in; 0 for the primary one.
    fn block_group(&self) -> u16 {
        le16(&self.raw, field::BLOCK_GROUP)
    }

    /// Writes this backup in the place of the primary superblock, of a filesystem that
    /// needs recovery and a check, and waits until that is durable.
    pub fn restore(mut self, store: &dyn Store) -> Result<()> {
        let state = le16(&self.raw, field::STATE) & !STATE_VALID;
        for (at, value) in [(field::BLOCK_GROUP, 0), (field::STATE, state)] {
            if let Some(place) = self.raw.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                *place = value.to_le_bytes();
            }
        }
        self.put(field::INCOMPAT, self.incompat() | INCOMPAT_RECOVER);
        self.set_bytelog(true);
        self.write(store, PRIMARY)?;
        store.sync()
    }

    /// Bytes from the start of the filesystem to each backup of the superblock.
    pub fn backups(&self) -> Vec<u64> {
        let first = u64::from(self.first_data_block());
        let per_group = u64::from(self.blocks_per_group());
        let blocks = self.blocks_count().saturating_sub(first);
        let groups = blocks.div_ceil(per_group);
        let chosen: Vec<u64> = if self.compat() & COMPAT_SPARSE_SUPER2 != 0 {
            [0, 4]
                .map(|at| u64::from(le32(&self.raw, field::BACKUP_BGS + at)))
                .into_iter()
                .filter(|group| (1..groups).contains(group))
                .collect()
        } else if le32(&self.raw, field::RO_COMPAT) & RO_COMPAT_SPARSE_SUPER != 0 {
            sparse_groups(groups)
        } else {
            (1..groups).collect()
        };
        let at = |group: u64| group.checked_mul(per_group)?.checked_add(first);
        let blocks = chosen.into_iter().filter_map(at);
        blocks.map(|block| block * self.block_size()).collect()
    }

    /// The backup at byte `at`, if it is one of this filesystem.
    pub fn backup(&self, store: &dyn Store, at: u64) -> Result<Self> {
        let backup = Self::read(store, at)?;
        if backup.uuid() != self.uuid() {
            return Err(Error::refused(
                store.name(),
                "the backup superblock there is of another filesystem",
            )
            .at(store.base().saturating_add(at))
            .remedy("check the filesystem with e2fsck -f first"));
        }
        Ok(backup)
    }
}

/// Group 1 and the powers of 3, 5 and 7, below `groups`.
fn sparse_groups(groups: u64) -> Vec<u64> {
    let mut found: Vec<u64> = [3u64, 5, 7]
        .into_iter()
        .flat_map(|base| {
            std::iter::successors(Some(base), move |n| n.checked_mul(base))
                .take_while(move |n| *n < groups)
        })
        .collect();
    if groups > 1 {
        found.push(1);
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_with_a_backup() {
        assert_eq!(sparse_groups(1), [0u64; 0]);
        assert_eq!(sparse_groups(2), [1]);
        assert_eq!(sparse_groups(50), [1, 3, 5, 7, 9, 25, 27, 49]);
    }
}
