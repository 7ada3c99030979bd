// SPDX-License-Identifier: GPL-2.0

//! `enable` and `disable`: superblock, backups, and cuts in between.

use crate::cuts::cuts;
use crate::fixture::{e2fsck, open, Dir, Fixture};
use crate::forge::{crashed, ON};
use crate::ram::{Bytes, Ram};
use bytelog_cli::command::feature::switch;
use bytelog_cli::ext4::superblock::Superblock;
use bytelog_cli::store::Store;
use std::rc::Rc;

/// More than one group, so that there are backups; block 1 has the superblock.
const GROUPS: &str = "-b 1024";

/// Whether each superblock, backups last, has the bit.
fn bits(image: &Bytes) -> Vec<bool> {
    let ram: Rc<dyn Store> = Ram::new(image.clone());
    let sb = Superblock::read(ram.as_ref(), 1024).unwrap();
    let backups = sb.backups().into_iter();
    let backups = backups.map(|at| sb.backup(ram.as_ref(), at).unwrap().has_bytelog());
    [sb.has_bytelog()].into_iter().chain(backups).collect()
}

/// Without the page size for its block size it cannot be enabled through the command.
fn write(image: &Bytes, on: bool) -> (Bytes, Vec<crate::ram::Op>) {
    let ram = Ram::new(image.clone());
    assert_eq!(bytelog_cli::ext4::bit::write(ram.as_ref(), on).unwrap(), 0);
    let after = ram.bytes.borrow().clone();
    let ops = ram.ops.borrow().clone();
    (after, ops)
}

#[test]
fn backups_follow() {
    let fixture = Fixture::new(GROUPS, 0);
    let (on, _) = write(&fixture.empty, true);
    assert_eq!(bits(&on), [true; 2]);
    let (off, _) = write(&on, false);
    assert_eq!(bits(&off), [false; 2]);
    assert_eq!(off.whole(), fixture.empty.whole());
    let (status, said, _) = e2fsck(&off.whole(), &[], &Dir::new());
    assert_eq!(status, 0, "{said}");
}

#[test]
fn a_cut_leaves_a_filesystem() {
    let fixture = Fixture::new(GROUPS, 0);
    let (on, setting) = write(&fixture.empty, true);
    let (_, clearing) = write(&on, false);
    let mut torn = 0;
    for (image, ops) in [(&fixture.empty, setting), (&on, clearing)] {
        for cut in cuts(image, &ops, 5) {
            // A backup that is torn is replaced by e2fsck; the one that counts is
            // recognized, and the command, run again, completes what was cut.
            let sb = Superblock::read(Ram::new(cut.image.clone()).as_ref(), 1024).unwrap();
            if sb.is_torn() {
                torn += 1;
                let (status, said, _) = e2fsck(&cut.image.whole(), &[], &Dir::new());
                assert!(status <= 1, "{}: {said}", cut.what);
            }
            let ram = Ram::new(cut.image);
            bytelog_cli::ext4::bit::write(ram.as_ref(), false).unwrap();
            let after = ram.bytes.borrow().whole();
            let (status, said, _) = e2fsck(&after, &[], &Dir::new());
            assert!(status <= 1, "{}: {said}", cut.what);
        }
    }
    assert!(torn > 0);
}

#[test]
fn a_dirty_log_is_refused() {
    let fixture = Fixture::new("-b 4096", 2);
    let ram = Ram::new(crashed(&fixture, ON));
    for on in [true, false] {
        let error = switch(&open(ram.clone()).unwrap(), on).unwrap_err();
        assert!(error.to_string().contains("needs recovery"), "{error}");
    }
    assert!(ram.ops.borrow().is_empty());
}

#[test]
fn what_no_mount_could_use_is_refused() {
    for (options, why) in [
        (GROUPS, "block size 1024"),
        ("-b 4096 -O bigalloc", "bigalloc"),
    ] {
        let fixture = Fixture::new(options, 0);
        let ram = Ram::new(fixture.empty);
        let error = switch(&open(ram.clone()).unwrap(), true).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(ram.ops.borrow().is_empty());
    }
}
