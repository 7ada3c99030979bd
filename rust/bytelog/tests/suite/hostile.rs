// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Version 2 logs that no writer and no power cut leaves behind.

use crate::common::*;
use crate::damage::{blank, four_commits, log_over};
use bytelog::crc::{chain_seed, Crc32c};
use bytelog::error::{Damage, Fault, ReadError};
use bytelog::record::{NewRecord, HEADER_LEN};

/// Puts a record with good CRCs at `at`; gives its header CRC.
fn put(image: &mut [u8], at: u64, new: NewRecord, payload: &[u8], seed: u32) -> u32 {
    let new = NewRecord {
        payload_len: payload.len(),
        payload_crc: Crc::update(!0, payload),
        ..new
    };
    let mut header = [0; HEADER_LEN];
    let crc = new.encode_to::<Crc>(seed, &mut header).unwrap();
    let at = at as usize;
    image[at..at + 64].copy_from_slice(&header);
    let end = (at + 64 + payload.len()).min(image.len());
    image[at + 64..end].copy_from_slice(&payload[..end - at - 64]);
    crc
}

/// Records that continue the chain and yet are none a writer writes.
#[test]
fn an_intact_record_that_breaks_a_rule_is_damage() {
    let (image, ends) = log_over(blank(4), &[vec![creat(9, 1)]]);
    let chain = u32::from_le_bytes(image[4096 + 28..4096 + 32].try_into().unwrap());
    let good = NewRecord {
        tid: 1,
        nonce: 2,
        seq: 1,
        commit: 2,
        sealed: true,
        payload_len: 0,
        payload_crc: 0,
    };
    let fault = |new: NewRecord, payload: &[u8]| {
        let mut bytes = image.clone();
        put(&mut bytes, ends[1], new, payload, chain);
        match read(&bytes, 1) {
            Ok((log, _)) => Err(log.commits),
            Err(ReadError::Damaged {
                offset,
                damage: Damage::Record(fault),
            }) => {
                assert_eq!(offset, ends[1]);
                Ok(fault)
            }
            Err(error) => panic!("{error}"),
        }
    };
    let tlv = creat(3, 3);
    assert_eq!(fault(good, &tlv), Err(2));
    assert_eq!(fault(NewRecord { tid: 2, ..good }, &tlv), Ok(Fault::Tid(2)));
    assert_eq!(
        fault(NewRecord { nonce: 3, ..good }, &tlv),
        Ok(Fault::Nonce(3))
    );
    for seq in [0, 2] {
        assert_eq!(fault(NewRecord { seq, ..good }, &tlv), Ok(Fault::Seq(seq)));
    }
    for commit in [0, 1, 3, u32::MAX] {
        assert_eq!(
            fault(NewRecord { commit, ..good }, &tlv),
            Ok(Fault::Commit(commit))
        );
    }
    for bad in [tlv[..14].to_vec(), crate::common::tlv(7, 8, 0)] {
        assert!(matches!(fault(good, &bad), Ok(Fault::Tlv(_))));
    }
    // A TLV that no block could take, in an area of smaller blocks.
    let large = [creat(255, 1), inode(4096 - 12, 1)].concat();
    assert_eq!(fault(good, &large), Err(2));
    let larger = inode(4096 - 11, 1);
    assert!(matches!(fault(good, &larger), Ok(Fault::Tlv(_))));
    let beyond = vec![1; 3 * 4096];
    assert_eq!(fault(good, &beyond), Ok(Fault::Bounds));
}

/// What stands beyond the log counts only with tid, nonce, ordinal and payload.
#[test]
fn a_stray_record_beyond_is_not_damage() {
    let (image, ends) = log_over(blank(4), &[vec![creat(9, 1)]]);
    let stray = NewRecord {
        tid: 1,
        nonce: 2,
        seq: 7,
        commit: 3,
        sealed: true,
        payload_len: 0,
        payload_crc: 0,
    };
    let at = ends[1] + 640;
    let damaged = |new: NewRecord, spoil: usize| {
        let mut bytes = image.clone();
        put(&mut bytes, at, new, &creat(3, 1), 99);
        bytes[at as usize + 64] ^= spoil as u8;
        let beyond = Damage::Beyond {
            sealed: 1,
            commit: new.commit,
            at,
        };
        match read(&bytes, 1) {
            Ok((log, _)) => {
                assert_eq!(log.commits, 1);
                false
            }
            Err(ReadError::Damaged { offset, damage }) => {
                assert_eq!((offset, damage), (ends[1], beyond));
                true
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert!(damaged(stray, 0));
    let commit = u32::MAX;
    assert!(damaged(NewRecord { commit, ..stray }, 0));
    assert!(!damaged(stray, 1));
    for commit in [0, 1, 2] {
        assert!(!damaged(NewRecord { commit, ..stray }, 0));
    }
    assert!(!damaged(NewRecord { tid: 2, ..stray }, 0));
    assert!(!damaged(NewRecord { nonce: 3, ..stray }, 0));
}

#[test]
fn within_a_commit_the_ordinal_stays() {
    let mut image = log_over(blank(4), &[vec![creat(9, 1)]]).0;
    let new = |seq, commit, sealed| NewRecord {
        tid: 1,
        nonce: 2,
        seq,
        commit,
        sealed,
        payload_len: 0,
        payload_crc: 0,
    };
    let chain = u32::from_le_bytes(image[4124..4128].try_into().unwrap());
    let chain = put(&mut image, 4224, new(1, 2, false), &creat(3, 1), chain);
    let mut jumped = image.clone();
    put(&mut jumped, 4352, new(2, 3, true), &creat(3, 1), chain);
    assert!(matches!(
        read(&jumped, 1),
        Err(ReadError::Damaged {
            offset: 4352,
            damage: Damage::Record(Fault::Commit(3))
        })
    ));
    put(&mut image, 4352, new(2, 2, true), &creat(3, 1), chain);
    assert_eq!(read(&image, 1).unwrap().0.commits, 2);
}

#[test]
fn poison_is_an_error_of_the_area() {
    let (image, ends) = log_over(blank(16), &four_commits());
    for line in [0, 64, 4096, 4160, ends[2], ends[4]] {
        let mut area = Area::new(&image);
        area.poison = Some(line);
        let result = read_area(&area, 1, &UUID, BLOCK);
        assert!(matches!(result, Err(ReadError::Area { offset, .. }) if offset <= line));
    }
}

/// Nothing of the log is in such a line. The place of its next record could have been.
#[test]
fn poison_outside_the_log_does_not_matter() {
    let (image, ends) = log_over(blank(16), &four_commits());
    for line in [ends[4] + 64, ends[4] + 4096, image.len() as u64 - 64] {
        let mut area = Area::new(&image);
        area.poison = Some(line);
        let (log, commits) = read_area(&area, 1, &UUID, BLOCK).unwrap();
        assert_eq!((log.commits, commits.len()), (4, 4));
        // What else is there is looked at as before.
        let mut damaged = image.clone();
        damaged[ends[1] as usize + 20] ^= 1;
        let mut area = Area::new(&damaged);
        area.poison = Some(line);
        let result = read_area(&area, 1, &UUID, BLOCK);
        assert!(matches!(result, Err(ReadError::Damaged { .. })));
    }
}

/// 64 MiB in which every line is a header of a later commit whose payload takes
/// long to check.
#[test]
fn reading_takes_time_in_proportion_to_the_area() {
    let mut image = blank(16384);
    let (start, _) = log_over(blank(4), &four_commits()[..1]);
    image[..4608].copy_from_slice(&start[..4608]);
    let new = NewRecord {
        tid: 1,
        nonce: 2,
        seq: 9,
        commit: 3,
        sealed: true,
        payload_len: 65536,
        payload_crc: 0x1234_5678,
    };
    let mut header = [0; HEADER_LEN];
    new.encode_to::<Crc>(0, &mut header).unwrap();
    for line in image[4608..].chunks_exact_mut(64) {
        line.copy_from_slice(&header);
    }
    let area = Area::new(&image);
    let result = read_area(&area, 1, &UUID, BLOCK);
    assert!(matches!(
        result,
        Err(ReadError::Damaged {
            damage: Damage::Beyond { commit: 3, .. },
            ..
        })
    ));
    assert!(area.read.get() <= 3 * image.len() as u64);

    // Smallest records, each valid, to the end of the area.
    let mut image = blank(4096);
    let mut at = 4096;
    let mut chain = chain_seed::<Crc>(&UUID, 1, 2);
    let mut seq = 0;
    let tlv = crate::common::tlv(2, 12, 1);
    image[..128].copy_from_slice(&log_over(blank(2), &[vec![tlv.clone()]]).0[..128]);
    while at < image.len() as u64 {
        let new = NewRecord {
            seq,
            commit: seq as u32 + 1,
            ..new
        };
        chain = put(&mut image, at, new, &tlv, chain);
        seq += 1;
        at += 128;
    }
    let area = Area::new(&image);
    let (log, commits) = read_area(&area, 1, &UUID, BLOCK).unwrap();
    assert_eq!((u64::from(log.commits), commits.len() as u64), (seq, seq));
    assert!(area.read.get() <= 2 * image.len() as u64);
}
