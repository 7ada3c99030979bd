// SPDX-License-Identifier: GPL-2.0

//! A way out of every state: `export --up-to-damage` and `--discard-log`, which say what
//! is lost.

use crate::cuts::{cuts, Cut};
use crate::export::hash;
use crate::fixture::{e2fsck, open, present, Dir, Fixture, Made};
use crate::forge::{crashed, crashed_on_stock, crashed_on_v1, edit_journal, read_area, write_area};
use crate::forge::{Crash, ON};
use crate::ram::{Bytes, Ram};
use crate::snapshots::{run, run_at};
use bytelog_cli::error::Error;
use bytelog_cli::export::Salvage;
use bytelog_cli::export::{export_as, Exported, How};
use bytelog_cli::log::inspect::{inspect, State};
use std::collections::HashSet;
use std::fs;

const UP_TO_DAMAGE: How = How {
    is_copy: false,
    dry_run: false,
    salvage: Salvage::BehindDamage,
};
const DISCARD: How = How {
    salvage: Salvage::Log,
    ..UP_TO_DAMAGE
};

/// A log of four fast commits, and with `full` the ring before it.
fn logged(full: bool) -> (Fixture, Bytes) {
    let fixture = Fixture::new("-b 4096", 7);
    let full_commits = full;
    let image = crashed(&fixture, Crash { full_commits, ..ON });
    (fixture, image)
}

fn damage(image: &mut Bytes, at: usize, with: u8) {
    let mut area = read_area(image);
    area[at] ^= with;
    write_area(image, &area);
}

/// Offset of the record of a number.
fn record(image: &Bytes, number: usize) -> usize {
    let area = read_area(image);
    let places = area
        .windows(4)
        .enumerate()
        .filter(|(_, four)| *four == b"FCBL");
    places.map(|(at, _)| at).nth(number).unwrap()
}

fn salvaged(image: &Bytes, how: &How) -> Result<(Exported, Bytes), Error> {
    let ram = Ram::new(image.clone());
    let done = export_as(&open(ram.clone())?, how)?;
    let bytes = ram.bytes.borrow().clone();
    Ok((done, bytes))
}

/// The first `count` of `files` are there, and no other; stock e2fsck is content.
fn has(image: &Bytes, files: &[Made], count: usize) {
    let (status, said, there) = e2fsck(&image.whole(), files, &Dir::new());
    assert!(status <= 1, "{status}: {said}");
    let wanted: Vec<_> = (0..files.len()).map(|number| number < count).collect();
    assert_eq!(there, wanted, "{said}");
}

#[test]
fn what_is_in_front_of_the_damage_is_kept() {
    let (fixture, mut image) = logged(true);
    let at = record(&image, 2);
    damage(&mut image, at + 100, 1);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, image.whole()).unwrap();
    let refused = run_at(&path, &["export"], &[]);
    assert!(
        refused.contains("--up-to-damage") && refused.contains("--discard-log"),
        "{refused}"
    );
    let said = run_at(&path, &["export", "--up-to-damage", "--dry-run"], &[]);
    for line in [
        "what is behind the damage is lost:",
        "  what cannot be read: the record at offset 5120: payload CRC does not match",
        "  /file0006 (inode 19): the name, of a file of 6025 bytes",
        "2 fast commits of transaction 3 would be",
        "2 full commits of the journal would be written back",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(
        said.ends_with("exit 0\n") && !said.contains("file0003"),
        "{said}"
    );
    assert!(fs::read(&path).unwrap() == image.whole());
    let said = run_at(&path, &["export", "--up-to-damage"], &[]);
    // First what is lost, then what is done.
    let (lost, done) = (said.find("/file0006"), said.find("2 fast commits of"));
    assert!(
        lost < done && said.matches("/file0006").count() == 1,
        "{said}"
    );
    has(&Bytes::new(fs::read(&path).unwrap()), &fixture.files, 4);
}

#[test]
fn all_of_the_log_is_given_up() {
    let (fixture, mut image) = logged(false);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    // Whole, and damaged.
    for with in [0, 1] {
        damage(&mut image, 4096 + 100, with);
        fs::write(&path, image.whole()).unwrap();
        let said = run_at(&path, &["export", "--discard-log", "--dry-run"], &[]);
        assert!(
            said.contains("/file0006 (inode 19): the name, of a file of 6025 bytes"),
            "{said}"
        );
        assert!(
            said.contains("4 whole fast commits") == (with == 0),
            "{said}"
        );
        assert!(fs::read(&path).unwrap() == image.whole());
        let said = run_at(&path, &["--json", "export", "--discard-log"], &[]);
        assert!(said.contains("\"path\": \"/file0006\""), "{said}");
        has(&Bytes::new(fs::read(&path).unwrap()), &fixture.files, 0);
    }
    let said = run_at(&path, &["export", "--discard-log", "--up-to-damage"], &[]);
    assert!(said.ends_with("exit 16\n"), "{said}");
}

/// A copy, too, and the original stays.
#[test]
fn in_a_copy() {
    let (fixture, mut image) = logged(false);
    let at = record(&image, 1);
    damage(&mut image, at + 100, 1);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, image.whole()).unwrap();
    let said = run_at(
        &path,
        &["export", "--up-to-damage", "--to", "copy.img"],
        &[],
    );
    assert!(
        said.contains("/file0006") && said.ends_with("exit 0\n"),
        "{said}"
    );
    assert!(fs::read(&path).unwrap() == image.whole());
    has(
        &Bytes::new(fs::read(dir.path("copy.img")).unwrap()),
        &fixture.files,
        2,
    );
}

/// A byte flipped anywhere in the log.
#[test]
fn out_of_any_damage() {
    let (fixture, whole) = logged(false);
    let mut damaged = 0;
    let places = (0..70).step_by(5).chain((4096..5900).step_by(33));
    for at in places {
        let mut image = whole.clone();
        damage(&mut image, at, 0x11);
        let (_, after) = salvaged(&image, &DISCARD).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert_eq!(
            inspect(&open(Ram::new(after.clone())).unwrap(), None)
                .unwrap()
                .state,
            State::Empty,
            "{at}"
        );
        if at % 11 == 0 {
            has(&after, &fixture.files, 0);
        }
        let before = inspect(&open(Ram::new(image.clone())).unwrap(), None)
            .unwrap()
            .commits();
        let (done, after) = salvaged(&image, &UP_TO_DAMAGE).unwrap();
        assert_eq!(done.commits, before, "{at}");
        let lost = done.lost.unwrap();
        if !lost.is_empty() {
            damaged += 1;
            has(&after, &fixture.files, 2 * before as usize);
        }
    }
    assert!(damaged > 20, "{damaged}");
}

/// A cut on the way leaves what the same command completes.
#[test]
fn cut_on_the_way() {
    let (fixture, mut image) = logged(true);
    let at = record(&image, 2);
    damage(&mut image, at + 100, 1);
    for (how, files) in [(UP_TO_DAMAGE, 4), (DISCARD, 0)] {
        let ram = Ram::new(image.clone());
        export_as(&open(ram.clone()).unwrap(), &how).unwrap();
        let ops = ram.ops.borrow().clone();
        let mut seen = HashSet::new();
        for Cut { image, what } in cuts(&image, &ops, 3) {
            let (_, after) =
                salvaged(&image, &how).unwrap_or_else(|error| panic!("{what}: {error}"));
            if seen.insert(hash(&after)) {
                has(&after, &fixture.files, files);
            }
        }
    }
}

/// Other logs that are given up: of version 1, and in stock format.
#[test]
fn other_formats() {
    let fixture = Fixture::new("-b 4096", 7);
    let mut v1 = crashed_on_v1(&fixture, &fixture.empty);
    damage(&mut v1, 4096 + 100, 1);
    for image in [v1, crashed_on_stock(&fixture)] {
        let (done, after) = salvaged(&image, &DISCARD).unwrap();
        assert!(!done.lost.unwrap().is_empty());
        has(&after, &fixture.files, 0);
    }
}

/// The journal itself is damaged: in a full commit, in its superblock, in its inode.
#[test]
fn without_a_journal_that_can_be_read() {
    let (_, whole) = logged(true);
    let opened = open(Ram::new(whole.clone())).unwrap();
    let ring = inspect(&opened, None).unwrap().ring.unwrap();
    let second = ring.parts.iter().find(|part| part.tid == 2).unwrap().block;
    let block = opened.journal.place(second).unwrap();
    let superblock = opened.journal.sb_at;
    let mut desc = [0; 64];
    whole.read(4096, &mut desc);
    let inode = u64::from(crate::fixture::le32(&desc, 8)) * 4096 + 7 * 256;
    for (at, what) in [
        (block + 4000, "full commits from transaction"),
        (superblock + 0x10, "the journal: "),
        (inode + 0x28, "the journal: "),
    ] {
        let mut image = whole.clone();
        image.write(at, &[0xff]);
        let dir = Dir::new();
        let path = dir.path("disk.img");
        fs::write(&path, image.whole()).unwrap();
        let refused = run_at(&path, &["export"], &[]);
        assert!(
            refused.ends_with("exit 4\n") && refused.contains("--discard-log"),
            "{refused}"
        );
        let said = run_at(&path, &["export", "--discard-log", "--dry-run"], &[]);
        assert!(
            said.contains(what) && said.ends_with("exit 0\n"),
            "{at}: {said}"
        );
        assert!(fs::read(&path).unwrap() == image.whole());
        let said = run_at(&path, &["export", "--discard-log"], &[]);
        assert!(
            said.contains(what) && said.ends_with("exit 0\n"),
            "{at}: {said}"
        );
        has(&Bytes::new(fs::read(&path).unwrap()), &[], 0);
    }
}

/// Names below directories, which the filesystem has, and of a file that only changes.
#[test]
fn paths_are_told() {
    let fixture = Fixture::new("-b 4096", 3);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, fixture.full.whole()).unwrap();
    fs::write(
        dir.path("commands"),
        "mkdir dir\nmkdir dir/below\nln file0001 dir/below/again\nunlink file0001\n",
    )
    .unwrap();
    let commands = dir.path("commands");
    let (status, said) = crate::fixture::e2("debugfs -w -f -", &path, Some(&commands));
    assert_eq!(status, 0, "{said}");
    let image = Bytes::new(fs::read(&path).unwrap());
    let changed = crate::forge::tlvs(&fixture.files[1]);
    let said = run(
        &crate::forge::with_log(&image, &changed[..2]),
        &["export", "--discard-log", "--dry-run"],
    );
    assert!(
        said.contains("  /dir/below/again (inode 14): changes, of a file of 1025 bytes"),
        "{said}"
    );
    assert!(present(&path, &[], &dir).is_empty());
}

/// What a header says whose checksum is wrong is not believed.
#[test]
fn headers_without_a_right_checksum_say_nothing() {
    let (_, mut image) = logged(false);
    let (one, two) = (record(&image, 1), record(&image, 2));
    // The ordinal of the commit, and the first payload, so that all of it is damage.
    damage(&mut image, two + 40, 165);
    damage(&mut image, 4096 + 100, 1);
    let said = run(&image, &["verify"]);
    assert!(
        !said.contains("commit 166") && !said.contains("commit 165"),
        "{said}"
    );
    assert!(
        said.contains(&format!("record 1 of commit 2 at offset {one}: whole")),
        "{said}"
    );
    let broken = format!("a record at offset {two}: payload whole, but header CRC does not match");
    assert!(said.contains(&broken), "{said}");
    assert!(said.contains("record 3 of commit 4 at offset"), "{said}");
    let said = run(&image, &["dump"]);
    assert!(
        said.contains(&broken) && said.contains("\"file0006\""),
        "{said}"
    );
}

/// An opener that is damaged does not hide the records.
#[test]
fn survivors_without_an_opener() {
    let (_, mut image) = logged(false);
    damage(&mut image, 30, 1);
    let said = run(&image, &["dump"]);
    assert!(
        said.contains("record 0 of commit 1 at offset 4096: whole"),
        "{said}"
    );
    assert!(
        said.contains("record 3 of commit 4") && said.contains("\"file0006\""),
        "{said}"
    );
}

/// What cannot be read, such as lost lines of persistent memory, is damage and no end.
#[test]
fn lines_that_are_lost() {
    let (fixture, whole) = logged(false);
    let opened = open(Ram::new(whole.clone())).unwrap();
    let area = inspect(&opened, None)
        .unwrap()
        .area
        .unwrap()
        .place(0)
        .unwrap();
    for lost in [0, 4096, 5120] {
        let ram = Ram::new(whole.clone());
        ram.lose(area + lost, 64);
        let opened = open(ram.clone()).unwrap();
        let found = inspect(&opened, None).unwrap();
        assert_eq!(found.state, State::Damaged, "{lost}");
        assert!(export_as(&opened, &How::default()).is_err());
        export_as(&opened, &DISCARD).unwrap();
        let after = ram.bytes.borrow().clone();
        has(&after, &fixture.files, 0);
    }
}

#[test]
fn a_journal_without_checksums_of_the_new_kind() {
    let (fixture, mut image) = logged(true);
    // CSUM_V3 off, COMPAT_CHECKSUM on.
    edit_journal(&mut image, &[(0x28, 0x22), (0x24, 1)]);
    let error = salvaged(&image, &How::default()).err().unwrap().to_string();
    assert!(error.contains("--discard-log"), "{error}");
    let (_, after) = salvaged(&image, &DISCARD).unwrap();
    has(&after, &fixture.files, 0);
}
