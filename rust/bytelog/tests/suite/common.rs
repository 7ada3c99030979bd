// SPDX-License-Identifier: GPL-2.0 OR MIT

//! A CRC, an area in RAM, TLVs, and a sink that keeps what was sealed.

use bytelog::crc::Crc32c;
use bytelog::error::ReadError;
use bytelog::geometry::Geometry;
use bytelog::reader::{read_log, Expected, Log, ReadArea, Sink, SCRATCH_LEN};
use bytelog::record::Record;
use bytelog::writer::{FileData, LogWriter, Medium, Persistence, MIN_STAGING};

pub const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10";
pub const BLOCK: u32 = 4096;

/// The CRC of the `crc32c` crate, which inverts at both ends.
pub struct Crc;

impl Crc32c for Crc {
    fn update(seed: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!seed, data)
    }
}

pub type Writer = LogWriter<Crc, Vec<u8>>;

/// A writer for an area of `blocks` blocks with a log for `tid`, full records of
/// the default size.
pub fn writer(blocks: u32, tid: u32, nonce: u32) -> Writer {
    let mut writer = idle_writer(blocks);
    writer.start(tid, nonce);
    writer
}

pub fn idle_writer(blocks: u32) -> Writer {
    let geometry = Geometry::new(BLOCK, blocks).unwrap();
    // Old bytes, so that a leak shows.
    LogWriter::new(vec![0xee; MIN_STAGING], geometry, UUID).unwrap()
}

/// What a medium was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    CopyIn(u64, usize),
    WriteBack(u64, u64),
    Fence,
    Flush,
    FlushData,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// An area in RAM that notes what it is asked, and fails on demand.
pub struct Ram {
    pub bytes: Vec<u8>,
    pub ops: Vec<Op>,
    pub persistence: Persistence,
    pub file_data: FileData,
    /// Fallible operations that still succeed.
    pub lives: usize,
}

impl Ram {
    pub fn new(blocks: u32) -> Self {
        Self::over(vec![0; (BLOCK * blocks) as usize])
    }

    pub fn over(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ops: Vec::new(),
            persistence: Persistence::Synchronous,
            file_data: FileData::Here,
            lives: usize::MAX,
        }
    }

    fn live(&mut self) -> Result<(), Broken> {
        self.lives = self.lives.checked_sub(1).ok_or(Broken)?;
        Ok(())
    }
}

impl Medium for Ram {
    type Error = Broken;

    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result<(), Broken> {
        self.ops.push(Op::CopyIn(off, bytes.len()));
        self.live()?;
        self.bytes[off as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn write_back(&mut self, off: u64, len: u64) -> Result<(), Broken> {
        self.ops.push(Op::WriteBack(off, len));
        self.live()
    }

    fn fence(&mut self) {
        self.ops.push(Op::Fence);
    }

    fn flush_device(&mut self) -> Result<(), Broken> {
        self.ops.push(Op::Flush);
        self.live()
    }

    fn file_data(&self) -> FileData {
        self.file_data
    }

    fn flush_data(&mut self) -> Result<(), Broken> {
        self.ops.push(Op::FlushData);
        self.live()
    }

    fn persistence(&self) -> Persistence {
        self.persistence
    }
}

/// An area to read; `poison` is a line that cannot be.
pub struct Area<'a> {
    pub bytes: &'a [u8],
    pub poison: Option<u64>,
    pub read: std::cell::Cell<u64>,
}

impl<'a> Area<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            poison: None,
            read: std::cell::Cell::new(0),
        }
    }
}

impl ReadArea for Area<'_> {
    type Error = Broken;

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result<(), Broken> {
        let range = off..off + buf.len() as u64;
        if self.poison.is_some_and(|line| range.contains(&line)) {
            return Err(Broken);
        }
        self.read.set(self.read.get() + buf.len() as u64);
        buf.copy_from_slice(&self.bytes[off as usize..][..buf.len()]);
        Ok(())
    }
}

/// Keeps the payload of each sealed commit.
#[derive(Default)]
pub struct Collect {
    pub commits: Vec<Vec<u8>>,
    pub open: Vec<u8>,
}

impl Sink for Collect {
    type Error = ();

    fn record(&mut self, record: &Record, payload: &[u8]) -> Result<(), ()> {
        assert_eq!(record.payload_len(), payload.len());
        self.open.extend_from_slice(payload);
        Ok(())
    }

    fn sealed(&mut self, commit: u32) -> Result<(), ()> {
        self.commits.push(std::mem::take(&mut self.open));
        assert_eq!(commit as usize, self.commits.len());
        Ok(())
    }
}

pub type Read = Result<(Log, Vec<Vec<u8>>), ReadError<Broken, ()>>;

pub fn read_area(area: &Area<'_>, tid: u32, uuid: &[u8; 16], block_size: u32) -> Read {
    let expected = Expected {
        tid,
        uuid,
        block_size,
    };
    let mut sink = Collect::default();
    let mut scratch = vec![0xaa; SCRATCH_LEN];
    let log = read_log::<Crc, _, _>(area, &expected, &mut scratch, &mut sink)?;
    assert_eq!(log.commits as usize, sink.commits.len());
    assert_eq!(log.bytes, sink.commits.iter().map(|c| c.len() as u64).sum());
    Ok((log, sink.commits))
}

pub fn read(bytes: &[u8], tid: u32) -> Read {
    read_area(&Area::new(bytes), tid, &UUID, BLOCK)
}

/// A TLV of `tag` with a value of `len` bytes that depends on `seed`.
pub fn tlv(tag: u16, len: usize, seed: u8) -> Vec<u8> {
    let mut out = tag.to_le_bytes().to_vec();
    out.extend((len as u16).to_le_bytes());
    out.extend((0..len).map(|i| seed.wrapping_add(i as u8).wrapping_mul(31) | 1));
    out
}

pub fn add_range(seed: u8) -> Vec<u8> {
    tlv(1, 16, seed)
}

pub fn creat(name: usize, seed: u8) -> Vec<u8> {
    tlv(3, 8 + name, seed)
}

/// An INODE of a regular file with extents and one link.
pub fn inode(size: usize, seed: u8) -> Vec<u8> {
    inode_of(FILE, EXTENTS, size, seed)
}

/// Modes, and `EXT4_EXTENTS_FL`.
pub const FILE: u16 = 0o100_644;
pub const DIRECTORY: u16 = 0o040_755;
pub const EXTENTS: u32 = 0x8_0000;

/// An INODE of mode `mode` with flags `flags` and one link.
pub fn inode_of(mode: u16, flags: u32, size: usize, seed: u8) -> Vec<u8> {
    let mut out = tlv(6, 4 + size, seed);
    out[8..10].copy_from_slice(&mode.to_le_bytes());
    out[34..36].copy_from_slice(&1u16.to_le_bytes());
    out[40..44].copy_from_slice(&flags.to_le_bytes());
    out
}

/// A directory's times and version.
pub fn dir(seed: u8) -> Vec<u8> {
    tlv(0xb, 28, seed)
}

/// Reserves and fills, TLV by TLV.
pub fn gather<M: Medium>(
    writer: &mut Writer,
    medium: &mut M,
    tlvs: &[Vec<u8>],
) -> Result<(), bytelog::error::WriteError<M::Error>> {
    for tlv in tlvs {
        let room = writer.reserve(medium, tlv.len())?;
        assert_eq!(room[..4], [0; 4], "an old TLV in staging");
        room.copy_from_slice(tlv);
    }
    Ok(())
}

/// Reserves, fills and commits.
pub fn try_commit(
    log: &mut Writer,
    ram: &mut Ram,
    tlvs: &[Vec<u8>],
) -> Result<u32, bytelog::error::WriteError<Broken>> {
    gather(log, ram, tlvs)?;
    Ok(log.commit(ram)?.ordinal)
}

pub fn commit(writer: &mut Writer, ram: &mut Ram, tlvs: &[Vec<u8>]) -> bytelog::writer::Commit {
    gather(writer, ram, tlvs).unwrap();
    writer.commit(ram).unwrap()
}

/// A FIFO, a device of either kind, a symlink, a socket.
pub const SPECIAL_MODES: [u16; 5] = [0o010_644, 0o020_600, 0o060_660, 0o120_777, 0o140_755];

/// xorshift64*: seeds can be printed and rerun.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 32) as usize) % n
    }

    /// A TLV such as ext4 writes.
    pub fn tlv(&mut self) -> Vec<u8> {
        let seed = self.next() as u8;
        match self.below(9) {
            0 => add_range(seed),
            1 => tlv(2, 12, seed),
            2 => inode(if self.below(2) == 0 { 128 } else { 256 }, seed),
            6 => dir(seed),
            7 => inode_of(DIRECTORY, EXTENTS, 160, seed),
            8 => inode_of(SPECIAL_MODES[self.below(5)], 0, 256, seed),
            kind => tlv(kind as u16, 8 + 1 + self.below(255), seed),
        }
    }

    /// A TLV such as version 1 may have.
    pub fn tlv_of_v1(&mut self) -> Vec<u8> {
        loop {
            let tlv = self.tlv();
            if tlv[0] != 0xb {
                return tlv;
            }
        }
    }

    pub fn tlvs(&mut self, most: usize) -> Vec<Vec<u8>> {
        (0..1 + self.below(most)).map(|_| self.tlv()).collect()
    }
}
