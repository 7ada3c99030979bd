// SPDX-License-Identifier: GPL-2.0

//! What `info`, `dump` and `verify` print, as text and as JSON, against files.
//! `UPDATE_EXPECT=1 cargo test -p bytelog-cli` writes them anew.

use crate::fixture::{Dir, Fixture};
use crate::forge::{crashed, crashed_on_v1, read_area, write_area, ON};
use crate::ram::Bytes;
use expect_test::expect_file;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs the command on an image; all that it says, with its exit status.
pub fn run(image: &Bytes, args: &[&str]) -> String {
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, image.whole()).unwrap();
    run_at(&path, args, &[])
}

/// The same on `disk.img` in its place, with more arguments behind it.
pub fn run_at(path: &Path, args: &[&str], more: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bytelog"))
        .args(args)
        .arg("disk.img")
        .args(more)
        .current_dir(path.parent().unwrap())
        .output()
        .unwrap();
    format!(
        "{}{}exit {}\n",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        output.status.code().unwrap()
    )
}

/// Compares what all subcommands say of an image with a file.
pub fn check(name: &str, image: &Bytes) {
    let dir = Dir::new();
    fs::write(dir.path("disk.img"), image.whole()).unwrap();
    check_in(name, &dir, &[]);
}

/// The same of `disk.img` in a directory, with more arguments.
pub fn check_in(name: &str, dir: &Dir, more: &[&str]) {
    let path = dir.path("disk.img");
    let mut all = "# SPDX-License-Identifier: GPL-2.0\n\n".to_owned();
    for args in [
        &["info"][..],
        &["verify"],
        &["dump"],
        &["map"],
        &["--json", "info"],
        &["--json", "verify"],
    ] {
        let line = [args, &["disk.img"], more].concat().join(" ");
        all += &format!("$ bytelog {line}\n{}\n", run_at(&path, args, more));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/expected/{name}.txt"));
    expect_file![file].assert_eq(&all);
}

fn small() -> Fixture {
    Fixture::new("-b 4096", 5)
}

#[test]
fn whole() {
    check("whole", &crashed(&small(), ON));
}

#[test]
fn fragmented() {
    check("fragmented", &crashed(&Fixture::fragmented(5), ON));
}

#[test]
fn version_1() {
    let fixture = small();
    check("v1", &crashed_on_v1(&fixture, &fixture.empty));
    let fixture = Fixture::fragmented(5);
    check("v1-fragmented", &crashed_on_v1(&fixture, &fixture.empty));
}

#[test]
fn clean() {
    check("clean", &small().empty);
}

#[test]
fn torn_end() {
    let mut image = crashed(&small(), ON);
    let mut area = read_area(&image);
    let last = area.windows(4).rposition(|bytes| bytes == b"FCBL").unwrap();
    area[last + 100] ^= 1;
    write_area(&mut image, &area);
    check("torn", &image);
}

#[test]
fn damaged() {
    let mut image = crashed(&small(), ON);
    let mut area = read_area(&image);
    area[4096 + 100] ^= 1;
    write_area(&mut image, &area);
    check("damaged", &image);
}
