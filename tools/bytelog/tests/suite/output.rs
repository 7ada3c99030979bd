// SPDX-License-Identifier: GPL-2.0

//! What becomes of words that cannot be written.

use crate::fixture::{Dir, Fixture};
use crate::forge::{crashed, read_area, write_area, ON};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;

const COMMANDS: [&str; 7] = [
    "--help",
    "--version",
    "help export",
    "completions bash",
    "info disk.img",
    "--json verify disk.img",
    "--json fsck disk.img -- -fn",
];

/// Exit status and errors of the command with `stdout`.
fn run(dir: &Dir, line: &str, stdout: OwnedFd) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bytelog"))
        .args(line.split_whitespace())
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .current_dir(dir.path("."))
        .stdout(stdout)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), said)
}

fn full() -> OwnedFd {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// One whose reader has gone away.
fn broken() -> OwnedFd {
    UnixStream::pair().unwrap().0.into()
}

#[test]
fn a_full_device_is_an_error() {
    let dir = Dir::new();
    fs::write(
        dir.path("disk.img"),
        Fixture::new("-b 4096", 2).full.whole(),
    )
    .unwrap();
    for line in COMMANDS {
        let (status, said) = run(&dir, line, full());
        assert!(
            status == 8 && said.contains("standard output: No space left"),
            "{line}: {status} {said}"
        );
    }
}

#[test]
fn a_reader_that_has_gone_away_is_none() {
    let dir = Dir::new();
    let fixture = Fixture::new("-b 4096", 5);
    fs::write(dir.path("disk.img"), fixture.full.whole()).unwrap();
    for line in &COMMANDS[..6] {
        assert_eq!(run(&dir, line, broken()), (0, String::new()), "{line}");
    }
    // The status is the command's own.
    let mut image = crashed(&fixture, ON);
    let mut area = read_area(&image);
    area[4096 + 100] ^= 1;
    write_area(&mut image, &area);
    fs::write(dir.path("disk.img"), image.whole()).unwrap();
    for line in ["verify disk.img", "--json verify disk.img"] {
        assert_eq!(run(&dir, line, broken()), (4, String::new()), "{line}");
    }
}
