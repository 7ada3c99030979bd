// SPDX-License-Identifier: GPL-2.0

//! A transaction, as jbd2 writes it.

use super::block::{tag_size, TAIL};
use super::block::{COMMIT_CHECKSUM, FLAG_ESCAPE, FLAG_LAST_TAG, FLAG_SAME_UUID, HEADER};
use super::superblock::{Checksums, JournalSuperblock};
use super::MAGIC;
use crate::crc::crc32c;

/// Blocks that one of a single block takes in the ring: descriptor, data, commit.
pub const LEN: u32 = 3;

/// Blocks of `size` bytes that one of `count` blocks takes in the ring.
pub fn len(sb: &JournalSuperblock, count: usize, size: usize) -> usize {
    count + count.div_ceil(tags_in(sb, size)) + 1
}

/// Tags that a descriptor has room for.
fn tags_in(sb: &JournalSuperblock, size: usize) -> usize {
    (size.saturating_sub(HEADER + TAIL) / tag_size(sb)).max(1)
}

/// Transaction `tid`, which writes `blocks`: block of the filesystem, and its bytes.
/// There is at least one.
pub fn transaction(sb: &JournalSuperblock, tid: u32, blocks: &[(u64, Vec<u8>)]) -> Vec<Vec<u8>> {
    let size = blocks.first().map_or(0, |(_, data)| data.len());
    let seed = sb.checksum_seed();
    let with_tail = matches!(sb.checksums(), Checksums::V2 | Checksums::V3);
    let mut out = Vec::new();
    for part in blocks.chunks(tags_in(sb, size)) {
        let mut descriptor = header(1, tid, size);
        let mut datas = Vec::new();
        for (which, (number, data)) in part.iter().enumerate() {
            let mut data = data.clone();
            let mut flags = FLAG_SAME_UUID;
            if which + 1 == part.len() {
                flags |= FLAG_LAST_TAG;
            }
            if let Some(start) = data
                .first_chunk_mut()
                .filter(|start| **start == MAGIC.to_be_bytes())
            {
                *start = [0; 4];
                flags |= FLAG_ESCAPE;
            }
            let crc = crc32c(crc32c(seed, &tid.to_be_bytes()), &data);
            let at = HEADER + which * tag_size(sb);
            put(&mut descriptor, at, &tag(sb, *number, flags, crc));
            datas.push(data);
        }
        if with_tail {
            let crc = crc32c(seed, &descriptor);
            put(
                &mut descriptor,
                size.saturating_sub(TAIL),
                &crc.to_be_bytes(),
            );
        }
        out.push(descriptor);
        out.append(&mut datas);
    }
    let mut commit = header(2, tid, size);
    if with_tail {
        let crc = crc32c(seed, &commit);
        put(&mut commit, COMMIT_CHECKSUM, &crc.to_be_bytes());
    }
    out.push(commit);
    out
}

/// The tag of block `number`, whose data have the checksum `crc`.
fn tag(sb: &JournalSuperblock, number: u64, flags: u16, crc: u32) -> Vec<u8> {
    let (high, low) = ((number >> 32) as u32, number as u32);
    let mut tag = match sb.checksums() {
        Checksums::V3 => [low, flags.into(), high, crc]
            .map(u32::to_be_bytes)
            .concat(),
        _ => {
            let short = match sb.checksums() {
                Checksums::V2 => crc as u16,
                _ => 0,
            };
            let words = [short.to_be_bytes(), flags.to_be_bytes()].concat();
            [&low.to_be_bytes()[..], &words, &high.to_be_bytes()].concat()
        }
    };
    tag.resize(tag_size(sb), 0);
    tag
}

fn header(kind: u32, tid: u32, size: usize) -> Vec<u8> {
    let mut block = vec![0; size];
    put(
        &mut block,
        0,
        &[MAGIC, kind, tid].map(u32::to_be_bytes).concat(),
    );
    block
}

fn put(block: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = block.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
