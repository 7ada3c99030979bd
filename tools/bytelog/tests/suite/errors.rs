// SPDX-License-Identifier: GPL-2.0

//! Errors have their cause, a way out, and the exit status that is documented.

use crate::fixture::{Dir, Fixture, SIZE};
use crate::forge::{crashed, ON};
use crate::snapshots::run_at;
use bytelog_cli::error::Error;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::process::Command;

/// Each command says `cause` of `disk.img` and ends with `status`.
fn all_say(dir: &Dir, cause: &str, status: i32) {
    let all = [
        &["info"][..],
        &["dump"],
        &["verify"],
        &["map"],
        &["export"],
        &["export", "--to", "copy.img"],
        &["fsck"],
        &["disable"],
    ];
    for command in all {
        let said = run_at(&dir.path("disk.img"), command, &[]);
        // What is no filesystem with ByteLog is e2fsck's to say.
        let cause = match command {
            ["fsck"] if said.contains("e2fsck 1.") => "",
            _ => cause,
        };
        let status = match said.contains("e2fsck 1.") {
            true => 8,
            false => status,
        };
        assert!(
            said.contains(cause) && said.ends_with(&format!("exit {status}\n")),
            "{command:?}: {said}"
        );
        assert!(!dir.path("copy.img").exists());
    }
}

#[test]
fn files_that_are_no_filesystem() {
    let dir = Dir::new();
    let path = dir.path("disk.img");
    for (content, cause) in [
        (Vec::new(), "the file is empty"),
        (
            b"not a filesystem\n".to_vec(),
            "too short for an ext4 filesystem",
        ),
        (vec![0; 1 << 20], "no ext4 filesystem"),
        (
            fs::read(env!("CARGO_BIN_EXE_bytelog")).unwrap(),
            "no ext4 filesystem",
        ),
    ] {
        fs::write(&path, content).unwrap();
        all_say(&dir, cause, 8);
    }
}

#[test]
fn what_is_no_file() {
    let dir = Dir::new();
    let path = dir.path("disk.img");
    all_say(&dir, "No such file", 8);
    fs::create_dir(&path).unwrap();
    all_say(&dir, "it is a directory, not an image or a block device", 8);
    fs::remove_dir(&path).unwrap();
    // Nobody writes to it: to open it would wait.
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    all_say(&dir, "it is a pipe, not an image", 8);
    let said = run_at(&path, &["info", "--partition", "1"], &[]);
    assert!(said.contains("it is a pipe"), "{said}");
    fs::remove_file(&path).unwrap();
    symlink("/dev/null", &path).unwrap();
    all_say(&dir, "it is a character device, not an image", 8);
}

/// Tests may run as root, who is denied nothing.
#[test]
fn permission_has_a_way_out() {
    let error = Error::open("/dev/pmem0", &ErrorKind::PermissionDenied.into());
    assert!(error.to_string().ends_with("; run it as root"), "{error}");
}

#[test]
fn a_file_that_is_cut_short() {
    let fixture = Fixture::new("-b 4096", 5);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    let mut image = crashed(&fixture, ON).whole();
    image.truncate(SIZE as usize / 2);
    fs::write(&path, image).unwrap();
    let said = format!(
        "the filesystem has {} blocks ({SIZE} bytes), the file has only {} bytes; it is cut short, \
         or --offset or --partition is wrong",
        SIZE / 4096,
        SIZE / 2
    );
    all_say(&dir, &said, 4);
}

#[test]
fn what_a_dump_does_not_find() {
    let fixture = Fixture::new("-b 4096", 7);
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, crashed(&fixture, ON).whole()).unwrap();
    for (args, cause) in [
        (
            ["--tid", "99"],
            "no log of transaction 99 here, it is of 7; leave --tid out",
        ),
        (
            ["--commit", "99"],
            "there is no fast commit 99; there are 4 commits",
        ),
        (["--commit", "0"], "there is no fast commit 0"),
    ] {
        let said = run_at(&path, &["dump"], &args);
        assert!(
            said.contains(cause) && said.ends_with("exit 8\n"),
            "{args:?}: {said}"
        );
    }
    let said = run_at(&path, &["dump"], &["--tid", "7", "--commit", "4"]);
    assert!(
        said.contains("commit 4") && said.ends_with("exit 0\n"),
        "{said}"
    );
    fs::write(&path, fixture.empty.whole()).unwrap();
    let said = run_at(&path, &["dump"], &["--tid", "99"]);
    assert!(
        said.contains("no log of transaction 99 here;") && said.ends_with("exit 8\n"),
        "{said}"
    );
}
