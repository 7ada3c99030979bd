// SPDX-License-Identifier: GPL-2.0

//! Nothing is written to what another program holds, by either kind of lock.

use crate::fixture::{Dir, Fixture};
use crate::snapshots::run_at;
use nix::fcntl::{fcntl, FcntlArg};
use nix::libc;
use std::fs::{self, File};

/// As QEMU has it: a lock for reading on the byte that says what it does to the file.
fn hold(file: &File, kind: i32, byte: i64) {
    let lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
}

#[test]
fn of_open_file_descriptions() {
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, Fixture::new("-b 4096", 0).empty.whole()).unwrap();
    let before = fs::read(&path).unwrap();
    let held = File::options().read(true).write(true).open(&path).unwrap();
    for (kind, byte) in [(libc::F_RDLCK, 101), (libc::F_WRLCK, 5)] {
        hold(&held, kind, byte);
        for command in [
            &["enable"][..],
            &["export"],
            &["export", "--to", "copy.img"],
            &["disable"],
        ] {
            let said = run_at(&path, command, &[]);
            assert!(
                said.contains("another program is using it") && said.ends_with("exit 8\n"),
                "{command:?}: {said}"
            );
        }
        assert!(run_at(&path, &["info"], &[]).ends_with("exit 0\n"));
        hold(&held, libc::F_UNLCK, byte);
    }
    assert!(fs::read(&path).unwrap() == before);
    // One who only reads is in nobody's way when a copy is made.
    hold(&held, libc::F_RDLCK, 100);
    assert!(run_at(&path, &["export", "--to", "copy.img"], &[]).ends_with("exit 0\n"));
    assert!(run_at(&path, &["enable"], &[]).ends_with("exit 8\n"));
}
