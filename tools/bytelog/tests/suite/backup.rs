// SPDX-License-Identifier: GPL-2.0

//! A destroyed superblock, and its backup.

use crate::fixture::{e2fsck, Dir, Fixture};
use crate::forge::{crashed, crashed_on_stock, ON};
use crate::ram::Bytes;
use crate::snapshots::run_at;
use std::fs;

/// Small groups, so that there is a backup, at block 2048.
const GROUPS: &str = "-b 4096 -g 2048";

fn destroyed(image: &Bytes) -> Bytes {
    let mut image = image.clone();
    image.write(1024, &[0xff; 1024]);
    image
}

#[test]
fn it_is_read_with_a_word() {
    let fixture = Fixture::new(GROUPS, 7);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    let image = destroyed(&crashed(&fixture, ON));
    fs::write(&path, image.whole()).unwrap();
    for command in ["info", "verify", "dump", "map"] {
        let said = run_at(&path, &[command], &[]);
        assert!(
            said.contains("the backup at block 2048 is read instead") && said.ends_with("exit 0\n"),
            "{said}"
        );
        assert!(said.contains("ByteLog, version 2"), "{said}");
        let said = run_at(&path, &[command, "-b", "2048"], &[]);
        assert!(
            said.contains("the superblock is the backup at block 2048"),
            "{said}"
        );
    }
    let said = run_at(&path, &["verify", "-b", "2049"], &[]);
    assert!(
        said.contains("no backup of the superblock at block 2049"),
        "{said}"
    );
    // Nothing is written unless it is named.
    for command in [
        &["export"][..],
        &["export", "--dry-run"],
        &["fsck"],
        &["enable"],
        &["disable"],
    ] {
        let said = run_at(&path, command, &[]);
        assert!(
            said.contains("-b 2048") && said.ends_with("exit 4\n"),
            "{command:?}: {said}"
        );
    }
    assert!(fs::read(&path).unwrap() == image.whole());
}

#[test]
fn the_log_is_exported_by_it() {
    let fixture = Fixture::new(GROUPS, 7);
    let image = destroyed(&crashed(&fixture, ON));
    let dir = Dir::new();
    let path = dir.path("disk.img");
    for command in [
        &["export", "-b", "2048"][..],
        &["export", "-b", "2048", "--to", "copy.img"],
    ] {
        fs::write(&path, image.whole()).unwrap();
        let said = run_at(&path, command, &[]);
        assert!(
            said.contains("4 fast commits") && said.ends_with("exit 0\n"),
            "{said}"
        );
        let done = match command.len() {
            3 => fs::read(&path).unwrap(),
            _ => fs::read(dir.path("copy.img")).unwrap(),
        };
        let (status, said, there) = e2fsck(&done, &fixture.files, &dir);
        assert!(status <= 1 && there == [true; 7], "{status}: {said}");
    }
    fs::write(&path, image.whole()).unwrap();
    let said = run_at(&path, &["fsck", "-b", "2048"], &["--", "-fy"]);
    assert!(
        said.contains("4 fast commits") && said.ends_with("exit 1\n"),
        "{said}"
    );
    // A superblock that can be read stays, and without ByteLog it is e2fsck's.
    let said = run_at(&path, &["export", "-b", "2048"], &[]);
    assert!(
        said.contains("leave -b out") && said.ends_with("exit 16\n"),
        "{said}"
    );
    let stock = destroyed(&crashed_on_stock(&fixture));
    fs::write(&path, stock.whole()).unwrap();
    let said = run_at(&path, &["export", "-b", "2048"], &[]);
    assert!(said.contains("use e2fsck -b"), "{said}");
    assert!(fs::read(&path).unwrap() == stock.whole());
}
