// SPDX-License-Identifier: GPL-2.0

//! A filesystem whose journal is on a device of its own. mke2fs would want block
//! devices for it; so the two are made apart, and then told of one another.

use crate::cuts::{cuts, Cut};
use crate::fixture::{e2, present, Dir, Fixture};
use crate::forge::{commit, edit_superblock, tlvs, write_v1_log, AreaRam, NONCE, TID};
use crate::fuzz::{look, Seed};
use crate::ram::{Bytes, Part, Ram};
use crate::snapshots::{check_in, run_at};
use bytelog::crc::Crc32c;
use bytelog::geometry::Geometry;
use bytelog::reader::ReadArea;
use bytelog::writer::{LogWriter, MIN_STAGING};
use bytelog_cli::crc::Crc;
use bytelog_cli::error::Error;
use bytelog_cli::export::export;
use bytelog_cli::image::Image;
use bytelog_cli::jbd2::area::Area;
use bytelog_cli::log::inspect::{inspect, State};
use std::fs;
use std::rc::Rc;

const JOURNAL_UUID: &str = "a5a5a5a5-1111-2222-3333-444444444444";
/// Offset of the journal's superblock on its device.
const JOURNAL_SB: u64 = 4096;

/// Damaged images.
const DAMAGED: u64 = 200;

/// A crashed filesystem and its journal.
#[derive(Clone)]
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

    fn open(&self) -> Result<Image, Error> {
        let journal = Ram::new(self.journal.clone());
        Image::of(Ram::new(self.fs.clone()), |_| Ok(journal))
    }

    /// Changes the area.
    fn edit(mut self, edit: impl FnOnce(&Image, &mut Vec<u8>)) -> Self {
        let image = self.open().unwrap();
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

/// e2fsck replays what is at `disk` with its journal.
fn everything_is_there(external: &External, dir: &Dir, disk: &str, journal: &str) {
    let line = format!("e2fsck -fy -j {}", dir.path(journal).display());
    let (status, said) = e2(&line, &dir.path(disk), None);
    assert!(status <= 1, "{line}: {status}: {said}");
    let there = present(&dir.path(disk), &external.fixture.files, dir);
    assert!(there.iter().all(|there| *there), "{there:?}: {said}");
}

#[test]
fn exports() {
    let external = External::crashed(9);
    let dir = external.save();
    let disk = dir.path("disk.img");
    let with = ["--journal", "journal.img"];
    let refused = run_at(&disk, &["export", "--to", "copy.img"], &with);
    assert!(
        refused.contains("--journal-to") && refused.ends_with("exit 4\n"),
        "{refused}"
    );
    let to = [
        "export",
        "--to",
        "copy.img",
        "--journal-to",
        "copy-journal.img",
    ];
    let said = run_at(&disk, &to, &with);
    assert!(
        said.contains("5 fast commits") && said.ends_with("exit 0\n"),
        "{said}"
    );
    // The originals are as they were.
    assert!(fs::read(&disk).unwrap() == external.fs.whole());
    assert!(fs::read(dir.path("journal.img")).unwrap() == external.journal.whole());
    everything_is_there(&external, &dir, "copy.img", "copy-journal.img");
    let said = run_at(&disk, &["export"], &with);
    assert!(said.ends_with("exit 0\n"), "{said}");
    everything_is_there(&external, &dir, "disk.img", "journal.img");
}

/// What is made of two files goes again if the second cannot be made.
#[test]
fn nothing_is_left_behind() {
    let dir = External::crashed(9).save();
    let disk = dir.path("disk.img");
    let with = ["--journal", "journal.img"];
    for (command, journal_to, status, cause) in [
        (
            &["export", "--to", "a.img"][..],
            "missing/b.img",
            8,
            "No such file",
        ),
        (
            &["export", "--to", "a.img"],
            "journal.img",
            8,
            "name a file that does not exist",
        ),
        (
            &["export", "--to", "a.img"],
            "./a.img",
            8,
            "name a file that does not exist",
        ),
        (&["export", "--to", "a.img"], "a.img", 16, "the same file"),
        (&["capture"], "missing/b.img", 8, "No such file"),
        (&["capture"], "a.img", 16, "the same file"),
        (
            &["capture"],
            "disk.img",
            8,
            "name a file that does not exist",
        ),
    ] {
        let mut more = vec!["--journal-to", journal_to];
        if command == ["capture"] {
            more.insert(0, "a.img");
        }
        let before = fs::read(&disk).unwrap();
        let said = run_at(&disk, command, &[&more[..], &with].concat());
        assert!(
            said.contains(cause) && said.ends_with(&format!("exit {status}\n")),
            "{command:?} {journal_to}: {said}"
        );
        assert!(!dir.path("a.img").exists(), "{command:?} {journal_to}");
        assert!(fs::read(&disk).unwrap() == before);
    }
}

#[test]
fn fsck() {
    let external = External::crashed(9);
    let dir = external.save();
    let disk = dir.path("disk.img");
    let said = run_at(&disk, &["fsck"], &["--journal", "journal.img", "--", "-fy"]);
    assert!(
        said.contains("recovering journal") && said.ends_with("exit 0\n"),
        "{said}"
    );
    let there = present(&disk, &external.fixture.files, &dir);
    assert!(there.iter().all(|there| *there), "{there:?}: {said}");
}

/// Both, one behind the other.
fn open_parts(ram: &Rc<Ram>, middle: u64) -> Image {
    let end = ram.bytes.borrow().len();
    let part = |from, to| {
        let ram = ram.clone();
        Rc::new(Part { ram, from, to })
    };
    Image::of(part(0, middle), |_| Ok(part(middle, end))).unwrap()
}

/// What recovery would replay.
fn log_of(image: &Image) -> (State, Vec<u8>, bool) {
    let found = inspect(image, None).unwrap();
    assert_eq!(found.damage, None);
    let tlvs = found.stock.as_ref().map(|stock| stock.tlvs.clone());
    let tlvs = tlvs.unwrap_or_else(|| found.tlvs());
    (found.state, tlvs, image.sb.has_bytelog())
}

/// Damage to the journal's device is answered or refused.
#[test]
fn no_damage_makes_it_panic() {
    let external = External::crashed(9);
    let image = external.open().unwrap();
    let area = Area::new(&image.journal, image.journal.sb.fc_blocks()).unwrap();
    let area = area.place(0).unwrap();
    let places = [1024..2048, JOURNAL_SB..JOURNAL_SB + 256, area..area + 8192];
    let (mut fine, mut refused) = (0, 0);
    for seed in 0..DAMAGED {
        let _seed = Seed(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut damaged = external.clone();
        for _ in 0..rng.usize(1..4) {
            let place = places[rng.usize(..places.len())].clone();
            let at = rng.u64(place);
            damaged.journal.write(at, &[rng.u8(..)]);
        }
        let mut sb = vec![0; 1024];
        damaged.journal.read(JOURNAL_SB, &mut sb);
        sb[0xfc..0x100].fill(0);
        let crc = Crc::update(!0, &sb).to_be_bytes();
        damaged.journal.write(JOURNAL_SB + 0xfc, &crc);
        let done = damaged.open().and_then(|image| {
            look(&image)?;
            export(&image, seed % 2 == 0, false)?;
            look(&image.reopen()?)
        });
        match done {
            Ok(()) => fine += 1,
            Err(error) => {
                refused += 1;
                assert!(error.remedy.is_some() || error.offset.is_some(), "{error}");
            }
        }
    }
    assert!(fine > 20 && refused > 20, "{fine} {refused}");
}

/// Each device keeps what it was told to, and of the rest any part.
#[test]
fn a_cut_leaves_the_one_or_the_other() {
    let external = External::crashed(9);
    let both = [external.fs.whole(), external.journal.whole()].concat();
    let both = Bytes::new(both);
    let middle = external.fs.len();
    let ram = Ram::new(both.clone());
    let (state, tlvs, _) = log_of(&open_parts(&ram, middle));
    assert_eq!(state, State::V2);
    export(&open_parts(&ram, middle), false, false).unwrap();
    assert_eq!(
        log_of(&open_parts(&ram, middle)),
        (State::Stock, tlvs.clone(), false)
    );
    let (mut ours, mut stock) = (0, 0);
    for Cut { image, what } in cuts(&both, &ram.ops.borrow(), 31) {
        let ram = Ram::new(image);
        let (state, now, bit) = log_of(&open_parts(&ram, middle));
        assert_eq!(now, tlvs, "{what}: {state:?}");
        match state {
            State::V2 => {
                ours += 1;
                assert!(bit, "{what}");
            }
            State::Stock => stock += 1,
            other => panic!("{what}: {other:?}"),
        }
        export(&open_parts(&ram, middle), false, false).unwrap();
        let done = log_of(&open_parts(&ram, middle));
        assert_eq!(done, (State::Stock, tlvs.clone(), false), "{what}");
    }
    assert!(ours > 10 && stock > 10, "{ours} {stock}");
}
