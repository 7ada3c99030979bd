// SPDX-License-Identifier: GPL-2.0

//! A filesystem whose journal is on a device of its own. mke2fs would want block
//! devices for it; so the two are made apart, and then told of one another.

use crate::fixture::{e2, Dir, Fixture};
use crate::forge::{commit, edit_superblock, tlvs, write_v1_log, AreaRam, NONCE, TID};
use crate::ram::{Bytes, Ram};
use crate::snapshots::check_in;
use bytelog::crc::Crc32c;
use bytelog::geometry::Geometry;
use bytelog::reader::ReadArea;
use bytelog::writer::{LogWriter, MIN_STAGING};
use bytelog_cli::crc::Crc;
use bytelog_cli::image::Image;
use bytelog_cli::jbd2::area::Area;
use std::fs;

const JOURNAL_UUID: &str = "a5a5a5a5-1111-2222-3333-444444444444";
/// Offset of the journal's superblock on its device.
const JOURNAL_SB: u64 = 4096;

/// A crashed filesystem and its journal.
pub struct External {
    pub fixture: Fixture,
    pub fs: Bytes,
    pub journal: Bytes,
}

impl External {
    /// With an empty log, of as many files as the log is to have.
    fn new(count: usize) -> Self {
        let fixture = Fixture::new("-b 4096 -O ^has_journal", count);
        let dir = Dir::new();
        let path = dir.path("journal.img");
        fs::File::create(&path).unwrap().set_len(8 << 20).unwrap();
        let line = format!("mke2fs -q -F -b 4096 -O journal_dev -U {JOURNAL_UUID}");
        let (status, said) = e2(&line, &path, None);
        assert_eq!(status, 0, "{line}: {said}");
        let mut journal = Bytes::new(fs::read(&path).unwrap());
        let mut fs = fixture.empty.clone();
        let mut word = |at: usize, or: u32| {
            let mut bytes = [0; 4];
            fs.read(1024 + at as u64, &mut bytes);
            let value = u32::from_le_bytes(bytes) | or;
            edit_superblock(&mut fs, at, &value.to_le_bytes());
        };
        // Journal and fast commits; recovery and the ByteLog bit.
        word(0x5c, 0x404);
        word(0x60, 0x4_0004);
        let uuid = u128::from_str_radix(&JOURNAL_UUID.replace('-', ""), 16).unwrap();
        edit_superblock(&mut fs, 0xd0, &uuid.to_be_bytes());
        let mut sb = vec![0; 1024];
        journal.read(JOURNAL_SB, &mut sb);
        // CSUM_V3 with 64BIT and FAST_COMMIT, crc32c; transaction, start; the one user.
        for (at, value) in [(0x28, 0x32), (0x18, TID), (0x1c, 2), (0x40, 1)] {
            sb[at..at + 4].copy_from_slice(&u32::to_be_bytes(value));
        }
        sb[0x50] = 4;
        let mut user = [0; 16];
        fs.read(1024 + 0x68, &mut user);
        sb[0x100..0x110].copy_from_slice(&user);
        sb[0xfc..0x100].fill(0);
        let crc = Crc::update(!0, &sb);
        sb[0xfc..0x100].copy_from_slice(&crc.to_be_bytes());
        journal.write(JOURNAL_SB, &sb);
        Self {
            fixture,
            fs,
            journal,
        }
    }

    pub fn open(&self) -> Image {
        let journal = Ram::new(self.journal.clone());
        Image::of(Ram::new(self.fs.clone()), |_| Ok(journal)).unwrap()
    }

    /// Changes the area.
    fn edit(mut self, edit: impl FnOnce(&Image, &mut Vec<u8>)) -> Self {
        let image = self.open();
        let area = Area::new(&image.journal, image.journal.sb.fc_blocks()).unwrap();
        let mut bytes = vec![0; area.len() as usize];
        edit(&image, &mut bytes);
        self.journal.write(area.place(0).unwrap(), &bytes);
        self
    }

    /// With a log of two files in each fast commit.
    pub fn crashed(count: usize) -> Self {
        let external = Self::new(count);
        let files = external.fixture.files.clone();
        external.edit(|image, bytes| {
            let geometry = Geometry::of_area(4096, bytes.len() as u64).unwrap();
            let staging = vec![0; MIN_STAGING];
            let mut writer: LogWriter<Crc, _> =
                LogWriter::new(staging, geometry, image.sb.uuid()).unwrap();
            writer.start(TID, NONCE);
            let mut area = AreaRam(std::mem::take(bytes));
            for files in files.chunks(2) {
                let tlvs: Vec<_> = files.iter().flat_map(tlvs).collect();
                commit(&mut writer, &mut area, &tlvs);
            }
            *bytes = area.0;
        })
    }

    fn crashed_on_v1(count: usize) -> Self {
        let external = Self::new(count);
        let fixture = external.fixture.clone();
        external.edit(|_, bytes| write_v1_log(bytes, &fixture))
    }

    /// As `disk.img` and `journal.img`.
    pub fn save(&self) -> Dir {
        let dir = Dir::new();
        fs::write(dir.path("disk.img"), self.fs.whole()).unwrap();
        fs::write(dir.path("journal.img"), self.journal.whole()).unwrap();
        dir
    }
}

#[test]
fn snapshots() {
    let more = ["--journal", "journal.img"];
    check_in("external", &External::crashed(5).save(), &more);
    check_in("v1-external", &External::crashed_on_v1(5).save(), &more);
}
