// SPDX-License-Identifier: GPL-2.0

//! Damaged logs with directories: what is in front of the damage is replayed and exported.

use crate::cuts::cuts;
use crate::export::hash;
use crate::fixture::{open, Dir};
use crate::forge::{read_area, with_commits, write_area};
use crate::ram::{Bytes, Ram};
use crate::snapshots::run_at;
use crate::tree::{creat, look, recovered, Tree};
use bytelog_cli::error::Error;
use bytelog_cli::export::Salvage;
use bytelog_cli::export::{export_as, Exported, How};
use std::collections::HashSet;
use std::fs;
use std::rc::Rc;

const ROOT: u32 = 2;
const PATHS: [&str; 4] = ["/", "old", "new", "later"];

fn salvaged(image: &Bytes, salvage: Salvage) -> Result<(Exported, Rc<Ram>), Error> {
    let ram = Ram::new(image.clone());
    let how = How {
        salvage,
        ..How::default()
    };
    let done = export_as(&open(ram.clone())?, &how)?;
    Ok((done, ram))
}

/// A filesystem before and after a first fast commit, which makes a directory, and its
/// log with two others.
fn three_commits() -> (Tree, Bytes) {
    let first = Tree::new("-b 4096", "mkdir old\n", "mkdir new\n");
    let second = Tree::of(&first.after, "", "mkdir later\n");
    let third = Tree::of(&second.after, "", "mkdir last\n");
    let log = |tree: &Tree, name: &str| {
        let ino = tree.ino(name);
        vec![tree.inode(ROOT), tree.inode(ino), creat(ROOT, ino, name)]
    };
    let logs = [
        log(&first, "new"),
        log(&second, "later"),
        log(&third, "last"),
    ];
    let logs = logs.each_ref().map(Vec::as_slice);
    let image = with_commits(&first.before, &logs);
    (first, image)
}

/// The second fast commit damaged.
fn damaged() -> (Tree, Bytes) {
    let (tree, mut image) = three_commits();
    let mut area = read_area(&image);
    let records = area.windows(4).enumerate();
    let records = records.filter(|(_, four)| *four == b"FCBL");
    let second = records.map(|(at, _)| at).nth(1).unwrap();
    area[second + 100] ^= 1;
    write_area(&mut image, &area);
    (tree, image)
}

#[test]
fn directories_in_front_of_the_damage_are_kept() {
    let (tree, image) = damaged();
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, image.whole()).unwrap();
    let refused = run_at(&path, &["export"], &[]);
    assert!(
        refused.contains("the log is damaged") && refused.contains("--up-to-damage"),
        "{refused}"
    );
    let said = run_at(&path, &["export", "--up-to-damage", "--dry-run"], &[]);
    for line in [
        "what is behind the damage is lost:",
        "what cannot be read: the record at offset ",
        "  /last (inode ",
        "1 fast commit of transaction 7 change would be in the journal",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(fs::read(&path).unwrap() == image.whole());
    let said = run_at(&path, &["export", "--up-to-damage"], &[]);
    let (lost, done) = (said.find("/last"), said.find("replayed in memory"));
    assert!(
        lost < done && said.matches("/last ").count() == 1 && said.ends_with("exit 0\n"),
        "{said}"
    );
    let after = Bytes::new(fs::read(&path).unwrap());
    assert_eq!(
        look(&recovered(&after), &PATHS),
        look(&tree.after, &PATHS),
        "{said}"
    );
}

#[test]
fn a_cut_is_completed() {
    let (tree, image) = damaged();
    for (salvage, should) in [
        (Salvage::BehindDamage, &tree.after),
        (Salvage::Log, &tree.before),
    ] {
        let should = look(should, &PATHS);
        let (done, ram) = salvaged(&image, salvage).unwrap();
        assert_eq!(done.replayed, salvage == Salvage::BehindDamage);
        assert!(!done.lost.unwrap().is_empty());
        let ops = ram.ops.borrow().clone();
        let mut seen = HashSet::new();
        for cut in cuts(&image, &ops, 29) {
            let (_, ram) = salvaged(&cut.image, salvage)
                .unwrap_or_else(|error| panic!("{}: {error}", cut.what));
            let after = ram.bytes.borrow().clone();
            if seen.insert(hash(&after)) {
                assert_eq!(look(&recovered(&after), &PATHS), should, "{}", cut.what);
            }
        }
    }
}

/// A log of a later version is not damaged: only all of it can be given up.
#[test]
fn a_log_of_a_later_version() {
    let (tree, mut image) = three_commits();
    let mut area = read_area(&image);
    area[4] |= 4;
    crate::v1::seal_opener(&mut area);
    write_area(&mut image, &area);
    for salvage in [Salvage::Nothing, Salvage::BehindDamage] {
        let error = salvaged(&image, salvage).err().unwrap().to_string();
        assert!(
            error.contains("feature 0x4") && error.contains("--discard-log"),
            "{error}"
        );
    }
    let (done, ram) = salvaged(&image, Salvage::Log).unwrap();
    assert!(!done.lost.unwrap().unreadable.is_empty());
    let after = ram.bytes.borrow().clone();
    assert_eq!(look(&recovered(&after), &PATHS), look(&tree.before, &PATHS));
}
