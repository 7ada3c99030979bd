// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What ext4's replay cannot apply is not committed fast.

use crate::common::*;
use bytelog::error::WriteError;
use bytelog::tlv::Tag;

/// An INODE TLV of inode `ino` with this mode and link count.
fn raw_inode(ino: u32, mode: u16, links: u16) -> Vec<u8> {
    let mut tlv = inode(160, 7);
    tlv[4..8].copy_from_slice(&ino.to_le_bytes());
    tlv[8..10].copy_from_slice(&mode.to_le_bytes());
    tlv[34..36].copy_from_slice(&links.to_le_bytes());
    tlv
}

fn creat_of(ino: u32) -> Vec<u8> {
    let mut tlv = creat(5, 7);
    tlv[8..12].copy_from_slice(&ino.to_le_bytes());
    tlv
}

const FILE: u16 = 0o100_644;
const DIR: u16 = 0o040_755;

fn outcome(tlvs: &[Vec<u8>]) -> Result<u32, WriteError<Broken>> {
    let mut ram = Ram::new(4);
    let mut log = writer(4, 1, 2).only_replayable();
    gather(&mut log, &mut ram, tlvs)?;
    let done = log.commit(&mut ram)?;
    Ok(done.ordinal)
}

#[test]
fn an_inode_without_links_is_refused() {
    let refused = Err(WriteError::NotReplayable(Tag::Inode));
    assert_eq!(outcome(&[raw_inode(12, FILE, 0)]), refused);
    assert_eq!(outcome(&[creat(3, 1), raw_inode(12, DIR, 0)]), refused);
    assert_eq!(outcome(&[raw_inode(12, FILE, 1)]), Ok(1));
    assert_eq!(outcome(&[raw_inode(12, FILE, 256)]), Ok(1));
}

#[test]
fn a_created_directory_is_refused() {
    let refused = Err(WriteError::NotReplayable(Tag::Creat));
    assert_eq!(outcome(&[raw_inode(12, DIR, 2), creat_of(12)]), refused);
    let ranges_between = [raw_inode(12, DIR, 2), add_range(1), creat_of(12)];
    assert_eq!(outcome(&ranges_between), refused);
    assert_eq!(outcome(&[raw_inode(12, FILE, 1), creat_of(12)]), Ok(1));
    // The directory in which a file is created.
    assert_eq!(outcome(&[raw_inode(2, DIR, 3), creat_of(12)]), Ok(1));
}

#[test]
fn the_commit_after_a_refused_one_is_as_usual() {
    let mut ram = Ram::new(4);
    let mut log = writer(4, 1, 2).only_replayable();
    gather(&mut log, &mut ram, &[raw_inode(12, FILE, 0)]).unwrap();
    assert!(log.commit(&mut ram).is_err());
    assert_eq!(
        commit(&mut log, &mut ram, &[raw_inode(12, FILE, 1)]).ordinal,
        1
    );
    let (found, commits) = read(&ram.bytes, 1).unwrap();
    assert_eq!((found.commits, commits.len()), (1, 1));
}

#[test]
fn without_the_rules_everything_is_taken() {
    let mut ram = Ram::new(4);
    let mut log = writer(4, 1, 2);
    assert_eq!(
        commit(&mut log, &mut ram, &[raw_inode(12, FILE, 0)]).ordinal,
        1
    );
}
