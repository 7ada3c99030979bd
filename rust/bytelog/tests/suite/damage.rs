// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The reader on version 2 logs: seals, the damage rule, stale content.

use crate::common::*;
use bytelog::error::{Damage, Fault, ReadError};
use bytelog::features::Features;
use bytelog::reader::Found;

/// A log of `tid` 1, nonce 2, over `under`; gives the image, its commits and
/// where each ends.
pub fn log_over(under: Vec<u8>, commits: &[Vec<Vec<u8>>]) -> (Vec<u8>, Vec<u64>) {
    let blocks = under.len() as u32 / BLOCK;
    let mut ram = Ram::over(under);
    let mut log = writer(blocks, 1, 2);
    let mut ends = vec![log.head()];
    for tlvs in commits {
        commit(&mut log, &mut ram, tlvs);
        ends.push(log.head());
    }
    (ram.bytes, ends)
}

pub fn four_commits() -> Vec<Vec<Vec<u8>>> {
    vec![
        vec![creat(9, 1), inode(128, 2)],
        vec![add_range(3)],
        (0..40).map(|i| creat(200, i)).collect(),
        vec![inode(256, 5), creat(1, 6)],
    ]
}

/// An area of 16 blocks with the log of `tid` 1 that an older life made with `nonce`,
/// its opener wiped as at take-over.
fn older_life(nonce: u32, commits: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut ram = Ram::new(16);
    let mut log = writer(16, 1, nonce);
    for tlvs in commits {
        commit(&mut log, &mut ram, tlvs);
    }
    ram.bytes[..128].fill(0);
    ram.bytes
}

pub fn blank(blocks: usize) -> Vec<u8> {
    vec![0; blocks * BLOCK as usize]
}

/// A reader that stopped at the first seal, as the RFC's does at the first TAIL,
/// would find one of these.
#[test]
fn every_sealed_commit_is_read() {
    let (image, ends) = log_over(blank(16), &four_commits());
    let (log, commits) = read(&image, 1).unwrap();
    let written: Vec<_> = four_commits().iter().map(|c| c.concat()).collect();
    assert_eq!(commits, written);
    assert_eq!((log.found, log.commits, log.records), (Found::V2, 4, 6));
    assert_eq!(log.head, ends[4]);
    let stop = log.stop.unwrap();
    assert_eq!((stop.offset, stop.reason), (ends[4], Fault::Magic));
}

#[test]
fn nothing_is_found_where_nothing_is() {
    assert_eq!(read(&blank(4), 1).unwrap().0.found, Found::Empty);
    let (image, _) = log_over(blank(16), &four_commits());
    assert_eq!(read(&image, 2).unwrap().0.found, Found::Stale { tid: 1 });
    // Another filesystem's UUID: the chain does not start.
    let other = read_area(&Area::new(&image), 1, &[7; 16], BLOCK);
    assert!(matches!(other, Err(ReadError::Damaged { .. })));
    let (image, _) = log_over(blank(16), &four_commits()[..1]);
    let other = read_area(&Area::new(&image), 1, &[7; 16], BLOCK);
    assert_eq!(other.unwrap().0.commits, 0);

    let short = [0; 4096];
    assert!(matches!(read(&short, 1), Err(ReadError::Geometry(_))));
    let area = Area::new(&image);
    let odd = read_area(&area, 1, &UUID, 3000);
    assert!(matches!(odd, Err(ReadError::Geometry(_))));
}

#[test]
fn a_stock_log_is_told_as_such() {
    let mut image = blank(4);
    image[..16].copy_from_slice(&[9, 0, 8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 6, 0, 132, 0]);
    let (log, commits) = read(&image, 1).unwrap();
    assert_eq!((log.found, log.commits), (Found::Stock, 0));
    assert!(commits.is_empty());
}

/// Any changed byte in a commit that another follows is damage; in the last one
/// it looks like a torn commit, and costs that one. Not so its ordinal: one that
/// cannot be there is no torn one's.
#[test]
fn every_byte_counts() {
    let (image, ends) = log_over(blank(16), &four_commits());
    for number in 0..4 {
        for at in ends[number]..ends[number + 1] {
            let mut bytes = image.clone();
            bytes[at as usize] ^= 0x10;
            match read(&bytes, 1) {
                Err(ReadError::Damaged { offset, damage }) => {
                    let ordinal = (40..44).contains(&(at - ends[number])) || number < 3;
                    assert!(ordinal && ends[number] <= offset && offset <= at);
                    let Damage::Beyond { sealed, commit, .. } = damage else {
                        panic!("{damage}");
                    };
                    assert_eq!(
                        (sealed as usize, commit as usize >= number + 2),
                        (number, true)
                    );
                }
                Ok((log, commits)) => {
                    assert_eq!((number, log.commits, commits.len()), (3, 3, 3));
                    assert_eq!(log.head, ends[3]);
                    assert!(!(40..44).contains(&(at - ends[3])));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn a_lost_opener_is_damage_once_a_second_commit_was_made() {
    for (count, damaged) in [(1, false), (2, true), (4, true)] {
        let (image, _) = log_over(blank(16), &four_commits()[..count]);
        for at in 0..68 {
            let mut bytes = image.clone();
            bytes[at] ^= 0x10;
            match (at, read(&bytes, 1)) {
                // The anchor's tag: ext4 gets it, and fails.
                (12..=13, result) => assert_eq!(result.unwrap().0.found, Found::Stock),
                (_, Ok((log, _))) => {
                    assert_eq!((log.found, log.commits), (Found::Torn, 0));
                    assert!(!damaged);
                }
                (_, Err(ReadError::Damaged { .. })) => assert!(damaged),
                (_, Err(error)) => panic!("{error}"),
            }
        }
        let mut bytes = image.clone();
        bytes[..16].fill(0);
        match read(&bytes, 1) {
            Ok((log, _)) => assert!(!damaged && log.found == Found::Empty),
            Err(_) => assert!(damaged),
        }
    }
}

/// Clearing a poisoned line leaves zeros. They cannot be told from what the first commit of a
/// mount over an older life leaves, but from an empty area.
#[test]
fn a_log_behind_an_opener_of_zeros_is_told() {
    for (count, expected) in [
        (0, Found::Empty),
        (1, Found::Empty),
        (2, Found::Headless),
        (4, Found::Headless),
    ] {
        let (mut image, _) = log_over(blank(16), &four_commits()[..count]);
        image[..4096].fill(0);
        let (log, commits) = read(&image, 1).unwrap();
        assert_eq!((log.found, log.commits, commits.len()), (expected, 0, 0));
        // Of another transaction, or filesystem, there is no log.
        assert_eq!(read(&image, 2).unwrap().0.found, Found::Empty);
        let other = read_area(&Area::new(&image), 1, &[9; 16], BLOCK).unwrap();
        assert_eq!(other.0.found, Found::Empty);
    }
}

/// The tid and the nonce to look for: the records and the TAIL's CRC have them too.
#[test]
fn a_lost_identity_is_damage_once_a_second_commit_was_made() {
    // Longer logs of the same transaction lie underneath.
    let longer: Vec<_> = (0..60).map(|i| vec![creat(9, i)]).collect();
    for under in [blank(16), older_life(9, &longer)] {
        for count in [1, 2, 4] {
            let (image, ends) = log_over(under.clone(), &four_commits()[..count]);
            let check = |bytes: &[u8]| match read(bytes, 1) {
                Ok((log, _)) => assert!(count == 1 && log.found == Found::Torn),
                Err(ReadError::Damaged { offset, damage }) => {
                    let Damage::Beyond { sealed, commit, .. } = damage else {
                        panic!("{damage}");
                    };
                    assert_eq!((offset, sealed, commit), (4096, 0, 2));
                    assert!(count > 1);
                }
                Err(error) => panic!("{error}"),
            };
            for bit in 16 * 8..24 * 8 {
                let mut bytes = image.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                check(&bytes);
            }
            for word in [[0; 8], [0xff; 8], [1, 0, 0, 0, 8, 0, 0, 0]] {
                let mut bytes = image.clone();
                bytes[16..24].copy_from_slice(&word);
                check(&bytes);
                // Any later commit's record will do.
                bytes[ends[0] as usize..ends[1] as usize].fill(0);
                check(&bytes);
            }
        }
    }
}

/// Every mix of a new opener's words and of what it overwrites, zeros or the opener
/// of the transaction before, its commit not there or in part, over logs that older
/// lives of the same filesystem made in the same transaction: the same commits to
/// the byte and more, or others.
#[test]
fn a_torn_opener_over_older_lives_is_not_damage() {
    let same = four_commits();
    let other: Vec<_> = (0..60)
        .map(|i| vec![creat(9, i + 1), inode(128, 2)])
        .collect();
    for older in [&same, &other] {
        let wiped = older_life(9, older);
        let mut before = Ram::over(wiped.clone());
        commit(&mut writer(16, 0, 7), &mut before, &[creat(9, 1)]);
        for under in [wiped, before.bytes] {
            let (new, ends) = log_over(under.clone(), &same[..1]);
            let torn = |words: usize, lines: usize| {
                let mut image = under.clone();
                for word in (0..9).filter(|word| (words >> word) & 1 != 0) {
                    let word = word * 8..word * 8 + 8;
                    image[word.clone()].copy_from_slice(&new[word]);
                }
                let record = 4096..4096 + 64 * lines;
                image[record.clone()].copy_from_slice(&new[record]);
                image
            };
            for words in 0..1 << 9 {
                for lines in 0..=(ends[1] as usize - 4096) / 64 {
                    let image = torn(words, lines);
                    let (log, _) = read(&image, 1).unwrap();
                    assert!(
                        log.commits == 0 || image[..ends[1] as usize] == new[..ends[1] as usize]
                    );
                }
            }
            // The old log is there to be found.
            let mut image = under.clone();
            image[16..24].copy_from_slice(&[1, 0, 0, 0, 9, 0, 0, 0]);
            assert!(matches!(read(&image, 1), Err(ReadError::Damaged { .. })));
        }
    }
}

/// No search for a transaction that the opener does not name, or not often enough.
#[test]
fn an_opener_of_another_transaction_is_not_looked_behind() {
    let (image, _) = log_over(blank(16), &four_commits());
    for (lost, searched) in [
        (&[][..], false),
        (&[8][..], false),
        (&[60], false),
        (&[8, 60], true),
        (&[8, 16], true),
        (&[16], true),
    ] {
        let mut bytes = image.clone();
        for &at in lost {
            // Tid 2 instead of 1.
            bytes[at] ^= 3;
        }
        let area = Area::new(&bytes);
        let log = read_area(&area, 2, &UUID, BLOCK).unwrap().0;
        assert_eq!(log.commits, 0);
        assert_eq!(area.read.get() > 128, searched, "{lost:?}");
    }
}

#[test]
fn an_unsealed_commit_is_dropped() {
    let mut ram = Ram::new(16);
    let mut log = writer(16, 1, 2);
    commit(&mut log, &mut ram, &[creat(9, 1)]);
    gather(&mut log, &mut ram, &four_commits()[2]).unwrap();
    assert!(log.is_gathering());
    let (found, commits) = read(&ram.bytes, 1).unwrap();
    assert_eq!(commits, [creat(9, 1)]);
    // It is where the walk ended that differs.
    assert_eq!(found.head, log.head());
    assert!(found.stop.unwrap().offset > found.head);
}

#[test]
fn the_anchor_must_agree_with_the_first_commit() {
    let (image, _) = log_over(blank(16), &four_commits()[2..]);
    for (at, byte) in [(24, 0x40), (40, 3), (48, 0xff)] {
        let mut bytes = image.clone();
        bytes[at] ^= byte;
        crate::v1::seal_opener(&mut bytes);
        let result = read(&bytes, 1);
        assert!(matches!(
            result,
            Err(ReadError::Damaged {
                damage: Damage::Anchor,
                ..
            })
        ));
    }
    let mut bytes = image;
    bytes[4] = 4;
    crate::v1::seal_opener(&mut bytes);
    assert_eq!(
        read(&bytes, 1),
        Err(ReadError::Features(Features::from_bits(4)))
    );
    assert_eq!(read(&bytes, 9).unwrap().0.found, Found::Stale { tid: 1 });
}

/// Longer logs lie underneath: of an older transaction, and of the same one in
/// an older life of the same filesystem. A commit is cut off at every line.
#[test]
fn older_logs_underneath_are_neither_read_nor_damage() {
    let old: Vec<Vec<_>> = (0..60).map(|i| vec![creat(9, i), add_range(i)]).collect();
    for (tid, nonce) in [(0, 9), (1, 9)] {
        let mut ram = Ram::new(16);
        let mut log = writer(16, tid, nonce);
        for tlvs in &old {
            commit(&mut log, &mut ram, tlvs);
        }
        let under = ram.bytes;
        let commits: Vec<Vec<_>> = (0..9)
            .map(|i| vec![creat(9, 100 + i), add_range(i)])
            .collect();
        let (image, ends) = log_over(under.clone(), &commits);
        for line in (ends[0]..ends[9]).step_by(64) {
            // Only the commit with this line is torn, and nothing follows it.
            let number = ends.iter().rposition(|&end| end <= line).unwrap();
            let mut torn = under.clone();
            let end = ends[number + 1] as usize;
            torn[..end].copy_from_slice(&image[..end]);
            let line = line as usize;
            torn[line..line + 64].copy_from_slice(&under[line..line + 64]);
            let (found, read) = read(&torn, 1).unwrap();
            let kept: Vec<_> = commits[..number].iter().map(|c| c.concat()).collect();
            assert_eq!((found.commits as usize, read), (number, kept));
        }
    }
}
