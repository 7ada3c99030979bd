// SPDX-License-Identifier: GPL-2.0

//! Damaged filesystems, and logs that mean harm, through the export that replays: an
//! error or an answer, never a panic, and no write before an error.

use crate::fixture::open;
use crate::forge::with_log;
use crate::fuzz::Seed;
use crate::ram::{Bytes, Ram};
use crate::replayed::mixed;
use bytelog_cli::export::export;
use fastrand::Rng;

/// Exports `image`; whether it could be.
fn run(image: &Bytes) -> bool {
    let ram = Ram::new(image.clone());
    let opened = match open(ram.clone()) {
        Ok(opened) => opened,
        Err(_) => return false,
    };
    let done = export(&opened, false, false);
    if let Err(error) = &done {
        assert!(ram.ops.borrow().is_empty(), "{error}");
        assert!(error.remedy.is_some() || error.offset.is_some(), "{error}");
    }
    done.is_ok()
}

/// Metadata: descriptors, bitmaps, the inode table, directories, trees. Their checksums
/// are not what keeps harm away.
#[test]
fn damaged_metadata() {
    let (tree, log) = mixed("-b 1024");
    let whole = with_log(&tree.before, &log);
    let mut desc = [0; 64];
    whole.read(2048, &mut desc);
    let block = |at: usize| u64::from(crate::fixture::le32(&desc, at)) * 1024;
    let root = crate::tree::raw(&whole, 2);
    let directory = u64::from(crate::fixture::le32(&root, 0x3c)) * 1024;
    let targets = [
        (2048, 64),
        (block(0), 1024),
        (block(4), 1024),
        (block(8) + 256, 256),
        (block(8) + 11 * 256, 8 * 256),
        (directory, 128),
    ];
    let (mut fine, mut refused) = (0, 0);
    for seed in 0..600 {
        let _seed = Seed(seed);
        let mut rng = Rng::with_seed(seed);
        let mut image = whole.clone();
        for _ in 0..rng.usize(1..6) {
            let (at, len) = targets[rng.usize(..targets.len())];
            let at = at + rng.u64(..len);
            match rng.u8(..3) {
                0 => image.write(at, &[rng.u8(..)]),
                1 => {
                    let word = [0, 1, 0xffff, u32::MAX, 1 << 31][rng.usize(..5)];
                    image.write(at & !3, &word.to_le_bytes());
                }
                _ => image.write(at & !1, &rng.u16(..).to_le_bytes()),
            }
        }
        match run(&image) {
            true => fine += 1,
            false => refused += 1,
        }
    }
    assert!(fine > 50 && refused > 50, "{fine} {refused}");
}

/// TLVs with other numbers, other types, other names, left out, twice, or in another
/// order.
#[test]
fn hostile_tlvs() {
    let (tree, log) = mixed("-b 1024");
    let (mut fine, mut refused) = (0, 0);
    for seed in 0..600 {
        let _seed = Seed(seed);
        let mut rng = Rng::with_seed(seed);
        let mut log = log.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..log.len());
            let other = rng.usize(..log.len());
            let len = log[at].len();
            match rng.u8(..7) {
                0 => log.swap(at, other),
                1 => log[at] = log[other].clone(),
                2 => log.push(log[at].clone()),
                3 => {
                    let ino = [0u32, 1, 2, 8, 11, 12, 13, 14, 15, 1024, 1025, u32::MAX];
                    let field = [4, 8][rng.usize(..2)];
                    let ino = ino[rng.usize(..ino.len())].to_le_bytes();
                    log[at][field..field + 4].copy_from_slice(&ino);
                }
                4 => {
                    let field = rng.usize(2..len / 4) * 4 - 4;
                    let word = [0u32, 1, 0xffff, 1 << 31, u32::MAX][rng.usize(..5)];
                    log[at][field.max(4)..field.max(4) + 4].copy_from_slice(&word.to_le_bytes());
                }
                5 => log[at][rng.usize(4..len)] = rng.u8(..),
                _ => _ = log.remove(at),
            }
            if log.is_empty() {
                log.push(tree.dir(2));
            }
        }
        match run(&with_log(&tree.before, &log)) {
            true => fine += 1,
            false => refused += 1,
        }
    }
    assert!(fine > 50 && refused > 50, "{fine} {refused}");
}
