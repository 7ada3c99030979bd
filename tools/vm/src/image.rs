// SPDX-License-Identifier: GPL-2.0
//! The files behind the devices, seen from the host: where the journal is, what
//! changed, and damage done on purpose.

use crate::lab::Dev;
use anyhow::{ensure, Context, Result};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use xxhash_rust::xxh3::xxh3_64;

pub const BLOCK: u64 = 4096;

/// ByteLog's bit: in the journal's superblock the mark of a log, in the filesystem's set on
/// purpose or by an earlier version.
pub const DAX_FC_BYTELOG: u32 = 0x4_0000;

/// Either kind of checksums in a journal, which its first mount turns on.
const CSUM_V2_V3: u32 = 0x18;

/// Where the blocks of a journal are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalMap {
    /// Filesystem block of each journal block.
    pub blocks: Vec<u64>,
}

impl JournalMap {
    /// From debugfs' `dump_extents -l <8>`; lines like
    /// ` 0/ 0   1/  1     0 -  4095   8232 - 12327   4096`.
    pub fn parse(text: &str) -> Result<Self> {
        let mut blocks = Vec::new();
        for line in text.lines() {
            let spaced = line.replace(['/', '-'], " ");
            let numbers: Vec<u64> = spaced
                .split_whitespace()
                .map_while(|word| word.parse().ok())
                .collect();
            let [_, _, _, _, logical, _, physical, .., len] = numbers[..] else {
                continue;
            };
            ensure!(
                logical == blocks.len() as u64,
                "hole in the journal: {line}"
            );
            blocks.extend(physical..physical + len);
        }
        ensure!(!blocks.is_empty(), "no journal blocks in: {text}");
        Ok(Self { blocks })
    }

    /// Runs of 512-byte sectors.
    pub fn sectors(&self) -> Vec<(u64, u64)> {
        let per_block = BLOCK / 512;
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for block in &self.blocks {
            let first = block * per_block;
            match runs.last_mut() {
                Some((start, len)) if *start + *len == first => *len += per_block,
                _ => runs.push((first, per_block)),
            }
        }
        runs
    }
}

/// One open image.
pub struct Image {
    file: File,
}

impl Image {
    pub fn open(dev: &Dev) -> Result<Self> {
        let path = dev.image();
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| path.to_owned())?;
        Ok(Self { file })
    }

    pub fn read(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.file.write_all_at(bytes, at)?)
    }

    fn u32_le(&self, at: u64) -> Result<u32> {
        let bytes = self.read(at, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u32_be(&self, at: u64) -> Result<u32> {
        Ok(self.u32_le(at)?.swap_bytes())
    }

    /// The incompatible features of the filesystem.
    pub fn incompat(&self) -> Result<u32> {
        self.u32_le(1024 + 96)
    }

    /// The UUID of the filesystem.
    pub fn uuid(&self) -> Result<[u8; 16]> {
        let mut uuid = [0; 16];
        self.file.read_exact_at(&mut uuid, 1024 + 104)?;
        Ok(uuid)
    }

    /// The number that the journal's superblock has for its next transaction.
    pub fn journal_number(&self, journal: &JournalMap) -> Result<u32> {
        let first = journal.blocks.first().context("no journal")?;
        self.u32_be(first * BLOCK + 24)
    }

    /// Whether the journal has the mark of a ByteLog.
    pub fn is_marked(&self, journal: &JournalMap) -> Result<bool> {
        let first = journal.blocks.first().context("no journal")?;
        Ok(self.u32_be(first * BLOCK + 40)? & DAX_FC_BYTELOG != 0)
    }

    /// Gives a journal that has not been used yet another number to begin with.
    pub fn number_journal(&self, journal: &JournalMap, number: u32) -> Result<()> {
        let sb = journal.blocks.first().context("no journal")? * BLOCK;
        let (start, features) = (self.u32_be(sb + 28)?, self.u32_be(sb + 40)?);
        ensure!(start == 0, "the journal is not empty");
        ensure!(features & CSUM_V2_V3 == 0, "the journal has been used");
        self.write(sb + 24, &number.to_be_bytes())
    }

    /// Leaves out of a journal the blocks before the oldest transaction in it.
    pub fn shorten_journal(&self, journal: &JournalMap) -> Result<()> {
        /// Bytes of its superblock, and where its checksum is.
        const LEN: usize = 1024;
        const CSUM: usize = 252;
        let at = journal.blocks.first().context("no journal")? * BLOCK;
        let mut sb = self.read(at, LEN)?;
        ensure!(sb[28..32] != [0; 4], "the journal is empty");
        // s_first becomes s_start.
        sb.copy_within(28..32, 20);
        sb[CSUM..CSUM + 4].fill(0);
        let csum = !crc32c::crc32c(&sb);
        sb[CSUM..CSUM + 4].copy_from_slice(&csum.to_be_bytes());
        self.write(at, &sb)
    }

    /// The filesystem blocks of the fast-commit area, opener first.
    pub fn fc_area(&self, journal: &JournalMap) -> Result<Vec<u64>> {
        let sb = journal.blocks[0] * BLOCK;
        let maxlen = u64::from(self.u32_be(sb + 16)?);
        let blocks = match self.u32_be(sb + 84)? {
            0 => 256,
            n => u64::from(n),
        };
        let first = maxlen.checked_sub(blocks).context("fast-commit area")? + 1;
        let range = first as usize..maxlen as usize;
        let area = journal.blocks.get(range).context("fast-commit area")?;
        Ok(area.to_vec())
    }

    /// A hash of each block, of the first `bytes` bytes.
    pub fn hashes(&self, bytes: u64) -> Result<Vec<u64>> {
        let mut file = self.file.try_clone()?;
        std::io::Seek::rewind(&mut file)?;
        let mut reader = file.take(bytes);
        let mut buffer = vec![0; 1 << 20];
        let mut hashes = Vec::new();
        loop {
            let mut filled = 0;
            while filled < buffer.len() {
                match reader.read(&mut buffer[filled..])? {
                    0 => break,
                    n => filled += n,
                }
            }
            if filled == 0 {
                return Ok(hashes);
            }
            hashes.extend(buffer[..filled].chunks(BLOCK as usize).map(xxh3_64));
        }
    }
}

/// Numbers of the blocks that differ.
pub fn changed(before: &[u64], after: &[u64]) -> Vec<u64> {
    (0..)
        .zip(before.iter().zip(after))
        .filter(|(_, (a, b))| a != b)
        .map(|(block, _)| block)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_of_a_journal() {
        let text = "\
Level Entries       Logical          Physical Length Flags
 0/ 0   1/  2     0 -     1    100 -    101      2
 0/ 0   2/  2     2 -     2    200 -    200      1
";
        let map = JournalMap::parse(text).unwrap();
        assert_eq!(map.blocks, [100, 101, 200]);
        assert_eq!(map.sectors(), [(800, 16), (1600, 8)]);
        assert!(JournalMap::parse("nothing").is_err());
    }

    #[test]
    fn differing_blocks() {
        assert_eq!(changed(&[1, 2, 3], &[1, 5, 3]), [1]);
    }
}
