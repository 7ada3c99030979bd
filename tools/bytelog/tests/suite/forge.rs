// SPDX-License-Identifier: GPL-2.0

//! Crashed filesystems: a journal with something to recover, and a fast-commit area
//! with a log, written by the format crate's own writer.

use crate::fixture::{e2, open, Dir, Fixture, Made};
use crate::ram::{Bytes, Ram};
use crate::v1::{write_v1, V1Record};
use bytelog::crc::Crc32c;
use bytelog::geometry::Geometry;
use bytelog::medium::{Medium, Persistence};
use bytelog::reader::ReadArea;
use bytelog::translate::Translator;
use bytelog::writer::{LogWriter, MIN_STAGING};
use bytelog_cli::crc::Crc;
use bytelog_cli::jbd2::area::Area;
use std::convert::Infallible;
use std::fs;

pub const TID: u32 = 7;
/// Transaction of the log where debugfs has written two full commits.
const RING_TID: u32 = 3;
pub const NONCE: u32 = 0x5eed_0001;

/// How a filesystem crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Files in each fast commit.
    pub per_commit: usize,
    /// Whether the journal was marked: mounted with `on`, not `force`.
    pub mark: bool,
    /// Whether the feature bit was set, as earlier versions do it.
    pub bit: bool,
    /// Whether the ring has full commits to write back.
    pub full_commits: bool,
}

pub const ON: Crash = Crash {
    per_commit: 2,
    mark: true,
    bit: false,
    full_commits: false,
};

/// Under an earlier version.
pub const ON_BEFORE: Crash = Crash {
    mark: false,
    bit: true,
    ..ON
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

/// Changes the incompatible features of the filesystem.
pub fn edit_incompat(image: &mut Bytes, change: impl Fn(u32) -> u32) {
    let mut incompat = [0; 4];
    image.read(1024 + 0x60, &mut incompat);
    let incompat = change(u32::from_le_bytes(incompat));
    edit_superblock(image, 0x60, &incompat.to_le_bytes());
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

fn journal_word(image: &Bytes, at: usize) -> u32 {
    let sb_at = open(Ram::new(image.clone())).unwrap().journal.sb_at;
    let mut word = [0; 4];
    image.read(sb_at + at as u64, &mut word);
    u32::from_be_bytes(word)
}

/// Marks the filesystem as mounted with fast commits.
pub fn mark_dirty(image: &mut Bytes, bit: bool) {
    let mut incompat = [0; 4];
    image.read(1024 + 0x60, &mut incompat);
    let incompat = u32::from_le_bytes(incompat) | 0x4 | if bit { 0x4_0000 } else { 0 };
    edit_superblock(image, 0x60, &incompat.to_le_bytes());
    // CSUM_V3 with 64BIT and FAST_COMMIT, as ext4 sets them; checksum type crc32c.
    let incompat = journal_word(image, 0x28) | 0x32;
    edit_journal(image, &[(0x28, incompat), (0x50, 0x0400_0000)]);
}

/// Marks the journal as one with a ByteLog.
pub fn set_mark(image: &mut Bytes) {
    let incompat = journal_word(image, 0x28) | 0x4_0000;
    edit_journal(image, &[(0x28, incompat)]);
}

/// Has the ring be empty, from its first block on, before transaction `tid`.
pub fn empty_ring(image: &mut Bytes, tid: u32) {
    edit_journal(image, &[(0x18, tid), (0x1c, 1)]);
}

/// Full commits 1 and 2 in the ring, as debugfs writes them: of the superblock, with
/// the feature bit as `bit` says; of the data of file 1, which is not at its place yet;
/// and of that of file 2, wrong, and revoked later.
pub fn full_commits(image: &mut Bytes, fixture: &Fixture, bit: bool) {
    let dir = Dir::new();
    let path = dir.path("ring.img");
    let (one, two) = (fixture.files[1].extent.0, fixture.files[2].extent.0);
    let block = |number: u64| {
        let mut block = vec![0; 4096];
        fixture.empty.read(number * 4096, &mut block);
        block
    };
    let mut sb = block(0);
    bytelog_cli::ext4::superblock::Superblock::patch(&mut sb[1024..], bit);
    let blocks = [sb, block(one), vec![0x5a; 4096]].concat();
    fs::write(dir.path("blocks"), blocks).unwrap();
    let script = format!(
        "jo -c -v 3\njw -b 0,{one},{two} {}\njw -r {two}\njc\n",
        dir.path("blocks").display()
    );
    fs::write(dir.path("commands"), script).unwrap();
    image.write(one * 4096, &[0x5a; 4096]);
    fs::write(&path, image.whole()).unwrap();
    let (status, said) = e2("debugfs -w -f -", &path, Some(&dir.path("commands")));
    assert_eq!(status, 0, "{said}");
    *image = Bytes::new(fs::read(&path).unwrap());
    assert_eq!(
        (journal_word(image, 0x18), journal_word(image, 0x1c)),
        (1, 1),
        "{said}"
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
pub fn writer(image: &Bytes, area_len: usize, tid: u32) -> LogWriter<Crc, Vec<u8>> {
    let opened = open(Ram::new(image.clone())).unwrap();
    let geometry = Geometry::of_area(opened.sb.block_size() as u32, area_len as u64).unwrap();
    let mut writer = LogWriter::new(vec![0; MIN_STAGING], geometry, opened.sb.uuid()).unwrap();
    writer.start(tid, NONCE);
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
    let tid = match crash.full_commits {
        true => {
            full_commits(&mut image, fixture, crash.bit);
            RING_TID
        }
        false => TID,
    };
    mark_dirty(&mut image, crash.bit);
    if crash.mark {
        set_mark(&mut image);
    }
    if !crash.full_commits {
        empty_ring(&mut image, tid);
    }
    let mut area = AreaRam(read_area(&image));
    let mut writer = writer(&image, area.0.len(), tid);
    for files in fixture.files.chunks(crash.per_commit) {
        let tlvs: Vec<_> = files.iter().flat_map(tlvs).collect();
        commit(&mut writer, &mut area, &tlvs);
    }
    write_area(&mut image, &area.0);
    image
}

/// `image`, crashed with a log of one fast commit.
pub fn with_log(image: &Bytes, tlvs: &[Vec<u8>]) -> Bytes {
    with_commits(image, &[tlvs])
}

/// `image`, crashed with a log of these fast commits.
pub fn with_commits(image: &Bytes, commits: &[&[Vec<u8>]]) -> Bytes {
    let mut image = image.clone();
    mark_dirty(&mut image, true);
    empty_ring(&mut image, TID);
    put_log(&mut image, TID, commits);
    image
}

/// Puts a log of transaction `tid` into the area.
pub fn put_log(image: &mut Bytes, tid: u32, commits: &[&[Vec<u8>]]) {
    let mut area = AreaRam(read_area(image));
    let mut writer = writer(image, area.0.len(), tid);
    for tlvs in commits {
        commit(&mut writer, &mut area, tlvs);
    }
    write_area(image, &area.0);
}

/// The same with a log in stock format instead.
pub fn with_stock_log(image: &Bytes, tlvs: &[Vec<u8>]) -> Bytes {
    let mut image = image.clone();
    mark_dirty(&mut image, false);
    empty_ring(&mut image, TID);
    let mut area = read_area(&image);
    let tlvs = tlvs.concat();
    let mut translator = Translator::<Crc>::new(&tlvs, TID, 4096).unwrap();
    for block in area.chunks_mut(4096) {
        if !translator.next_block(block).unwrap() {
            break;
        }
    }
    write_area(&mut image, &area);
    image
}

/// The filesystem of `fixture`, crashed with full commits and no fast one.
pub fn on_stock_with_full_commits(fixture: &Fixture) -> Bytes {
    let mut image = fixture.empty.clone();
    full_commits(&mut image, fixture, false);
    mark_dirty(&mut image, false);
    image
}

/// The filesystem of `fixture`, crashed with a log in stock format.
pub fn crashed_on_stock(fixture: &Fixture) -> Bytes {
    let tlvs: Vec<_> = fixture.files.iter().flat_map(tlvs).collect();
    with_stock_log(&fixture.empty, &tlvs)
}

/// The same with a log of version 1, as the RFC's kernel writes it: single TLVs, and
/// one record with several.
pub fn crashed_on_v1(fixture: &Fixture, image: &Bytes) -> Bytes {
    let mut image = image.clone();
    mark_dirty(&mut image, true);
    empty_ring(&mut image, TID);
    let mut area = vec![0; read_area(&image).len()];
    write_v1_log(&mut area, fixture);
    write_area(&mut image, &area);
    image
}

/// That log in an area of zeros.
pub fn write_v1_log(area: &mut [u8], fixture: &Fixture) {
    let tlvs: Vec<_> = fixture.files.iter().flat_map(tlvs).collect();
    let (singles, run) = tlvs.split_at(6);
    let mut records: Vec<_> = singles.iter().cloned().map(V1Record::single).collect();
    records.push(V1Record::run(run));
    write_v1(area, TID, 4096 + 640, &records);
}
