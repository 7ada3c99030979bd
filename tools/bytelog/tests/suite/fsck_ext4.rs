// SPDX-License-Identifier: GPL-2.0

//! What a boot calls `fsck.ext4`: it lets a log that can be replayed be, and is e2fsck
//! otherwise.

use crate::fixture::{present, Dir, Fixture};
use crate::forge::{crashed, crashed_on_stock, read_area, write_area, ON, ON_BEFORE};
use crate::ram::Bytes;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// What a program says of `disk.img`, with its exit status.
fn run(program: &Path, options: &str, dir: &Dir) -> (i32, String) {
    let output = Command::new(program)
        .args(options.split_whitespace())
        .arg("disk.img")
        .current_dir(dir.path("."))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code().unwrap(), said)
}

/// The same by the name of `fsck.ext4`, and whether the image is as it was.
fn fsck_ext4(image: &Bytes, options: &str, dir: &Dir) -> (i32, String, bool) {
    let link = dir.path("fsck.ext4");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_bytelog"), &link).unwrap();
    }
    let path = dir.path("disk.img");
    fs::write(&path, image.whole()).unwrap();
    let (status, said) = run(&link, options, dir);
    (status, said, fs::read(&path).unwrap() == image.whole())
}

#[test]
fn a_boot_leaves_a_log_to_the_mount() {
    let fixture = Fixture::new("-b 4096", 4);
    for crash in [ON, ON_BEFORE] {
        for options in ["-a", "-a -C0", "-p -f"] {
            let dir = Dir::new();
            let (status, said, same) = fsck_ext4(&crashed(&fixture, crash), options, &dir);
            assert_eq!(status, 0, "{options}: {said}");
            assert_eq!(said, "disk.img: a ByteLog, which the mount replays\n");
            assert!(same, "{options}");
        }
    }
}

#[test]
fn what_cannot_be_replayed_stops_a_boot() {
    let fixture = Fixture::new("-b 4096", 4);
    let mut image = crashed(&fixture, ON);
    let mut area = read_area(&image);
    area[4096 + 100] ^= 1;
    write_area(&mut image, &area);
    let (status, said, same) = fsck_ext4(&image, "-a", &Dir::new());
    assert_eq!(status, 4, "{said}");
    assert!(
        said.contains("damaged") && said.contains("bytelog verify"),
        "{said}"
    );
    assert!(same);
}

#[test]
fn without_a_log_it_is_e2fsck() {
    let fixture = Fixture::new("-b 4096", 4);
    let mut broken = fixture.full.clone();
    // Of the free blocks.
    broken.write(1024 + 12, &[1, 0, 0, 0]);
    for image in [fixture.full.clone(), crashed_on_stock(&fixture), broken] {
        for options in ["-p", "-fn", "-fy", "-fp -C0", "-b 99", "--what"] {
            let dir = Dir::new();
            let (status, said, _) = fsck_ext4(&image, options, &dir);
            let ours = fs::read(dir.path("disk.img")).unwrap();
            fs::write(dir.path("disk.img"), image.whole()).unwrap();
            let (wanted, theirs) = run(Path::new("e2fsck"), options, &dir);
            assert_eq!(status, wanted, "{options}: {said}");
            // Its own name is in what it says of the usage.
            assert_eq!(said, theirs, "{options}");
            let now = fs::read(dir.path("disk.img")).unwrap();
            assert_eq!(ours.len(), now.len());
        }
    }
}

#[test]
fn asked_to_repair_it_exports_first() {
    let fixture = Fixture::new("-b 4096", 4);
    let dir = Dir::new();
    let (status, said, _) = fsck_ext4(&crashed(&fixture, ON), "-fy", &dir);
    assert!(status <= 1, "{status}: {said}");
    assert!(
        said.contains("2 fast commits") && said.contains("Pass 5"),
        "{said}"
    );
    let path = dir.path("disk.img");
    assert_eq!(present(&path, &fixture.files, &dir), [true; 4]);
}
