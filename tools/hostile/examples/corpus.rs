// SPDX-License-Identifier: GPL-2.0
//! Writes the corpus of the fuzzers anew: a few inputs that get far, of which all
//! others are mutations. Run it in tools/hostile.

#![allow(clippy::unwrap_used)]

use bytelog::crc::Crc32c;
use bytelog::features::Features;
use bytelog::geometry::BlockSize;
use bytelog::opener::Opener;
use bytelog_hostile::fuzz::{BLOCK, TID, UUID};
use bytelog_hostile::log::{Log, Opener as Fields, Rec, COMMITTED};
use bytelog_hostile::Crc;
use std::fs;
use std::path::Path;

fn tlv(tag: u16, len: usize) -> Vec<u8> {
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.extend((len as u16).to_le_bytes());
    bytes.extend((0..len).map(|i| i as u8 | 1));
    bytes
}

/// A log of `commits` fast commits in small blocks, without the zeros at its end.
fn log(commits: u32, parts: usize, v1: bool) -> Vec<u8> {
    let opener = Fields::new(TID, 7);
    let mut records = Vec::new();
    for commit in 1..=commits {
        for part in 0..parts {
            let payload = [tlv(6, 140), tlv(1, 16), tlv(2, 12), tlv(3, 8 + 5)].concat();
            let mut rec = Rec::new(&opener, records.len() as u64, commit, payload);
            if part + 1 < parts {
                rec.flags = COMMITTED;
            }
            records.push(rec);
        }
    }
    let log = Log {
        opener,
        records,
        uuid: UUID,
    };
    let log = if v1 { log.to_v1() } else { log };
    let big = log.write(64 * 4096);
    // The records, moved to where a log starts in small blocks, and an opener that
    // has the window there.
    let word = |at: usize| u64::from_le_bytes(big[at..at + 8].try_into().unwrap());
    let moved = 4096 - BLOCK as u64;
    let opener = Opener {
        features: Features::NONE,
        tid: TID,
        nonce: 7,
        head: word(24) - moved,
        tail: BLOCK as u64,
        seq: word(40),
        crc: u32::from_le_bytes(big[48..52].try_into().unwrap()),
    };
    let mut area = vec![0; BLOCK];
    let size = BlockSize::new(BLOCK as u32).unwrap();
    area[..128].copy_from_slice(&opener.encode::<Crc>(size));
    area.extend(&big[4096..]);
    let end = area.iter().rposition(|&byte| byte != 0).unwrap_or(0);
    area.truncate(end + 1);
    area
}

fn main() {
    let write = |target: &str, name: &str, parts: &[&[u8]]| {
        let dir = Path::new("fuzz/corpus").join(target);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(name).with_extension("bin"), parts.concat()).unwrap();
    };
    // As it is, and with checksums that are put right after every mutation.
    for (how, kind) in [(0u8, "plain"), (1, "sealed")] {
        for (commits, parts, v1) in [(1, 1, false), (4, 1, false), (3, 2, false), (1, 3, true)] {
            let version = if v1 { 1 } else { 2 };
            let name = format!("v{version}-{commits}x{parts}-{kind}");
            write("reader", &name, &[&[how], &log(commits, parts, v1)]);
        }
        let opener = &log(1, 1, false)[..68];
        write("opener", &format!("v2-{kind}"), &[&[how], opener]);
        write(
            "opener",
            &format!("v1-{kind}"),
            &[&[how], &log(1, 3, true)[..68]],
        );
    }
    // A log in stock format, where the opener would be.
    let stock = [
        &[1u8, 9, 0, 8, 0, 0, 0, 0, 0][..],
        &TID.to_le_bytes(),
        &tlv(6, 140),
    ]
    .concat();
    write("reader", "stock", &[&stock]);
    assert_eq!(Crc::update(!0, b""), !0);
    write("translate", "nothing", &[]);
    write("translate", "one", &[&tlv(3, 12)]);
    let all: Vec<u8> = (1..=6)
        .flat_map(|tag| tlv(tag, [0, 16, 12, 20, 9, 263, 164][tag as usize]))
        .collect();
    write("translate", "each", &[&all]);
    write(
        "translate",
        "full",
        &[&tlv(3, 12), &tlv(6, BLOCK - 8), &tlv(4, 9)],
    );
    // To the last byte of the first block, which leaves no room for a PAD.
    write("translate", "edge", &[&tlv(6, BLOCK - 12 - 4), &tlv(3, 12)]);
    write("translate", "many", &[&all.repeat(8)]);
}
