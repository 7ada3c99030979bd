// SPDX-License-Identifier: GPL-2.0

//! Filesystems that a kernel left when the power was cut, recorded with
//! `scripts/vm golden`: what the subcommands say of them, and that `capture` keeps what
//! they need.

use crate::fixture::Dir;
use crate::snapshots::{check_in, run_at};
use ruzstd::decoding::StreamingDecoder;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Unpacks a recorded image to a file with holes.
fn unpack(name: &str, to: &Path) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let packed = File::open(dir.join(format!("{name}.zst.bin"))).unwrap();
    let mut decoder = StreamingDecoder::new(packed).unwrap();
    let mut file = File::create(to).unwrap();
    let mut block = vec![0; 1 << 16];
    loop {
        let got = decoder.read(&mut block).unwrap();
        if got == 0 {
            break;
        }
        if block[..got].iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(got as i64)).unwrap();
        } else {
            file.write_all(&block[..got]).unwrap();
        }
    }
    let len = file.stream_position().unwrap();
    file.set_len(len).unwrap();
}

fn check(name: &str, journal: Option<&str>) {
    let dir = Dir::new();
    unpack(name, &dir.path("disk.img"));
    let mut more = Vec::new();
    let mut copy = vec!["copy.img"];
    if let Some(journal) = journal {
        unpack(journal, &dir.path("journal.img"));
        more.extend(["--journal", "journal.img"]);
        copy.extend(["--journal-to", "copy-journal.img"]);
    }
    check_in(&format!("golden-{name}"), &dir, &more);
    // Another capture says the same, and is no larger.
    let said = run_at(
        &dir.path("disk.img"),
        &["capture"],
        &[&copy[..], &more].concat(),
    );
    assert!(said.ends_with("exit 0\n"), "{said}");
    let size = |name: &str| fs::metadata(dir.path(name)).unwrap().blocks() * 512;
    assert!(size("copy.img") <= 1 << 20, "{}", size("copy.img"));
    fs::rename(dir.path("copy.img"), dir.path("disk.img")).unwrap();
    if journal.is_some() {
        fs::rename(dir.path("copy-journal.img"), dir.path("journal.img")).unwrap();
    }
    check_in(&format!("golden-{name}"), &dir, &more);
    let said = run_at(&dir.path("disk.img"), &["export", "--dry-run"], &more);
    assert!(said.contains("would be"), "{said}");
}

#[test]
fn contiguous() {
    check("contiguous", None);
}

#[test]
fn fragmented() {
    check("fragmented", None);
}

#[test]
fn external() {
    check("external", Some("external-journal"));
}
