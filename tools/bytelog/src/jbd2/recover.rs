// SPDX-License-Identifier: GPL-2.0

//! The other passes of recovery: what the whole transactions of the ring write to the
//! filesystem.

use super::block;
use super::journal::Journal;
use super::scan::{damaged, Ring, Scan};
use super::superblock::Checksums;
use crate::error::Result;
use std::collections::{BTreeMap, HashMap};

/// Blocks as the ring has them: number in the filesystem, and content.
pub type Blocks = BTreeMap<u64, Vec<u8>>;

/// What to do with blocks of the ring that are not as they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing is recovered.
    Refuse,
    /// They are left out, as jbd2 does before it fails.
    Skip,
}

/// What recovery writes, of `filesystem_blocks` blocks that there are: the last version
/// of each block that no later transaction revokes.
pub fn blocks(
    journal: &Journal,
    scan: &Scan,
    filesystem_blocks: u64,
    wrong: Wrong,
) -> Result<Blocks> {
    let sb = &journal.sb;
    if sb.checksums() == Checksums::V1 && wrong == Wrong::Refuse {
        return Err(journal
            .refuse(
                0,
                "the journal has checksums of the old kind (COMPAT_CHECKSUM)",
            )
            .remedy(
                "mount the filesystem with an ext4 that has ByteLog instead, or see bytelog export \
                 --discard-log --dry-run",
            ));
    }
    let revoked = match (revoked(journal, scan), wrong) {
        (Err(_), Wrong::Skip) => HashMap::new(),
        (revoked, _) => revoked?,
    };
    let mut found = Blocks::new();
    for part in scan.parts.iter().filter(|part| !part.is_revoke) {
        let descriptor = journal.read_block(part.block)?;
        let mut ring = Ring::at(journal, part.block);
        ring.skip(1);
        for tag in block::tags(sb, &descriptor) {
            let at = ring.step();
            let is_revoked = revoked
                .get(&tag.block)
                .is_some_and(|tid| tid_geq(*tid, part.tid));
            if is_revoked {
                continue;
            }
            let mut data = match (block_of(journal, &tag, part.tid, at), wrong) {
                (Err(_), Wrong::Skip) => continue,
                (data, _) => data?,
            };
            if tag.block >= filesystem_blocks {
                if wrong == Wrong::Skip {
                    continue;
                }
                let cause = format!("it names block {}, beyond the filesystem", tag.block);
                return Err(damaged(journal, part.block, cause));
            }
            if let Some(start) = data.first_chunk_mut().filter(|_| tag.escaped) {
                *start = super::MAGIC.to_be_bytes();
            }
            found.insert(tag.block, data);
        }
    }
    Ok(found)
}

/// What block `at` of the ring holds for `tag` of transaction `tid`.
fn block_of(journal: &Journal, tag: &block::Tag, tid: u32, at: u32) -> Result<Vec<u8>> {
    let data = journal.read_block(at)?;
    if block::tag_is_right(&journal.sb, tag, tid, &data) {
        return Ok(data);
    }
    let cause = format!("a block of transaction {tid} has a wrong checksum");
    Err(damaged(journal, at, cause))
}

/// The last transaction that revoked each block.
fn revoked(journal: &Journal, scan: &Scan) -> Result<HashMap<u64, u32>> {
    let mut found = HashMap::new();
    for part in scan.parts.iter().filter(|part| part.is_revoke) {
        let bytes = journal.read_block(part.block)?;
        let blocks = block::revoked(&journal.sb, &bytes).ok_or_else(|| {
            damaged(
                journal,
                part.block,
                "a revoke block has an impossible length",
            )
        })?;
        // Parts come in order, so that the last one stays.
        found.extend(blocks.into_iter().map(|block| (block, part.tid)));
    }
    Ok(found)
}

/// Whether transaction `a` is `b` or a later one: numbers wrap.
fn tid_geq(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) <= u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::tid_geq;

    #[test]
    fn transactions_wrap() {
        assert!(tid_geq(5, 5) && tid_geq(6, 5) && !tid_geq(5, 6));
        assert!(tid_geq(2, u32::MAX) && !tid_geq(u32::MAX, 2));
    }
}
