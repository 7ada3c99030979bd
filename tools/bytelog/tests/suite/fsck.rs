// SPDX-License-Identifier: GPL-2.0

//! `fsck`, with the real e2fsck.

use crate::fixture::{present, Dir, Fixture};
use crate::forge::{crashed, read_area, write_area, ON};
use crate::snapshots::run_at;
use std::fs;

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
    let said = run_at(&path, &["fsck"], &["--", "-fn"]);
    assert!(
        said.contains("nothing to export") && said.ends_with("exit 0\n"),
        "{said}"
    );
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
    let said = run_at(&path, &["fsck", "--json"], &["--", "-fn"]);
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
