// SPDX-License-Identifier: GPL-2.0

//! A transaction of one block, as jbd2 writes it.

use super::block::{COMMIT_CHECKSUM, FLAG_ESCAPE, FLAG_LAST_TAG, FLAG_SAME_UUID, HEADER, MAGIC};
use super::superblock::{Checksums, JournalSuperblock};
use crate::crc::crc32c;

/// Blocks that it takes in the ring: descriptor, data, commit.
pub const LEN: u32 = 3;

/// Transaction `tid`, which writes `data` to block `number` of the filesystem.
pub fn transaction(sb: &JournalSuperblock, tid: u32, number: u64, mut data: Vec<u8>) -> Vec<u8> {
    let size = data.len();
    let mut flags = FLAG_SAME_UUID | FLAG_LAST_TAG;
    if let Some(start) = data
        .first_chunk_mut()
        .filter(|start| **start == MAGIC.to_be_bytes())
    {
        *start = [0; 4];
        flags |= FLAG_ESCAPE;
    }
    let seed = sb.checksum_seed();
    let crc = crc32c(crc32c(seed, &tid.to_be_bytes()), &data);

    let mut descriptor = header(1, tid, size);
    let (high, low) = ((number >> 32) as u32, number as u32);
    let tag = match sb.checksums() {
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
    put(&mut descriptor, HEADER, &tag);
    let mut commit = header(2, tid, size);
    if matches!(sb.checksums(), Checksums::V2 | Checksums::V3) {
        let crc = crc32c(seed, &descriptor);
        put(&mut descriptor, size.saturating_sub(4), &crc.to_be_bytes());
        let crc = crc32c(seed, &commit);
        put(&mut commit, COMMIT_CHECKSUM, &crc.to_be_bytes());
    }
    [descriptor, data, commit].concat()
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
