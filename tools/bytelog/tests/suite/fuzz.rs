// SPDX-License-Identifier: GPL-2.0

//! A thousand damaged filesystems through `info`, `dump`, `verify`, `map` and `export`:
//! an error or an answer, never a panic. Versions 1 and 2, stock logs, full commits, journals
//! in pieces, files that are there already.

use crate::fixture::{le32, open, Fixture};
use crate::forge::{crashed, crashed_on_stock, crashed_on_v1, Crash, ON};
use crate::ram::{Bytes, Ram};
use bytelog::crc::Crc32c;
use bytelog_cli::command::{dump, info, map, verify};
use bytelog_cli::crc::Crc;
use bytelog_cli::error::Error;
use bytelog_cli::export::export;
use bytelog_cli::image::Image;
use bytelog_cli::report::Report;
use fastrand::Rng;

const IMAGES: u64 = 1000;

/// Says, if the test ends with it, which image it was.
pub struct Seed(pub u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Where damage does most.
pub struct Target {
    pub at: u64,
    len: u64,
}

pub fn targets(image: &Bytes) -> Vec<Target> {
    let opened = open(Ram::new(image.clone())).unwrap();
    let block = opened.sb.block_size();
    let descs = (u64::from(opened.sb.first_data_block()) + 1) * block;
    let mut desc = [0; 64];
    image.read(descs, &mut desc);
    let inode = u64::from(le32(&desc, 8)) * block + 7 * u64::from(opened.sb.inode_size());
    let area = opened.journal.sb.maxlen() - opened.journal.sb.fc_blocks();
    let place = |block| opened.journal.place(block).unwrap();
    let target = |at, len| Target { at, len };
    vec![
        target(1024, 1024),
        target(descs, 64),
        target(inode, 160),
        target(opened.journal.sb_at, 256),
        target(place(1), 6 * 4096),
        // Where the area has a block at all: the first that is set aside is not used.
        target(place(area.min(opened.journal.sb.maxlen() - 2) + 1), 128),
        target(
            place(area.min(opened.journal.sb.maxlen() - 3) + 2),
            3 * 1024,
        ),
    ]
}

/// Puts the checksums of the superblocks right, so that damage goes further than they.
pub fn seal(image: &mut Bytes, journal: u64) {
    let mut sb = vec![0; 1024];
    image.read(1024, &mut sb);
    let crc = Crc::update(!0, &sb[..0x3fc]);
    image.write(1024 + 0x3fc, &crc.to_le_bytes());
    image.read(journal, &mut sb);
    sb[0xfc..0x100].fill(0);
    let crc = Crc::update(!0, &sb);
    image.write(journal + 0xfc, &crc.to_be_bytes());
}

pub fn damage(image: &mut Bytes, targets: &[Target], rng: &mut Rng) {
    for _ in 0..rng.usize(1..5) {
        let target = &targets[rng.usize(..targets.len())];
        let at = target.at + rng.u64(..target.len);
        match rng.u8(..4) {
            0 => {
                let mut byte = [0];
                image.read(at, &mut byte);
                image.write(at, &[byte[0] ^ (1 << rng.u8(..8))]);
            }
            1 => image.write(at & !3, &rng.u32(..).to_le_bytes()),
            2 => {
                let word = [0, 1, 0xffff, u32::MAX, 1 << 31][rng.usize(..5)];
                image.write(at & !3, &word.to_be_bytes());
            }
            _ => {
                let mut bytes = vec![0; rng.usize(1..200)];
                rng.fill(&mut bytes);
                image.write(at, &bytes);
            }
        }
    }
}

/// The subcommands that only read.
pub fn look(opened: &Image) -> Result<(), Error> {
    let told = info::info(opened)?.text();
    assert!(!told.is_empty());
    serde_json::to_string(&map::map(opened, &map::Args::default())?).unwrap();
    let args = dump::Args {
        raw: true,
        ..dump::Args::default()
    };
    let _ = dump::dump(opened, &args)?.text();
    let verified = verify::verify(opened)?;
    serde_json::to_string(&verified).unwrap();
    Ok(())
}

/// All the subcommands; how far they got.
fn run(image: &Bytes) -> Result<(), Error> {
    look(&open(Ram::new(image.clone()))?)?;
    for is_copy in [false, true] {
        let ram = Ram::new(image.clone());
        export(&open(ram.clone())?, is_copy, false)?;
        // What it leaves can be read.
        verify::verify(&open(ram)?)?;
    }
    Ok(())
}

#[test]
fn no_image_makes_it_panic() {
    let fixture = Fixture::new("-b 4096", 9);
    let full = Crash {
        full_commits: true,
        ..ON
    };
    let pieces = Fixture::fragmented(9);
    let images = [
        crashed(&fixture, ON),
        crashed(&fixture, full),
        crashed_on_stock(&fixture),
        crashed_on_v1(&fixture, &fixture.empty),
        crashed(&pieces, ON),
        crashed(
            &Fixture {
                empty: fixture.full.clone(),
                ..fixture.clone()
            },
            ON,
        ),
    ];
    let (mut fine, mut refused) = (0, 0);
    for seed in 0..IMAGES {
        let _seed = Seed(seed);
        let mut rng = Rng::with_seed(seed);
        let whole = &images[rng.usize(..images.len())];
        let targets = targets(whole);
        let mut image = whole.clone();
        damage(&mut image, &targets, &mut rng);
        if rng.u8(..4) != 0 {
            seal(&mut image, targets[3].at);
        }
        match run(&image) {
            Ok(()) => fine += 1,
            Err(error) => {
                refused += 1;
                assert!(error.remedy.is_some() || error.offset.is_some(), "{error}");
            }
        }
    }
    assert!(fine > 100 && refused > 100, "{fine} {refused}");
}
