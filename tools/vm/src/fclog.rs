// SPDX-License-Identifier: GPL-2.0
//! A fast-commit area in an image, as far as tests must know it: where the
//! records lie. The format crate has the real reader; this one believes every
//! header, and stops at a record that the cut left without all of its payload.

use crate::image::{Image, BLOCK};
use anyhow::{Context, Result};

const MAGIC: u32 = 0x4c42_4346;
const SEAL: u16 = 2;
const HEADER: usize = 64;

/// Whether the payload of the record at `at` is as its header says.
fn whole(area: &[u8], at: usize) -> bool {
    let word = |at: usize| {
        let bytes = area.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    };
    let crc_of = |len: u32| {
        let payload = area.get(at + HEADER..)?.get(..len as usize)?;
        // The kernel's function does not invert the result.
        Some(!crc32c::crc32c(payload))
    };
    word(at + 20).is_some_and(|crc| word(at + 16).and_then(crc_of) == Some(crc))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Offset in the area.
    pub at: usize,
    pub len: usize,
    pub seal: bool,
}

impl Record {
    pub fn end(&self) -> usize {
        self.at + self.len
    }
}

/// The bytes of the whole area, opener first.
pub fn read(image: &Image, area: &[u64]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(area.len() * BLOCK as usize);
    for block in area {
        bytes.extend(image.read(block * BLOCK, BLOCK as usize)?);
    }
    Ok(bytes)
}

pub fn write(image: &Image, area: &[u64], bytes: &[u8]) -> Result<()> {
    for (block, data) in area.iter().zip(bytes.chunks(BLOCK as usize)) {
        image.write(block * BLOCK, data)?;
    }
    Ok(())
}

/// Writes a part of the area.
pub fn write_at(image: &Image, area: &[u64], at: usize, bytes: &[u8]) -> Result<()> {
    const LEN: usize = BLOCK as usize;
    let (mut at, mut bytes) = (at, bytes);
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(bytes.len().min(LEN - at % LEN));
        let block = area.get(at / LEN).context("beyond the area")?;
        image.write(block * BLOCK + (at % LEN) as u64, part)?;
        (at, bytes) = (at + part.len(), rest);
    }
    Ok(())
}

/// The records of the log, one after another, for as long as they look like it.
pub fn records(area: &[u8]) -> Vec<Record> {
    let u16_at = |at: usize| u16::from_le_bytes([area[at], area[at + 1]]);
    let u32_at = |at: usize| u32::from(u16_at(at)) | (u32::from(u16_at(at + 2)) << 16);
    let mut records: Vec<Record> = Vec::new();
    let mut at = BLOCK as usize;
    while at + HEADER <= area.len() && u32_at(at) == MAGIC {
        let record = Record {
            at,
            len: u32_at(at + 24) as usize,
            seal: u16_at(at + 14) & SEAL != 0,
        };
        if record.len < HEADER || record.len % HEADER != 0 || record.end() > area.len() {
            break;
        }
        if !whole(area, at) {
            break;
        }
        // A record of an older transaction may follow.
        let same_tid = |first: &Record| u32_at(first.at + 8) == u32_at(at + 8);
        if !records.first().is_none_or(same_tid) {
            break;
        }
        at = record.end();
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_records() {
        let mut area = vec![0u8; 3 * BLOCK as usize];
        for (at, len, flags) in [(4096, 128u32, 1u8), (4224, 64, 3)] {
            area[at..at + 4].copy_from_slice(&MAGIC.to_le_bytes());
            area[at + 14] = flags;
            area[at + 24..at + 28].copy_from_slice(&len.to_le_bytes());
            let payload = at + HEADER..at + len as usize;
            area[at + 16..at + 20].copy_from_slice(&(len - 64).to_le_bytes());
            let crc = !crc32c::crc32c(&area[payload]);
            area[at + 20..at + 24].copy_from_slice(&crc.to_le_bytes());
        }
        let found = records(&area);
        assert_eq!(found.len(), 2);
        assert!(!found[0].seal && found[1].seal);
        assert_eq!(found[1].end(), 4288);

        area[4096 + 100] = 1;
        assert!(records(&area).is_empty());
    }
}
