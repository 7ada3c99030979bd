// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Version 1 logs: the anchor's window, exactly.

use crate::common::*;
use crate::v1::*;
use bytelog::error::{Damage, Fault, ReadError};
use bytelog::reader::Found;

fn records() -> Vec<V1Record> {
    vec![
        V1Record::single(creat(9, 1)),
        V1Record::run(&[inode(256, 2), add_range(3), creat(60, 4)]),
        V1Record::single(add_range(5)),
    ]
}

fn image(tail: usize) -> Vec<u8> {
    let mut area = vec![0; 8 * BLOCK as usize];
    write_v1(&mut area, 7, tail, &records());
    area
}

fn damage(area: &[u8]) -> Damage {
    match read(area, 7) {
        Err(ReadError::Damaged { damage, .. }) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_window_is_read() {
    for tail in [4096, 4096 + 640, 8192] {
        let area = image(tail);
        let (log, commits) = read(&area, 7).unwrap();
        assert_eq!(log.found, Found::V1);
        assert_eq!((log.commits, log.records, log.stop), (1, 3, None));
        let payloads: Vec<u8> = records().iter().flat_map(|r| r.payload.clone()).collect();
        assert_eq!(commits, [payloads]);
    }
    assert_eq!(
        read(&image(4096), 8).unwrap().0.found,
        Found::Stale { tid: 7 }
    );
}

#[test]
fn what_is_beyond_the_window_does_not_count() {
    let mut area = image(4096);
    let (log, _) = read(&area, 7).unwrap();
    // The next record of the tid, valid in itself.
    let mut other = vec![0; 8 * BLOCK as usize];
    write_v1(&mut other, 7, 4096, &records());
    let head = log.head as usize;
    area[head..head + 128].copy_from_slice(&other[4096..4224]);
    area[head + 32] = 3;
    seal_v1(&mut area[head..]);
    assert_eq!(read(&area, 7).unwrap().0, log);
}

#[test]
fn an_empty_window_is_an_empty_log() {
    let mut area = vec![0; 8 * BLOCK as usize];
    write_v1(&mut area, 7, 4096, &[]);
    let (log, commits) = read(&area, 7).unwrap();
    assert_eq!((log.found, log.commits), (Found::V1, 0));
    assert!(commits.is_empty());
    area[40] = 1;
    seal_opener(&mut area);
    assert_eq!(damage(&area), Damage::Anchor);
}

/// Sets bytes of the opener and makes its CRC good.
fn opener_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut area = image(4096);
    area[at..at + bytes.len()].copy_from_slice(bytes);
    seal_opener(&mut area);
    area
}

#[test]
fn the_anchor_must_agree() {
    let (log, _) = read(&image(4096), 7).unwrap();
    assert_eq!(damage(&opener_with(40, &[2])), Damage::Anchor);
    assert_eq!(damage(&opener_with(48, &[0, 0])), Damage::Anchor);
    let shorter = (log.head - 128).to_le_bytes();
    assert_eq!(damage(&opener_with(24, &shorter)), Damage::Anchor);
    let cut = (log.head - 64).to_le_bytes();
    assert_eq!(
        damage(&opener_with(24, &cut)),
        Damage::Record(Fault::Bounds)
    );
    let longer = (log.head + 64).to_le_bytes();
    assert_eq!(
        damage(&opener_with(24, &longer)),
        Damage::Record(Fault::Magic)
    );
    let beyond = (9 * 4096u64).to_le_bytes();
    assert_eq!(damage(&opener_with(24, &beyond)), Damage::Window);
    assert_eq!(damage(&opener_with(32, &[1])), Damage::Window);
    assert_eq!(damage(&opener_with(32, &[0, 0])), Damage::Window);
    let backwards = (log.head + 64).to_le_bytes();
    assert_eq!(damage(&opener_with(32, &backwards)), Damage::Window);
    // The gaps say nothing.
    assert!(read(&opener_with(20, &[1, 2, 3, 4]), 7).is_ok());
    assert!(read(&opener_with(52, &[1, 2, 3, 4]), 7).is_ok());
}

/// Sets bytes of the second record's header and makes its CRC good.
fn second_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut area = image(4096);
    let record = 4096 + 128;
    area[record + at..record + at + bytes.len()].copy_from_slice(bytes);
    seal_v1(&mut area[record..]);
    area
}

#[test]
fn records_must_keep_the_rules() {
    let fault = |at, bytes: &[u8]| match damage(&second_with(at, bytes)) {
        Damage::Record(fault) => fault,
        other => panic!("{other:?}"),
    };
    assert!(read(&second_with(32, &[1]), 7).is_ok());
    assert_eq!(fault(4, &[2]), Fault::Version(2));
    assert_eq!(fault(8, &[8]), Fault::Tid(8));
    assert_eq!(fault(12, &[6, 0]), Fault::RecordTag(6));
    assert_eq!(fault(12, &[7, 0]), Fault::RecordTag(7));
    assert_eq!(fault(14, &[0]), Fault::Flags(0));
    assert_eq!(fault(14, &[3]), Fault::Flags(3));
    assert_eq!(fault(20, &[0]), Fault::PayloadCrc);
    assert_eq!(fault(24, &[0]), Fault::RecordLen(256));
    assert_eq!(fault(32, &[2]), Fault::Seq(2));
    assert_eq!(fault(40, &[1]), Fault::Reserved);
    assert_eq!(fault(44, &[1]), Fault::Reserved);
    assert_eq!(fault(63, &[1]), Fault::Reserved);

    // Not the header's CRC itself.
    let mut area = image(4096);
    area[4096 + 128 + 28] ^= 1;
    assert_eq!(damage(&area), Damage::Record(Fault::HeaderCrc));

    let mut area = image(4096);
    area[4096 + 64 + 21] = 1;
    assert_eq!(damage(&area), Damage::Record(Fault::Padding));
}

#[test]
fn a_lost_first_record_is_damage_and_not_a_torn_commit() {
    let mut area = image(4096);
    area[4096] ^= 1;
    assert_eq!(damage(&area), Damage::Anchor);
    area[4096..4224].fill(0);
    assert_eq!(damage(&area), Damage::Anchor);
}

/// A version 1 log of an older transaction lies where a version 2 log's first
/// commit was torn.
#[test]
fn stale_version_1_records_are_not_damage() {
    let mut area = image(4096);
    let mut ram = Ram::over(area.clone());
    commit(&mut writer(8, 8, 2), &mut ram, &[creat(200, 1)]);
    area[..128].copy_from_slice(&ram.bytes[..128]);
    let (log, commits) = read(&area, 8).unwrap();
    assert_eq!((log.found, log.commits), (Found::V2, 0));
    assert!(commits.is_empty());
}

/// The same of the same transaction: a version 2 header that has been begun tells.
#[test]
fn version_1_records_beneath_a_torn_header_are_not_damage() {
    let mut area = image(4096);
    let mut ram = Ram::over(area.clone());
    commit(&mut writer(8, 7, 2), &mut ram, &[creat(200, 1)]);
    let torn = &ram.bytes[4096..4160];
    area[..128].copy_from_slice(&ram.bytes[..128]);
    for words in 1..8 {
        let mut area = area.clone();
        area[4096..4096 + words * 8].copy_from_slice(&torn[..words * 8]);
        let (log, commits) = read(&area, 7).unwrap();
        assert_eq!((log.found, log.commits), (Found::V2, 0));
        assert!(commits.is_empty());
    }
    // Without it, the anchor may be that of the version 1 log.
    assert!(matches!(damage(&area), Damage::Record(_)));
}
