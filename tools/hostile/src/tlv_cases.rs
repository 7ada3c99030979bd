// SPDX-License-Identifier: GPL-2.0
//! TLVs that are none, and TLVs that say what no filesystem is like.

use crate::cases::{Case, Expect, Kind};
use crate::log::{Log, KNOWN};
use fastrand::Rng;

/// Kinds for both versions.
pub(crate) const BOTH: &[Kind] = &[
    bad_tag,
    bad_length,
    cut_short,
    wrong_inode,
    wrong_value,
    wrong_value,
];

/// Offsets of the TLVs in a run, with tag and length.
pub(crate) fn tlvs(payload: &[u8]) -> Vec<(usize, u16, u16)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(tl) = payload.get(at..at + 4) {
        let (tag, len) = (
            u16::from_le_bytes([tl[0], tl[1]]),
            u16::from_le_bytes([tl[2], tl[3]]),
        );
        found.push((at, tag, len));
        at += 4 + usize::from(len);
    }
    found
}

/// Changes one TLV of one record, with the lengths of the record put right.
pub(crate) fn change(
    log: &Log,
    rng: &mut Rng,
    expect: Expect,
    what: impl Fn(&mut Vec<u8>, (usize, u16, u16), &mut Rng) -> String,
) -> Case {
    let mut log = log.clone();
    if expect == Expect::Nonsense && !log.is_v1() {
        // What an INODE turns into may need them.
        log.opener.features = KNOWN;
    }
    let at = rng.usize(..log.records.len());
    let rec = &mut log.records[at];
    let all = tlvs(&rec.payload);
    let tlv = all[rng.usize(..all.len())];
    let name = what(&mut rec.payload, tlv, rng);
    rec.measure();
    Case::new(format!("{name} in record {at}"), expect, log)
}

fn bad_tag(log: &Log, rng: &mut Rng) -> Case {
    change(log, rng, Expect::Refused, |payload, (at, ..), rng| {
        let tag = [0u16, 7, 8, 9, 10, 12, 0x100, 0xffff][rng.usize(..8)];
        payload[at..at + 2].copy_from_slice(&tag.to_le_bytes());
        format!("TLV of tag {tag:#x}")
    })
}

fn bad_length(log: &Log, rng: &mut Rng) -> Case {
    change(log, rng, Expect::Refused, |payload, (at, tag, _), rng| {
        // Lengths that no TLV has, and one of an inode that does not end here.
        let len = match tag {
            6 => [0u16, 4, 131, 0xffff][rng.usize(..4)],
            _ => [0u16, 1, 0x1000, 0xffff][rng.usize(..4)],
        };
        payload[at + 2..at + 4].copy_from_slice(&len.to_le_bytes());
        format!("TLV of tag {tag} with {len} bytes")
    })
}

fn cut_short(log: &Log, rng: &mut Rng) -> Case {
    change(log, rng, Expect::Refused, |payload, (at, tag, len), rng| {
        payload.truncate(at + rng.usize(1..4 + usize::from(len)));
        format!("TLV of tag {tag} cut short")
    })
}

/// Inode numbers that are no file's: none, the reserved ones, one beyond the end.
fn wrong_inode(log: &Log, rng: &mut Rng) -> Case {
    change(log, rng, Expect::Nonsense, |payload, (at, tag, _), rng| {
        let ino = [0u32, 1, 2, 3, 7, 8, 10, 4097, 1 << 20, u32::MAX][rng.usize(..10)];
        // A directory entry has its directory first.
        let field = at
            + 4
            + if matches!(tag, 3..=5) {
                4 * rng.usize(..2)
            } else {
                0
            };
        payload[field..field + 4].copy_from_slice(&ino.to_le_bytes());
        format!("inode {ino} in a TLV of tag {tag}")
    })
}

/// Anything in a TLV's value: extents where the metadata is, names with slashes,
/// inodes of no kind.
fn wrong_value(log: &Log, rng: &mut Rng) -> Case {
    change(
        log,
        rng,
        Expect::Nonsense,
        |payload, (at, tag, len), rng| {
            let value = &mut payload[at + 4..at + 4 + usize::from(len)];
            match rng.u8(..3) {
                0 => {
                    let word = [0u32, 1, 0xff, 0x8000, 0xffff, 1 << 31, u32::MAX][rng.usize(..7)];
                    let field = rng.usize(..value.len() / 4) * 4;
                    value[field..field + 4].copy_from_slice(&word.to_le_bytes());
                }
                1 => {
                    let from = rng.usize(4..value.len());
                    rng.fill(&mut value[from..]);
                }
                _ => value[rng.usize(..usize::from(len))] = [0, b'/', b'.', 0xff][rng.usize(..4)],
            }
            format!("nonsense in a TLV of tag {tag}")
        },
    )
}
