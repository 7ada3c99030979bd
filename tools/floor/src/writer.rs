// SPDX-License-Identifier: GPL-2.0

//! The writer that the module runs, over a mapped file.

use crate::pmem::{self, Area, Stores};
use anyhow::{anyhow, Result};
use bytelog::crc::Crc32c;
use bytelog::geometry::Geometry;
use bytelog::writer::{LogWriter, Medium, Persistence, MIN_STAGING};

/// Bytes of a block.
const BLOCK: u32 = 4096;

/// The CRC of the `crc32c` crate, which inverts at both ends.
pub struct Crc;

impl Crc32c for Crc {
    #[inline]
    fn update(seed: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!seed, data)
    }
}

/// A synchronous device.
struct Device<'a> {
    area: &'a mut Area,
    stores: Stores,
}

/// A range was not in the area: the writer never asks for one.
#[derive(Debug)]
struct Outside;

impl Medium for Device<'_> {
    type Error = Outside;

    #[inline]
    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result<(), Outside> {
        let done = match self.stores {
            Stores::WriteBack => self.area.copy_in(off as usize, bytes),
            Stores::NonTemporal => self.area.stream_in(off as usize, bytes),
        };
        done.ok_or(Outside)
    }

    #[inline]
    fn write_back(&mut self, off: u64, len: u64) -> Result<(), Outside> {
        if self.stores == Stores::WriteBack {
            self.area.write_back(off as usize, len as usize);
        }
        Ok(())
    }

    #[inline]
    fn fence(&mut self) {
        pmem::fence();
    }

    fn flush_device(&mut self) -> Result<(), Outside> {
        Ok(())
    }

    fn persistence(&self) -> Persistence {
        Persistence::Synchronous
    }
}

/// A log in an area.
pub struct Log {
    writer: LogWriter<Crc, Vec<u8>>,
    tid: u32,
}

impl Log {
    /// The log of an area of so many bytes.
    pub fn new(len: usize) -> Result<Self> {
        let blocks = u32::try_from(len / BLOCK as usize)?;
        let geometry = Geometry::new(BLOCK, blocks).map_err(|err| anyhow!("{err}"))?;
        let writer = LogWriter::new(vec![0; MIN_STAGING], geometry, [7; 16])
            .map_err(|err| anyhow!("{err}"))?;
        Ok(Self { writer, tid: 0 })
    }

    /// Begins at the area's start again.
    pub fn restart(&mut self) {
        self.tid += 1;
        self.writer.start(self.tid, 0x5eed);
    }

    /// Gathers the TLVs and commits them.
    #[inline]
    pub fn commit(&mut self, area: &mut Area, stores: Stores, tlvs: &[Vec<u8>]) -> Result<()> {
        let mut device = Device { area, stores };
        for tlv in tlvs {
            let room = self.writer.reserve(&mut device, tlv.len());
            let room = room.map_err(|err| anyhow!("{err:?}"))?;
            room.copy_from_slice(tlv);
        }
        let done = self.writer.commit(&mut device);
        done.map(drop).map_err(|err| anyhow!("{err:?}"))
    }
}

/// TLVs of `bytes` bytes together: a name, or inodes of 256 bytes.
pub fn tlvs(bytes: usize) -> Vec<Vec<u8>> {
    /// `EXT4_FC_TAG_CREAT` and `EXT4_FC_TAG_INODE`.
    const CREAT: u16 = 3;
    const INODE: u16 = 6;
    const INODE_TLV: usize = 256;
    let tlv = |tag: u16, len: usize| {
        let mut tlv = tag.to_le_bytes().to_vec();
        tlv.extend((len as u16 - 4).to_le_bytes());
        tlv.extend((0..len - 4).map(|i| i as u8 | 1));
        tlv
    };
    match bytes < INODE_TLV {
        true => vec![tlv(CREAT, bytes)],
        false => (0..bytes / INODE_TLV)
            .map(|_| tlv(INODE, INODE_TLV))
            .collect(),
    }
}
