// SPDX-License-Identifier: GPL-2.0

//! Block groups: descriptors with their checksums and counts, and bitmaps.

use super::overlay::Overlay;
use crate::bytes::{join, le16, le32};
use crate::crc::crc32c;
use crate::error::Result;
use crate::ext4::group::desc_at;
use crate::ext4::superblock::Superblock;
use std::ops::Range;

/// Offsets of `struct ext4_group_desc`: of a low half, and of a high one that is there
/// where descriptors have 64 bytes.
const BLOCK_BITMAP: [usize; 2] = [0x00, 0x20];
const INODE_BITMAP: [usize; 2] = [0x04, 0x24];
const INODE_TABLE: [usize; 2] = [0x08, 0x28];
const FREE_BLOCKS: [usize; 2] = [0x0c, 0x2c];
const FREE_INODES: [usize; 2] = [0x0e, 0x2e];
const USED_DIRS: [usize; 2] = [0x10, 0x30];
const FLAGS: usize = 0x12;
const BLOCK_BITMAP_CSUM: [usize; 2] = [0x18, 0x38];
const INODE_BITMAP_CSUM: [usize; 2] = [0x1a, 0x3a];
const ITABLE_UNUSED: [usize; 2] = [0x1c, 0x32];
const CHECKSUM: usize = 0x1e;
/// Bytes of a descriptor without high halves.
const SMALL: usize = 32;

const INODE_UNINIT: u16 = 0x1;
const BLOCK_UNINIT: u16 = 0x2;
const INODE_ZEROED: u16 = 0x4;

/// A group.
pub struct Group {
    number: u32,
    raw: Vec<u8>,
    /// The bitmaps, once they have been looked at.
    blocks: Option<Bitmap>,
    inodes: Option<Bitmap>,
    changed: bool,
}

/// A bitmap, and whether it differs from the one on the device.
struct Bitmap {
    bits: Vec<u8>,
    changed: bool,
}

impl Bitmap {
    fn get(&self, bit: u32) -> bool {
        let byte = self.bits.get(bit as usize / 8).copied().unwrap_or(0xff);
        byte & (1 << (bit % 8)) != 0
    }

    /// Whether the bit was another.
    fn set(&mut self, bit: u32, value: bool) -> bool {
        if self.get(bit) == value {
            return false;
        }
        if let Some(byte) = self.bits.get_mut(bit as usize / 8) {
            *byte ^= 1 << (bit % 8);
        }
        self.changed = true;
        true
    }
}

impl Group {
    /// Reads the descriptor of group `number`.
    pub fn load(volume: &Overlay<'_>, number: u32) -> Result<Self> {
        let len = usize::from(volume.sb.desc_size());
        let raw = volume.get(desc_at(volume.sb, number), len)?;
        Ok(Self {
            number,
            raw,
            blocks: None,
            inodes: None,
            changed: false,
        })
    }

    fn number(&self, [low, high]: [usize; 2]) -> u64 {
        match self.raw.len() > SMALL {
            true => join(le32(&self.raw, high), le32(&self.raw, low)),
            false => le32(&self.raw, low).into(),
        }
    }

    fn count(&self, [low, high]: [usize; 2]) -> u32 {
        match self.raw.len() > SMALL {
            true => (u32::from(le16(&self.raw, high)) << 16) | u32::from(le16(&self.raw, low)),
            false => le16(&self.raw, low).into(),
        }
    }

    fn put_half(&mut self, at: usize, value: u16) {
        if let Some(place) = self.raw.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn set_count(&mut self, [low, high]: [usize; 2], value: u32) {
        self.put_half(low, value as u16);
        if self.raw.len() > SMALL {
            self.put_half(high, (value >> 16) as u16);
        }
        self.changed = true;
    }

    fn change(&mut self, field: [usize; 2], up: bool, by: u32) {
        let old = self.count(field);
        let new = match up {
            true => old.saturating_add(by),
            false => old.saturating_sub(by),
        };
        self.set_count(field, new);
    }

    fn has_flag(&self, sb: &Superblock, flag: u16) -> bool {
        sb.has_group_flags() && le16(&self.raw, FLAGS) & flag != 0
    }

    fn clear_flag(&mut self, flag: u16) {
        self.put_half(FLAGS, le16(&self.raw, FLAGS) & !flag);
        self.changed = true;
    }

    /// First block of the inode table.
    pub fn inode_table(&self) -> u64 {
        self.number(INODE_TABLE)
    }

    /// Free blocks and inodes.
    pub fn counts(&self) -> (u32, u32) {
        (self.count(FREE_BLOCKS), self.count(FREE_INODES))
    }

    /// Blocks of the group that are the filesystem's own, from its start on.
    fn own_blocks(&self, volume: &Overlay<'_>) -> Result<Vec<Range<u64>>> {
        let sb = volume.sb;
        let start = self.start(sb);
        let len = self.len(sb);
        let base = 0..volume.layout.base_blocks(sb, self.number);
        let mut own: Vec<_> = std::iter::once(base).collect();
        let table = u64::from(sb.inodes_per_group()) * u64::from(sb.inode_size());
        let table = table.div_ceil(sb.block_size());
        // With flex_bg another group's bitmaps and tables can be here.
        for number in 0..volume.layout.groups {
            let group = Self::load(volume, number)?;
            let parts = [(BLOCK_BITMAP, 1), (INODE_BITMAP, 1), (INODE_TABLE, table)];
            for (field, blocks) in parts {
                let from = group.number(field).max(start);
                let to = group.number(field).saturating_add(blocks).min(start + len);
                if from < to {
                    own.push(from - start..to - start);
                }
            }
        }
        Ok(own)
    }

    fn start(&self, sb: &Superblock) -> u64 {
        let per_group = u64::from(sb.blocks_per_group());
        u64::from(sb.first_data_block()) + u64::from(self.number) * per_group
    }

    /// Blocks in the group; the last one can have fewer.
    fn len(&self, sb: &Superblock) -> u64 {
        let left = sb.blocks_count().saturating_sub(self.start(sb));
        left.min(u64::from(sb.blocks_per_group()))
    }

    fn block_bitmap(&mut self, volume: &Overlay<'_>) -> Result<&mut Bitmap> {
        if self.blocks.is_none() {
            let uninit = self.has_flag(volume.sb, BLOCK_UNINIT);
            let mut map = Bitmap {
                bits: match uninit {
                    true => vec![0; volume.block_size()],
                    false => volume.block(self.number(BLOCK_BITMAP))?,
                },
                changed: uninit,
            };
            if uninit {
                for range in self.own_blocks(volume)? {
                    range.for_each(|bit| _ = map.set(bit as u32, true));
                }
                let end = map.bits.len() as u64 * 8;
                (self.len(volume.sb)..end).for_each(|bit| _ = map.set(bit as u32, true));
                self.clear_flag(BLOCK_UNINIT);
            }
            self.blocks = Some(map);
        }
        self.blocks
            .as_mut()
            .ok_or_else(|| volume.damaged("a bitmap is missing"))
    }

    fn inode_bitmap(&mut self, volume: &Overlay<'_>) -> Result<&mut Bitmap> {
        if self.inodes.is_none() {
            let uninit = self.has_flag(volume.sb, INODE_UNINIT);
            let mut map = Bitmap {
                bits: match uninit {
                    true => vec![0; volume.block_size()],
                    false => volume.block(self.number(INODE_BITMAP))?,
                },
                changed: false,
            };
            if uninit {
                let end = map.bits.len() as u32 * 8;
                (volume.sb.inodes_per_group()..end).for_each(|bit| _ = map.set(bit, true));
                map.changed = false;
            }
            self.inodes = Some(map);
        }
        self.inodes
            .as_mut()
            .ok_or_else(|| volume.damaged("a bitmap is missing"))
    }

    /// Whether the inode with that index is in use.
    pub fn uses_inode(&mut self, volume: &Overlay<'_>, index: u32) -> Result<bool> {
        Ok(self.inode_bitmap(volume)?.get(index))
    }

    /// Takes an inode into use. Returns those that nobody has used before, up to it.
    pub fn take_inode(
        &mut self,
        volume: &Overlay<'_>,
        index: u32,
        is_dir: bool,
    ) -> Result<Range<u32>> {
        if !self.inode_bitmap(volume)?.set(index, true) {
            return Ok(0..0);
        }
        self.change(FREE_INODES, false, 1);
        if is_dir {
            self.change(USED_DIRS, true, 1);
        }
        if !volume.sb.has_group_flags() {
            return Ok(0..0);
        }
        let per_group = volume.sb.inodes_per_group();
        let unused = match self.has_flag(volume.sb, INODE_UNINIT) {
            true => per_group,
            false => self.count(ITABLE_UNUSED),
        };
        self.clear_flag(INODE_UNINIT);
        // The bitmap of blocks is made with it, as ext4 does.
        self.block_bitmap(volume)?;
        let first = per_group.saturating_sub(unused);
        self.set_count(ITABLE_UNUSED, unused.min(per_group - 1 - index));
        match self.has_flag(volume.sb, INODE_ZEROED) {
            true => Ok(0..0),
            false => Ok(first..index),
        }
    }

    /// Gives an inode back.
    pub fn give_inode(&mut self, volume: &Overlay<'_>, index: u32, is_dir: bool) -> Result<()> {
        if self.inode_bitmap(volume)?.set(index, false) {
            self.change(FREE_INODES, true, 1);
            if is_dir {
                self.change(USED_DIRS, false, 1);
            }
        }
        Ok(())
    }

    /// Marks `len` blocks from the group's block `from` on.
    pub fn mark(&mut self, volume: &Overlay<'_>, from: u32, len: u32, used: bool) -> Result<()> {
        let map = self.block_bitmap(volume)?;
        let changed = (from..from + len).filter(|bit| map.set(*bit, used)).count() as u32;
        if changed > 0 {
            self.change(FREE_BLOCKS, !used, changed);
        }
        Ok(())
    }

    /// The first free block of the group that is `allowed`.
    pub fn find(
        &mut self,
        volume: &Overlay<'_>,
        allowed: impl Fn(u32) -> bool,
    ) -> Result<Option<u32>> {
        if self.count(FREE_BLOCKS) == 0 {
            return Ok(None);
        }
        let len = self.len(volume.sb) as u32;
        let map = self.block_bitmap(volume)?;
        Ok((0..len).find(|bit| !map.get(*bit) && allowed(*bit)))
    }

    /// Puts descriptor and bitmaps, with their checksums, among the changes of `volume`.
    pub fn store(&self, volume: &mut Overlay<'_>) -> Result<()> {
        let mut group = Self {
            number: self.number,
            raw: self.raw.clone(),
            blocks: None,
            inodes: None,
            changed: self.changed,
        };
        let bits = [
            (
                volume.sb.blocks_per_group(),
                BLOCK_BITMAP,
                BLOCK_BITMAP_CSUM,
            ),
            (
                volume.sb.inodes_per_group(),
                INODE_BITMAP,
                INODE_BITMAP_CSUM,
            ),
        ];
        for ((bits, place, csum), map) in bits.into_iter().zip([&self.blocks, &self.inodes]) {
            let Some(map) = map.as_ref().filter(|map| map.changed) else {
                continue;
            };
            let covered = map.bits.get(..bits as usize / 8).unwrap_or(&map.bits);
            if let Some(seed) = volume.sb.checksum_seed() {
                group.set_count(csum, crc32c(seed, covered));
            }
            volume.put_block(self.number(place), map.bits.clone())?;
            group.changed = true;
        }
        if group.changed {
            group.seal(volume.sb);
            volume.put(desc_at(volume.sb, self.number), &group.raw)?;
        }
        Ok(())
    }

    /// Puts the descriptor's own checksum right.
    fn seal(&mut self, sb: &Superblock) {
        let number = self.number.to_le_bytes();
        let (front, rest) = self.raw.split_at(CHECKSUM.min(self.raw.len()));
        let behind = rest.get(2..).unwrap_or_default();
        let csum = match sb.checksum_seed() {
            Some(seed) => {
                let crc = crc32c(crc32c(crc32c(seed, &number), front), &[0; 2]);
                crc32c(crc, behind) as u16
            }
            None if sb.has_group_flags() => {
                let crc = crc16(crc16(crc16(!0, &sb.uuid()), &number), front);
                crc16(crc, behind)
            }
            None => return,
        };
        self.put_half(CHECKSUM, csum);
    }
}

/// `crc16()` of the kernel, with which `uninit_bg` seals descriptors.
fn crc16(seed: u16, bytes: &[u8]) -> u16 {
    /// The polynomial 0x8005, reflected.
    const POLYNOMIAL: u16 = 0xa001;
    bytes.iter().fold(seed, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| match crc & 1 {
            0 => crc >> 1,
            _ => (crc >> 1) ^ POLYNOMIAL,
        })
    })
}
