// SPDX-License-Identifier: GPL-2.0

//! `fsck`, with the real e2fsck.

use crate::cuts::{cuts, Cut};
use crate::export::{everything_is_there, hash};
use crate::fixture::{e2, e2fsck, open, present, Dir, Fixture, Made};
use crate::forge::{crashed, crashed_on_stock, read_area, write_area, Crash, ON, ON_BEFORE};
use crate::ram::{Bytes, Ram};
use crate::snapshots::run_at;
use bytelog_cli::command::feature::switch;
use bytelog_cli::command::fsck::fsck_with;
use bytelog_cli::log::inspect::inspect;
use bytelog_cli::report::Report;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::rc::Rc;

/// `fsck`, with the real e2fsck at its heart: its exit status, and how many operations
/// came before that ran. What e2fsck writes is there at once and not among them.
fn checked(ram: &Rc<Ram>) -> (u8, usize, Bytes) {
    let middle = RefCell::new(None);
    let told = fsck_with(
        |_| open(ram.clone()),
        |_| {},
        || {
            let dir = Dir::new();
            let path = dir.path("middle.img");
            fs::write(&path, ram.bytes.borrow().whole()).unwrap();
            let (status, said) = e2("e2fsck -fy", &path, None);
            *ram.bytes.borrow_mut() = Bytes::new(fs::read(&path).unwrap());
            let ops = ram.ops.borrow().len();
            *middle.borrow_mut() = Some((ops, ram.bytes.borrow().clone()));
            Ok((u8::try_from(status).unwrap(), Some(said)))
        },
    );
    let (ops, bytes) = middle.take().unwrap();
    (told.unwrap().status().code(), ops, bytes)
}

/// After a cut at any point a stock e2fsck refuses the filesystem or finds everything,
/// and so does another `fsck`.
fn cut_everywhere(image: &Bytes, files: &[Made]) {
    let ram = Ram::new(image.clone());
    let (status, count, middle) = checked(&ram);
    assert!(status <= 1, "{status}");
    let ops = ram.ops.borrow().clone();
    let (before, after) = ops.split_at(count);
    let mut seen = HashSet::new();
    let all = cuts(image, before, 23)
        .into_iter()
        .chain(cuts(&middle, after, 29));
    for Cut { image, what } in all {
        if !seen.insert(hash(&image)) {
            continue;
        }
        let (status, said, there) = e2fsck(&image.whole(), files, &Dir::new());
        let is_whole = status <= 1 && there.iter().all(|there| *there);
        assert!(is_whole || status & 8 != 0, "{what}: {status}: {said}");
        let ram = Ram::new(image);
        let (status, ..) = checked(&ram);
        assert!(status <= 1, "{what}: {status}");
        // The bit of a clean filesystem, which e2fsck would refuse.
        bytelog_cli::ext4::bit::write(ram.as_ref(), false).unwrap();
        let after = ram.bytes.borrow().clone();
        if seen.insert(hash(&after)) {
            everything_is_there(&after, files);
        }
    }
    assert!(seen.len() > 4, "{}", seen.len());
}

#[test]
fn a_cut_of_a_crashed_filesystem() {
    let fixture = Fixture::new("-b 4096", 5);
    for crash in [ON, ON_BEFORE] {
        cut_everywhere(&crashed(&fixture, crash), &fixture.files);
    }
}

#[test]
fn a_cut_of_a_clean_filesystem_with_the_bit() {
    let fixture = Fixture::new("-b 4096", 5);
    let ram = Ram::new(fixture.full.clone());
    switch(&open(ram.clone()).unwrap(), true).unwrap();
    let image = ram.bytes.borrow().clone();
    cut_everywhere(&image, &fixture.files);
    let ram = Ram::new(image);
    checked(&ram);
    assert!(open(ram).unwrap().sb.has_bytelog());
}

#[test]
fn a_crashed_filesystem_is_exported_and_checked() {
    let fixture = Fixture::new("-b 4096", 7);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, crashed(&fixture, ON).whole()).unwrap();
    let said = run_at(&path, &["fsck"], &["--", "-fy"]);
    assert!(
        said.contains("4 fast commits of transaction 7 are now"),
        "{said}"
    );
    assert!(
        said.contains("recovering journal") && said.ends_with("exit 0\n"),
        "{said}"
    );
    assert_eq!(present(&path, &fixture.files, &dir), [true; 7]);
    let before = fs::read(&path).unwrap();
    let said = run_at(&path, &["fsck"], &["--", "-fn"]);
    assert!(
        said.contains("Pass 5") && said.ends_with("exit 0\n"),
        "{said}"
    );
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn with_n_nothing_is_written() {
    let fixture = Fixture::new("-b 4096", 7);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    let clean = Ram::new(fixture.full.clone());
    switch(&open(clean.clone()).unwrap(), true).unwrap();
    let forced = Crash { mark: false, ..ON };
    for (image, cause, status) in [
        (crashed(&fixture, ON), "would have to be exported", 4),
        (crashed(&fixture, forced), "would have to be exported", 4),
        (
            clean.bytes.borrow().clone(),
            "e2fsck refuses the feature bit",
            4,
        ),
        // e2fsck leaves the journal alone.
        (crashed_on_stock(&fixture), "skipping journal recovery", 0),
        (fixture.full.clone(), "Pass 5", 0),
    ] {
        fs::write(&path, image.whole()).unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        for n in [&["-fn"][..], &["-f", "-n"]] {
            let said = run_at(&path, &["fsck"], &[&["--"], n].concat());
            assert!(
                said.contains(cause) && said.ends_with(&format!("exit {status}\n")),
                "{n:?}: {said}"
            );
        }
        assert!(fs::read(&path).unwrap() == image.whole());
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), modified);
    }
}

#[test]
fn a_capture_is_refused() {
    let fixture = Fixture::new("-b 4096", 7);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, crashed(&fixture, ON).whole()).unwrap();
    let said = run_at(&path, &["capture"], &["copy.img"]);
    assert!(said.ends_with("exit 0\n"), "{said}");
    fs::rename(dir.path("copy.img"), &path).unwrap();
    let before = fs::read(&path).unwrap();
    let said = run_at(&path, &["fsck"], &["--", "-fy"]);
    assert!(
        said.contains("this is a capture") && said.ends_with("exit 4\n"),
        "{said}"
    );
    assert!(fs::read(&path).unwrap() == before);
    let said = run_at(&path, &["verify"], &[]);
    assert!(said.ends_with("exit 0\n"), "{said}");
}

#[test]
fn a_bit_that_was_set_on_purpose_stays() {
    let fixture = Fixture::new("-b 4096", 0);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, fixture.empty.whole()).unwrap();
    let said = run_at(&path, &["enable"], &[]);
    assert!(
        said.contains("bit 0x40000 set\n") && said.ends_with("exit 0\n"),
        "{said}"
    );
    let said = run_at(&path, &["fsck", "--json"], &["--", "-fy"]);
    assert!(
        said.contains("\"bit_restored\": true") && said.contains("Pass 5"),
        "{said}"
    );
    assert!(
        run_at(&path, &["info"], &[]).contains("0x40000   set"),
        "{said}"
    );
    let said = run_at(&path, &["disable"], &[]);
    assert!(said.contains("bit 0x40000 cleared\n"), "{said}");
}

#[test]
fn a_damaged_log_is_not_given_to_e2fsck() {
    let fixture = Fixture::new("-b 4096", 7);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    let mut image = crashed(&fixture, ON);
    let mut area = read_area(&image);
    area[4096 + 100] ^= 1;
    write_area(&mut image, &area);
    fs::write(&path, image.whole()).unwrap();
    let said = run_at(&path, &["fsck"], &["--", "-fy"]);
    assert!(
        said.contains("damaged") && said.ends_with("exit 4\n"),
        "{said}"
    );
    assert!(fs::read(&path).unwrap() == image.whole());
}

/// Without the bit and a log of ours it is e2fsck: what it writes, and its exit status.
#[test]
fn without_bytelog_it_is_e2fsck() {
    let fixture = Fixture::new("-b 4096", 7);
    let stock = crashed_on_stock(&fixture);
    let ring = crate::forge::on_stock_with_full_commits(&fixture);
    let opened = open(Ram::new(ring.clone())).unwrap();
    let scan = inspect(&opened, None).unwrap().ring.unwrap();
    let second = scan.parts.iter().find(|part| part.tid == 2).unwrap().block;
    let (block, superblock) = (opened.journal.place(second).unwrap(), opened.journal.sb_at);
    let hit = |image: &Bytes, at: u64| {
        let mut image = image.clone();
        image.write(at, &[0x5a, 0xa5]);
        image
    };
    let no_journal = Fixture::new("-b 4096 -O ^has_journal", 3).full;
    let images = [
        ("clean", fixture.full.clone()),
        ("stock log", stock.clone()),
        ("ring", ring.clone()),
        ("revoke count", hit(&ring, block + 14)),
        ("full commit", hit(&ring, block + 4000)),
        ("journal's superblock", hit(&stock, superblock + 0x10)),
        ("superblock's magic", hit(&fixture.full, 1024 + 0x38)),
        ("no journal", no_journal),
    ];
    for (what, image) in &images {
        for option in ["-fy", "-p", "-fn", "-n"] {
            let dir = Dir::new();
            let run = |name: &str, words: &[&str]| {
                fs::write(dir.path(name), image.whole()).unwrap();
                let status = Command::new(words[0])
                    .args(&words[1..])
                    .current_dir(dir.path("."))
                    .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                    .envs([
                        ("E2FSPROGS_FAKE_TIME", "1790000000"),
                        ("E2FSCK_TIME", "1790000000"),
                    ])
                    .output()
                    .unwrap()
                    .status;
                (status.code(), fs::read(dir.path(name)).unwrap())
            };
            let theirs = run("theirs.img", &["e2fsck", option, "theirs.img"]);
            let command = env!("CARGO_BIN_EXE_bytelog");
            let ours = run("ours.img", &[command, "fsck", "ours.img", "--", option]);
            assert_eq!(theirs.0, ours.0, "{what} {option}");
            // The journal that e2fsck makes anew is not the same twice.
            let is_new = *what == "journal's superblock" && !option.contains('n');
            assert!(is_new || theirs.1 == ours.1, "{what} {option}");
        }
    }
}
