// SPDX-License-Identifier: GPL-2.0
//! Directories and special files that no filesystem has: a DIR of what is no directory,
//! an INODE that makes one of a file, names in files, and trees that are none.

use crate::cases::{Case, Expect, Kind};
use crate::log::{Log, KNOWN};
use crate::tlv_cases::{change, tlvs};
use fastrand::Rng;

/// Kinds for both versions.
pub(crate) const BOTH: &[Kind] = &[dir_length];

/// Kinds that need feature bits, or are about them.
pub(crate) const V2: &[Kind] = &[
    without_bit,
    dir_of_no_directory,
    directory_of_a_file,
    special_of_a_file,
    name_in_no_directory,
    below_itself,
    without_links,
];

/// `S_IFDIR`, and the types of special files.
const DIRECTORY: u16 = 0o040_000;
const SPECIAL: [u16; 5] = [0o010_000, 0o020_000, 0o060_000, 0o120_000, 0o140_000];

/// Offsets in an INODE, header included: of its mode, its links and its flags.
const MODE: usize = 8;
const LINKS: usize = MODE + 26;
const FLAGS: usize = MODE + 32;

/// A TLV.
fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    let len = value.len() as u16;
    [&tag.to_le_bytes(), &len.to_le_bytes(), value].concat()
}

fn dir(ino: u32, len: usize, rng: &mut Rng) -> Vec<u8> {
    let mut value = ino.to_le_bytes().to_vec();
    value.resize_with(len.max(4), || rng.u8(..));
    value.truncate(len);
    tlv(11, &value)
}

fn entry(tag: u16, parent: u32, ino: u32, name: &str) -> Vec<u8> {
    let numbers = [parent, ino].map(u32::to_le_bytes).concat();
    tlv(tag, &[&numbers, name.as_bytes()].concat())
}

/// An INODE of a directory.
fn directory(ino: u32, links: u16) -> Vec<u8> {
    let mut value = ino.to_le_bytes().to_vec();
    value.resize(4 + 160, 0);
    value[4..6].copy_from_slice(&(DIRECTORY | 0o755).to_le_bytes());
    value[4 + 26..4 + 28].copy_from_slice(&links.to_le_bytes());
    value[4 + 0x64] = 1;
    value[4 + 0x80] = 32;
    tlv(6, &value)
}

/// Puts TLVs in front of a record's.
fn with(log: &Log, rng: &mut Rng, name: String, expect: Expect, more: &[Vec<u8>]) -> Case {
    let mut log = log.clone();
    if !log.is_v1() {
        log.opener.features = KNOWN;
    }
    let at = rng.usize(..log.records.len());
    let rec = &mut log.records[at];
    rec.payload = [more.concat(), std::mem::take(&mut rec.payload)].concat();
    rec.measure();
    Case::new(format!("{name} in record {at}"), expect, log)
}

/// An inode that the log has something of: a file, most of the time.
fn some_inode(log: &Log, rng: &mut Rng) -> u32 {
    let of = |payload: &[u8]| -> Vec<u32> {
        let all = tlvs(payload).into_iter().filter(|(_, tag, _)| *tag == 6);
        all.filter_map(|(at, ..)| payload.get(at + 4..at + 8)?.try_into().ok())
            .map(u32::from_le_bytes)
            .collect()
    };
    let all: Vec<u32> = log
        .records
        .iter()
        .flat_map(|rec| of(&rec.payload))
        .collect();
    match all.is_empty() {
        true => 12,
        false => all[rng.usize(..all.len())],
    }
}

fn dir_length(log: &Log, rng: &mut Rng) -> Case {
    let len = [0, 4, 12, 24, 27, 29, 32, 64][rng.usize(..8)];
    let more = [dir(2, len, rng)];
    with(
        log,
        rng,
        format!("a DIR of {len} bytes"),
        Expect::Refused,
        &more,
    )
}

/// Contents that the opener does not name.
fn without_bit(log: &Log, rng: &mut Rng) -> Case {
    let kinds = [dir(2, 28, rng), directory(12, 2)];
    let more = [kinds[rng.usize(..2)].clone()];
    let mut case = with(
        log,
        rng,
        "a directory without its bit".into(),
        Expect::Refused,
        &more,
    );
    case.log.opener.features = [0, 2][rng.usize(..2)];
    case
}

fn dir_of_no_directory(log: &Log, rng: &mut Rng) -> Case {
    let file = some_inode(log, rng);
    let ino = [0, 1, 3, 7, 8, file, file, 4097, u32::MAX][rng.usize(..9)];
    let more = [dir(ino, 28, rng)];
    with(
        log,
        rng,
        format!("DIR of inode {ino}"),
        Expect::Nonsense,
        &more,
    )
}

/// Another type, of an inode that the log has.
fn of_type(log: &Log, rng: &mut Rng, name: &str, mode: u16, flags: Option<u32>) -> Case {
    change(log, rng, Expect::Nonsense, |payload, _, _| {
        for (at, tag, _) in tlvs(payload) {
            if tag != 6 {
                continue;
            }
            payload[at + MODE..at + MODE + 2].copy_from_slice(&(mode | 0o644).to_le_bytes());
            if let Some(flags) = flags {
                payload[at + FLAGS..at + FLAGS + 4].copy_from_slice(&flags.to_le_bytes());
            }
        }
        name.to_owned()
    })
}

fn directory_of_a_file(log: &Log, rng: &mut Rng) -> Case {
    of_type(log, rng, "files become directories", DIRECTORY, None)
}

fn special_of_a_file(log: &Log, rng: &mut Rng) -> Case {
    let mode = SPECIAL[rng.usize(..SPECIAL.len())];
    let name = format!("files become of mode {mode:#o}");
    of_type(log, rng, &name, mode, Some(0))
}

fn name_in_no_directory(log: &Log, rng: &mut Rng) -> Case {
    let (parent, ino) = (some_inode(log, rng), some_inode(log, rng));
    let parent = [parent, 0, 8, u32::MAX, 999][rng.usize(..5)];
    let tag = rng.u16(3..=5);
    let more = [entry(tag, parent, ino, "in-no-directory")];
    with(
        log,
        rng,
        format!("a name in inode {parent}"),
        Expect::Nonsense,
        &more,
    )
}

/// Directories that are below themselves, or below nothing.
fn below_itself(log: &Log, rng: &mut Rng) -> Case {
    let (one, two) = (900, 901);
    let made = [
        directory(one, 3),
        entry(3, 2, one, "one"),
        directory(two, 3),
        entry(3, one, two, "two"),
    ];
    let loops = [
        entry(4, two, one, "loop"),
        entry(4, one, one, "self"),
        entry(4, two, 2, "root"),
        entry(5, 2, one, "one"),
        entry(4, 2, two, "another-name"),
    ];
    let last = loops[rng.usize(..loops.len())].clone();
    let more = [&made[..], &[last]].concat();
    with(
        log,
        rng,
        "directories that are no tree".into(),
        Expect::Nonsense,
        &more,
    )
}

/// What ext4 is not to log.
fn without_links(log: &Log, rng: &mut Rng) -> Case {
    change(log, rng, Expect::Nonsense, |payload, _, _| {
        for (at, tag, _) in tlvs(payload) {
            if tag == 6 {
                payload[at + LINKS..at + LINKS + 2].fill(0);
            }
        }
        "inodes without links".to_owned()
    })
}
