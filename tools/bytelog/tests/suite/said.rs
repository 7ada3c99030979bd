// SPDX-License-Identifier: GPL-2.0

//! What is said is so: of transactions, areas, stock logs, other filesystems.

use crate::fixture::{Dir, Fixture};
use crate::forge::{crashed, crashed_on_stock, on_stock_with_full_commits, ON};
use crate::snapshots::{run, run_at};
use std::fs;

#[test]
fn transactions_that_are_in_the_journal() {
    let fixture = Fixture::new("-b 4096", 3);
    let said = run(&on_stock_with_full_commits(&fixture), &["verify"]);
    assert!(
        said.contains("2 full commits to write back first\nno fast commit to replay\n"),
        "{said}"
    );
    let said = run(&fixture.empty, &["verify"]);
    assert!(said.contains("\nnothing to replay\n"), "{said}");
}

#[test]
fn a_filesystem_without_what_bytelog_needs() {
    for (options, area, usable) in [
        (
            "-b 4096 -O ^has_journal",
            "journal               none",
            "no: the filesystem has no journal",
        ),
        (
            "-b 4096 -O ^fast_commit",
            "fast-commit area      none",
            "no: no fast_commit feature",
        ),
        (
            "-b 4096",
            "61440 bytes from block",
            "on persistent memory: an image file has no DAX",
        ),
        (
            "-b 4096 -O quota",
            "61440 bytes from block",
            "quota: what changes the usage is committed in full",
        ),
    ] {
        let image = Fixture::new(options, 0).empty;
        let said = run(&image, &["info"]);
        assert!(
            said.contains(area) && said.contains(usable),
            "{options}: {said}"
        );
        assert!(said.ends_with("exit 0\n"), "{options}: {said}");
        let said = run(&image, &["--json", "info"]);
        assert!(
            said.contains("\"obstacles\": [") && said.ends_with("exit 0\n"),
            "{said}"
        );
    }
}

#[test]
fn a_log_in_stock_format() {
    let image = crashed_on_stock(&Fixture::new("-b 4096", 3));
    let said = run(&image, &["verify"]);
    assert!(
        said.contains("transaction 7: 1 fast commit, 1 block, every checksum right"),
        "{said}"
    );
    let whole = run(&image, &["dump"]);
    for line in [
        "commit 1 at 0\n",
        "  tag HEAD, transaction 7\n",
        "  tag TAIL at ",
        "\"file0002\"",
    ] {
        assert!(whole.contains(line), "{line}: {whole}");
    }
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, image.whole()).unwrap();
    assert_eq!(run_at(&path, &["dump", "--commit", "1"], &[]), whole);
    let said = run_at(&path, &["dump", "--commit", "2"], &[]);
    assert!(
        said.contains("there is no fast commit 2; there is 1 commit"),
        "{said}"
    );
}

#[test]
fn a_journal_that_is_inside() {
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, crashed(&Fixture::new("-b 4096", 1), ON).whole()).unwrap();
    for command in ["info", "verify", "export", "fsck"] {
        let said = run_at(&path, &[command, "--journal", "disk.img"], &[]);
        assert!(
            said.contains("its journal is in the filesystem; leave --journal out")
                && said.ends_with("exit 16\n"),
            "{command}: {said}"
        );
    }
}

#[test]
fn what_is_no_ext4() {
    let dir = Dir::new();
    let path = dir.path("disk.img");
    for (at, magic, what, remedy) in [
        (0, &b"LUKS\xba\xbe"[..], "a LUKS volume", "cryptsetup"),
        (
            512,
            b"LABELONE",
            "a physical volume of LVM",
            "logical volume",
        ),
        (
            0,
            b"XFSB",
            "an XFS filesystem",
            "name the device that has the ext4",
        ),
        (0, b"QFI\xfb", "a qcow2 image", "qemu-img convert"),
        (510, b"\x55\xaa", "a disk with partitions", "--partition"),
        (
            99,
            b"",
            "the superblock's magic is not there",
            "name the device",
        ),
    ] {
        let mut bytes = vec![0; 1 << 18];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        fs::write(&path, bytes).unwrap();
        let said = run_at(&path, &["info"], &[]);
        assert!(
            said.contains(what) && said.contains(remedy) && said.ends_with("exit 8\n"),
            "{what}: {said}"
        );
        assert!(
            said.contains("--partition") == (what == "a disk with partitions"),
            "{said}"
        );
    }
}
