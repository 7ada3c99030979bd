// SPDX-License-Identifier: GPL-2.0

//! Blocks of the ring: headers, descriptors with their tags, commit and revoke
//! blocks, and their checksums.

use super::superblock::{Checksums, JournalSuperblock};
use super::MAGIC;
use crate::bytes::{be16, be32, be64, join};
use crate::crc::{crc32c, crc32c_without};

/// Bytes of `journal_header_t`.
pub const HEADER: usize = 12;
/// Offset of a commit block's checksum: `h_chksum[0]`.
pub(super) const COMMIT_CHECKSUM: usize = 0x10;
/// Bytes of `struct commit_header` that mean something.
const COMMIT_LEN: usize = 0x40;
/// Offset of a commit block's time: `h_commit_sec`.
const COMMIT_SEC: usize = 0x30;
/// Bytes of `journal_revoke_header_t`.
const REVOKE_HEADER: usize = 16;
/// Bytes of `struct jbd2_journal_block_tail`.
pub(super) const TAIL: usize = 4;

pub(super) const FLAG_ESCAPE: u16 = 1;
pub(super) const FLAG_SAME_UUID: u16 = 2;
pub(super) const FLAG_LAST_TAG: u16 = 8;

/// What a block of the ring is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Tags for the blocks that follow.
    Descriptor,
    /// End of a transaction.
    Commit,
    /// Blocks that are not to be written from older transactions.
    Revoke,
    /// Something else with a journal header.
    Other(u32),
}

/// The header of a block, if it has one: its kind and its transaction.
pub fn header(block: &[u8]) -> Option<(Kind, u32)> {
    if be32(block, 0) != MAGIC {
        return None;
    }
    let kind = match be32(block, 4) {
        1 => Kind::Descriptor,
        2 => Kind::Commit,
        5 => Kind::Revoke,
        other => Kind::Other(other),
    };
    Some((kind, be32(block, 8)))
}

/// Where a block of a transaction belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Block of the filesystem.
    pub block: u64,
    /// Whether its first 4 bytes are the magic, which stands as zero in the journal.
    pub escaped: bool,
    checksum: u32,
}

/// Bytes of a tag: `journal_tag_bytes()`.
pub(super) fn tag_size(sb: &JournalSuperblock) -> usize {
    match (sb.checksums(), sb.has_64bit()) {
        (Checksums::V3, _) => 16,
        (Checksums::V2, true) => 14,
        (Checksums::V2, false) => 10,
        (_, true) => 12,
        (_, false) => 8,
    }
}

/// Tags of a descriptor block.
pub fn tags(sb: &JournalSuperblock, block: &[u8]) -> Vec<Tag> {
    let checksums = sb.checksums();
    let size = tag_size(sb);
    let end = match checksums {
        Checksums::V2 | Checksums::V3 => block.len().saturating_sub(TAIL),
        _ => block.len(),
    };
    let mut found = Vec::new();
    let mut at = HEADER;
    while at + size <= end {
        let tag = block.get(at..at + size).unwrap_or_default();
        let flags = be16(tag, 6);
        let high = match sb.has_64bit() {
            true => be32(tag, 8),
            false => 0,
        };
        found.push(Tag {
            block: join(high, be32(tag, 0)),
            escaped: flags & FLAG_ESCAPE != 0,
            checksum: match checksums {
                Checksums::V3 => be32(tag, 12),
                _ => be16(tag, 4).into(),
            },
        });
        at += size;
        if flags & FLAG_SAME_UUID == 0 {
            at += 16;
        }
        if flags & FLAG_LAST_TAG != 0 {
            break;
        }
    }
    found
}

/// Whether `data`, as it stands in the journal, is what `tag` of transaction `tid`
/// was written for.
pub fn tag_is_right(sb: &JournalSuperblock, tag: &Tag, tid: u32, data: &[u8]) -> bool {
    let crc = crc32c(sb.checksum_seed(), &tid.to_be_bytes());
    let crc = crc32c(crc, data);
    match sb.checksums() {
        Checksums::V3 => tag.checksum == crc,
        Checksums::V2 => tag.checksum == crc & 0xffff,
        _ => true,
    }
}

/// Whether the checksum at the end of a descriptor or revoke block is right.
pub fn tail_is_right(sb: &JournalSuperblock, block: &[u8]) -> bool {
    match sb.checksums() {
        Checksums::V2 | Checksums::V3 => {
            let at = block.len().saturating_sub(TAIL);
            crc32c_without(sb.checksum_seed(), block, at) == be32(block, at)
        }
        _ => true,
    }
}

/// Whether the checksum of a commit block is right. As in the kernel, what follows
/// its header may not have reached the medium.
pub fn commit_is_right(sb: &JournalSuperblock, block: &[u8]) -> bool {
    match sb.checksums() {
        Checksums::V2 | Checksums::V3 => {
            let stored = be32(block, COMMIT_CHECKSUM);
            let right =
                |block: &[u8]| crc32c_without(sb.checksum_seed(), block, COMMIT_CHECKSUM) == stored;
            let mut header_only = block.to_vec();
            if let Some(rest) = header_only.get_mut(COMMIT_LEN..) {
                rest.fill(0);
            }
            right(block) || right(&header_only)
        }
        _ => true,
    }
}

/// When a transaction was committed, seconds.
pub fn commit_time(block: &[u8]) -> u64 {
    be64(block, COMMIT_SEC)
}

/// Blocks that a revoke block names; `None` if its length is impossible.
pub fn revoked(sb: &JournalSuperblock, block: &[u8]) -> Option<Vec<u64>> {
    let size = if sb.has_64bit() { 8 } else { 4 };
    let end = block.len().checked_sub(match sb.checksums() {
        Checksums::V2 | Checksums::V3 => TAIL,
        _ => 0,
    })?;
    let count = usize::try_from(be32(block, HEADER)).ok()?;
    let entries = block.get(REVOKE_HEADER..count.max(REVOKE_HEADER))?;
    let numbers = entries.chunks_exact(size).map(|entry| match size {
        8 => be64(entry, 0),
        _ => be32(entry, 0).into(),
    });
    (count <= end).then(|| numbers.collect())
}
