// SPDX-License-Identifier: GPL-2.0

//! Crashed filesystems: a journal with something to recover, and a fast-commit area
//! with a log, written by the format crate's own writer.

use crate::fixture::{open, Fixture, Made};
use crate::ram::{Bytes, Ram};
use bytelog::crc::Crc32c;
use bytelog::geometry::Geometry;
use bytelog::medium::{Medium, Persistence};
use bytelog::reader::ReadArea;
use bytelog::translate::Translator;
use bytelog::writer::{LogWriter, MIN_STAGING};
use bytelog_cli::crc::Crc;
use bytelog_cli::jbd2::area::Area;
use std::convert::Infallible;

pub const TID: u32 = 7;
pub const NONCE: u32 = 0x5eed_0001;

/// How a filesystem crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Files in each fast commit.
    pub per_commit: usize,
    /// Whether the feature bit was set: mounted with `on`, not `force`.
    pub bit: bool,
}

pub const ON: Crash = Crash {
    per_commit: 2,
    bit: true,
};

/// A TLV.
pub fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut out = tag.to_le_bytes().to_vec();
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    out
}

/// What ext4 logs for a new file in the root directory.
pub fn tlvs(file: &Made) -> Vec<Vec<u8>> {
    let ino = file.ino.to_le_bytes();
    let extra = u16::from_le_bytes([file.inode[128], file.inode[129]]);
    let inode = [&ino[..], &file.inode[..128 + usize::from(extra)]].concat();
    let mut range = ino.to_vec();
    range.extend(0u32.to_le_bytes());
    range.extend(file.extent.1.to_le_bytes());
    range.extend(((file.extent.0 >> 32) as u16).to_le_bytes());
    range.extend((file.extent.0 as u32).to_le_bytes());
    let mut entry = 2u32.to_le_bytes().to_vec();
    entry.extend(ino);
    entry.extend(file.name.as_bytes());
    vec![tlv(6, &inode), tlv(1, &range), tlv(3, &entry)]
}

/// An area in RAM.
pub struct AreaRam(pub Vec<u8>);

impl Medium for AreaRam {
    type Error = Infallible;

    fn copy_in(&mut self, off: u64, bytes: &[u8]) -> Result<(), Infallible> {
        self.0[off as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn write_back(&mut self, _off: u64, _len: u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn fence(&mut self) {}

    fn flush_device(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn persistence(&self) -> Persistence {
        Persistence::Synchronous
    }
}

/// Puts `bytes` into the superblock at offset `at`, with its checksum.
pub fn edit_superblock(image: &mut Bytes, at: usize, bytes: &[u8]) {
    let mut sb = vec![0; 1024];
    image.read(1024, &mut sb);
    sb[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = Crc::update(!0, &sb[..0x3fc]);
    sb[0x3fc..].copy_from_slice(&crc.to_le_bytes());
    image.write(1024, &sb);
}

/// Puts `words`, pairs of offset and value, into the journal's superblock, with its
/// checksum.
pub fn edit_journal(image: &mut Bytes, words: &[(usize, u32)]) {
    let at = open(Ram::new(image.clone())).unwrap().journal.sb_at;
    let mut sb = vec![0; 1024];
    image.read(at, &mut sb);
    for (field, value) in words {
        sb[*field..field + 4].copy_from_slice(&value.to_be_bytes());
    }
    sb[0xfc..0x100].fill(0);
    let crc = Crc::update(!0, &sb);
    sb[0xfc..0x100].copy_from_slice(&crc.to_be_bytes());
    image.write(at, &sb);
}

/// Marks the filesystem as mounted, with an empty ring before transaction `tid`.
pub fn mark_dirty(image: &mut Bytes, bit: bool, tid: u32) {
    let mut incompat = [0; 4];
    image.read(1024 + 0x60, &mut incompat);
    let incompat = u32::from_le_bytes(incompat) | 0x4 | if bit { 0x4_0000 } else { 0 };
    edit_superblock(image, 0x60, &incompat.to_le_bytes());
    // CSUM_V3 with 64BIT and FAST_COMMIT, as ext4 sets them; checksum type crc32c;
    // transaction and start.
    edit_journal(
        image,
        &[(0x28, 0x32), (0x50, 0x0400_0000), (0x18, tid), (0x1c, 1)],
    );
}

/// The bytes of the fast-commit area.
pub fn read_area(image: &Bytes) -> Vec<u8> {
    let image = open(Ram::new(image.clone())).unwrap();
    let area = Area::new(&image.journal, image.journal.sb.fc_blocks()).unwrap();
    let mut bytes = vec![0; area.len() as usize];
    area.copy_out(0, &mut bytes).unwrap();
    bytes
}

pub fn write_area(image: &mut Bytes, bytes: &[u8]) {
    let opened = open(Ram::new(image.clone())).unwrap();
    let area = Area::new(&opened.journal, opened.journal.sb.fc_blocks()).unwrap();
    let block = opened.sb.block_size() as usize;
    for (number, chunk) in bytes.chunks(block).enumerate() {
        image.write(area.place((number * block) as u64).unwrap(), chunk);
    }
}

/// A writer for the area of an image.
pub fn writer(image: &Bytes, area_len: usize) -> LogWriter<Crc, Vec<u8>> {
    let opened = open(Ram::new(image.clone())).unwrap();
    let geometry = Geometry::of_area(opened.sb.block_size() as u32, area_len as u64).unwrap();
    let mut writer = LogWriter::new(vec![0; MIN_STAGING], geometry, opened.sb.uuid()).unwrap();
    writer.start(TID, NONCE);
    writer
}

/// Commits `tlvs` as one fast commit.
pub fn commit(writer: &mut LogWriter<Crc, Vec<u8>>, area: &mut AreaRam, tlvs: &[Vec<u8>]) {
    for tlv in tlvs {
        writer
            .reserve(area, tlv.len())
            .unwrap()
            .copy_from_slice(tlv);
    }
    writer.commit(area).unwrap();
}

/// The filesystem of `fixture`, crashed when all its files had been fsynced.
pub fn crashed(fixture: &Fixture, crash: Crash) -> Bytes {
    let mut image = fixture.empty.clone();
    mark_dirty(&mut image, crash.bit, TID);
    let mut area = AreaRam(read_area(&image));
    let mut writer = writer(&image, area.0.len());
    for files in fixture.files.chunks(crash.per_commit) {
        let tlvs: Vec<_> = files.iter().flat_map(tlvs).collect();
        commit(&mut writer, &mut area, &tlvs);
    }
    write_area(&mut image, &area.0);
    image
}

/// The same with a log in stock format instead.
pub fn crashed_on_stock(fixture: &Fixture) -> Bytes {
    let mut image = fixture.empty.clone();
    mark_dirty(&mut image, false, TID);
    let mut area = read_area(&image);
    let tlvs = fixture.files.iter().flat_map(tlvs).flatten();
    let tlvs: Vec<u8> = tlvs.collect();
    let mut translator = Translator::<Crc>::new(&tlvs, TID, 4096).unwrap();
    for block in area.chunks_mut(4096) {
        if !translator.next_block(block).unwrap() {
            break;
        }
    }
    write_area(&mut image, &area);
    image
}
