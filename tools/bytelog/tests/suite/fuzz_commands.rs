// SPDX-License-Identifier: GPL-2.0

//! No input makes any subcommand panic: each through the command line, over files that
//! are damaged.

use crate::fixture::{Dir, Fixture, SIZE};
use crate::forge::{crashed, crashed_on_stock, crashed_on_v1, Crash, ON};
use crate::fuzz::{damage, seal, targets, Seed};
use crate::partition::{disk_with, Table};
use crate::ram::Bytes;
use crate::snapshots::run;
use bytelog_cli::cli::Cli;
use clap::Parser;
use fastrand::Rng;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

const IMAGES: u64 = 150;
const TABLES: u64 = 200;

/// Every subcommand that has to do with a device; `DISK` is that.
const COMMANDS: &[&str] = &[
    "info DISK",
    "--json info DISK",
    "dump DISK",
    "dump --raw --tid 7 --commit 2 DISK",
    "--json dump --tid 4294967295 DISK",
    "verify DISK",
    "--json verify DISK",
    "map DISK",
    "map --scale 64 DISK",
    "map --svg DIR/map.svg DISK",
    "export --dry-run DISK",
    "export --discard-log --dry-run DISK",
    "export --up-to-damage --to DIR/copy.img DISK",
    "capture DISK DIR/capture.img",
    "info DIR/capture.img",
    "--json fsck DISK -- -n",
    "enable DISK",
    "disable DISK",
    "export --up-to-damage DISK",
    "export DISK",
    "export --discard-log DISK",
    "verify DISK",
    "disable DISK",
];

/// Runs the command; its exit status and errors.
fn call(line: &str, disk: &Path, dir: &Dir) -> (u8, String) {
    let words = line.split(' ').map(|word| {
        word.replace("DISK", &disk.display().to_string())
            .replace("DIR", &dir.path("").display().to_string())
    });
    let cli = Cli::try_parse_from(["bytelog".to_owned()].into_iter().chain(words)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = cli.run(&mut out, &mut err).code();
    (status, String::from_utf8(err).unwrap())
}

/// Images of several makes, whole.
fn images() -> Vec<Bytes> {
    let fixture = Fixture::new("-b 4096", 9);
    let full_commits = true;
    let mut all = vec![
        crashed(&fixture, ON),
        crashed(&fixture, Crash { full_commits, ..ON }),
        crashed_on_stock(&fixture),
        crashed_on_v1(&fixture, &fixture.empty),
        fixture.full.clone(),
        crashed(&Fixture::fragmented(9), ON),
    ];
    for options in [
        "-b 4096 -J size=4,fast_commit_size=4",
        "-b 4096 -O ^fast_commit,^metadata_csum",
        "-b 1024",
        "-b 1024 -O ^extent,^64bit,^metadata_csum -I 128",
    ] {
        all.push(Fixture::new(options, 0).empty);
    }
    all
}

#[test]
fn no_image_makes_a_subcommand_panic() {
    let images = images();
    let (mut fine, mut refused) = (0, 0);
    for seed in 0..IMAGES {
        let _seed = Seed(seed);
        let mut rng = Rng::with_seed(seed);
        let dir = Dir::new();
        let whole = &images[seed as usize % images.len()];
        let mut image = whole.clone();
        // As they are, too.
        if seed >= images.len() as u64 {
            let targets = targets(whole);
            damage(&mut image, &targets, &mut rng);
            if rng.u8(..4) != 0 {
                seal(&mut image, targets[3].at);
            }
        }
        let disk = dir.path("disk.img");
        fs::write(&disk, image.whole()).unwrap();
        for line in COMMANDS {
            match call(line, &disk, &dir) {
                (0, _) => fine += 1,
                (_, said) => {
                    refused += 1;
                    assert!(!said.is_empty() || !line.contains("export"), "{line}");
                }
            }
        }
    }
    assert!(fine > 500 && refused > 250, "{fine} {refused}");
}

/// The first bytes of a disk: an MBR, a GPT, and anything.
#[test]
fn no_partition_table_makes_it_panic() {
    for seed in 0..TABLES {
        let _seed = Seed(seed);
        let mut rng = Rng::with_seed(seed);
        let dir = Dir::new();
        let kind = [Table::Mbr, Table::Gpt512, Table::Gpt4096][rng.usize(..3)];
        let file = disk_with(&dir, kind);
        for _ in 0..rng.usize(1..6) {
            let at = match kind {
                Table::Mbr => 0x1be + rng.u64(..64),
                _ => rng.u64(..2 * 4096 + 512),
            };
            file.write_all_at(&[rng.u8(..), rng.u8(..)], at).unwrap();
        }
        if rng.bool() {
            file.write_all_at(&[0x55, 0xaa], 0x1fe).unwrap();
        }
        let disk = dir.path("disk.img");
        for number in ["0", "1", "2", "5", "6", "256", "4294967295"] {
            call(&format!("info --partition {number} DISK"), &disk, &dir);
        }
    }
}

/// A place beyond the end, and numbers at the end of their range.
#[test]
fn no_offset_makes_it_panic() {
    let dir = Dir::new();
    let disk = dir.path("disk.img");
    fs::write(&disk, Fixture::new("-b 4096", 0).empty.whole()).unwrap();
    for offset in [
        1,
        1023,
        SIZE - 1,
        SIZE,
        SIZE + 1,
        i64::MAX as u64,
        u64::MAX - 1024,
        u64::MAX,
    ] {
        for command in ["info", "export --dry-run", "fsck"] {
            let (status, said) = call(&format!("{command} --offset {offset} DISK"), &disk, &dir);
            assert!(status >= 4, "{offset}: {status} {said}");
        }
    }
}

#[test]
fn an_area_without_a_block() {
    let fixture = Fixture::new("-b 4096 -J size=4,fast_commit_size=4", 0);
    let said = run(&fixture.empty, &["map"]);
    assert!(
        said.contains("exit 0") && said.contains("a character is 64 bytes"),
        "{said}"
    );
}
