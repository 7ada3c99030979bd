// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The writer: what it does to the medium and when it refuses.

use crate::common::*;
use bytelog::error::WriteError;
use bytelog::features::Features;
use bytelog::geometry::Geometry;
use bytelog::reader::Found;
use bytelog::tlv::TlvFault;
use bytelog::writer::{
    Commit, Contents, FileData, LogWriter, Persistence, StagingTooShort, MIN_STAGING,
};

type Error = WriteError<Broken>;

#[test]
fn a_synchronous_commit_is_copy_write_back_fence() {
    let mut ram = Ram::new(4);
    let mut log = writer(4, 1, 2);
    let done = commit(&mut log, &mut ram, &[creat(8, 1)]);
    assert_eq!(
        ram.ops,
        [
            Op::CopyIn(4096, 128),
            Op::CopyIn(0, 128),
            Op::WriteBack(0, 128),
            Op::WriteBack(4096, 128),
            Op::Fence
        ]
    );
    assert_eq!(
        done,
        Commit {
            ordinal: 1,
            records: 1,
            payload_bytes: 20,
            log_bytes: 128,
            describes_data: false,
            opener_written: true,
        }
    );
    ram.ops.clear();
    let done = commit(&mut log, &mut ram, &[inode(256, 1), add_range(2)]);
    assert_eq!(
        ram.ops,
        [
            Op::Fence,
            Op::CopyIn(4224, 384),
            Op::WriteBack(4224, 384),
            Op::Fence
        ]
    );
    assert!(done.describes_data && !done.opener_written);
    assert_eq!(
        (done.ordinal, done.log_bytes, done.payload_bytes),
        (2, 384, 284)
    );
}

#[test]
fn an_asynchronous_commit_flushes_once_or_with_data_twice() {
    let mut ram = Ram::new(4);
    ram.persistence = Persistence::NeedsFlush;
    let mut log = writer(4, 1, 2);
    commit(&mut log, &mut ram, &[creat(8, 1)]);
    ram.ops.clear();
    commit(&mut log, &mut ram, &[creat(8, 1)]);
    assert_eq!(
        ram.ops,
        [
            Op::CopyIn(4224, 128),
            Op::WriteBack(4224, 128),
            Op::Fence,
            Op::Flush
        ]
    );
    ram.ops.clear();
    commit(&mut log, &mut ram, &[add_range(1)]);
    assert_eq!(ram.ops[0], Op::Flush);
    assert_eq!(ram.ops[3..], [Op::Fence, Op::Flush]);
}

#[test]
fn file_data_elsewhere_is_flushed_once_where_it_is_described_or_owed() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    commit(&mut log, &mut ram, &[creat(8, 1)]);
    let flushes = |owed, tlvs: &[Vec<u8>], log: &mut _, ram: &mut Ram| {
        ram.file_data = FileData::Apart { owed };
        ram.ops.clear();
        commit(log, ram, tlvs);
        let all = ram.ops.iter().filter(|&op| *op == Op::FlushData).count();
        // Before the seal, or not at all.
        assert_eq!(usize::from(ram.ops[0] == Op::FlushData), all);
        // A log on a synchronous device needs nothing besides.
        assert_eq!(ram.ops.iter().filter(|&op| *op == Op::Flush).count(), 0);
        all
    };
    assert_eq!(flushes(false, &[creat(8, 1)], &mut log, &mut ram), 0);
    assert_eq!(flushes(true, &[creat(8, 1)], &mut log, &mut ram), 1);
    assert_eq!(flushes(false, &[add_range(1)], &mut log, &mut ram), 1);
    assert_eq!(flushes(true, &[add_range(1)], &mut log, &mut ram), 1);

    // Without TLVs nothing is written; what is owed is owed all the same.
    for owed in [false, true] {
        ram.file_data = FileData::Apart { owed };
        ram.ops.clear();
        assert_eq!(log.commit(&mut ram), Ok(Commit::default()));
        assert_eq!(ram.ops.len(), usize::from(owed));
    }
}

#[test]
fn a_commit_whose_data_cannot_be_flushed_writes_no_seal() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    commit(&mut log, &mut ram, &[creat(8, 1)]);
    ram.file_data = FileData::Apart { owed: false };
    ram.ops.clear();
    ram.lives = 0;
    let tlv = add_range(1);
    let room = log.reserve(&mut ram, tlv.len()).unwrap();
    room.copy_from_slice(&tlv);
    assert!(log.commit(&mut ram).is_err());
    assert_eq!(ram.ops, [Op::FlushData]);
}

#[test]
fn a_commit_without_tlvs_is_a_barrier() {
    let mut ram = Ram::new(4);
    let mut log = idle_writer(4);
    assert_eq!(log.commit(&mut ram), Ok(Commit::default()));
    assert_eq!(ram.ops, [Op::Fence]);
    ram.persistence = Persistence::NeedsFlush;
    log.start(1, 2);
    ram.ops.clear();
    assert_eq!(log.commit(&mut ram), Ok(Commit::default()));
    assert_eq!(ram.ops, [Op::Flush]);
    assert_eq!((log.commits(), log.seq(), log.used()), (0, 0, 0));
    // The next one is the tid's first.
    assert!(commit(&mut log, &mut ram, &[creat(1, 1)]).opener_written);
}

/// 4096 payload bytes exactly: 16 TLVs of 256.
fn full_record() -> Vec<Vec<u8>> {
    (0..16).map(|i| creat(244, i)).collect()
}

#[test]
fn a_large_commit_is_several_records_and_one_seal() {
    let mut ram = Ram::new(16);
    let mut log = writer(16, 1, 2);
    let done = commit(&mut log, &mut ram, &full_record());
    assert_eq!((done.records, done.log_bytes), (1, 4160));

    let mut tlvs = full_record();
    tlvs.push(creat(1, 99));
    tlvs.extend(full_record());
    // Data is described only in a record that is copied in early.
    tlvs[3] = add_range(3);
    ram.ops.clear();
    let done = commit(&mut log, &mut ram, &tlvs);
    assert_eq!(done.records, 2);
    assert!(done.describes_data);
    let copies = ram.ops.iter().filter(|op| matches!(op, Op::CopyIn(..)));
    assert_eq!(copies.count(), 2);
    assert!(matches!(ram.ops[0], Op::CopyIn(8256, _)));
    assert_eq!(ram.ops[1], Op::Fence);
    let range = Op::WriteBack(8256, done.log_bytes);
    assert!(ram.ops.contains(&range));
    assert_eq!(ram.ops.last(), Some(&Op::Fence));
    let (found, commits) = read(&ram.bytes, 1).unwrap();
    assert_eq!((found.commits, found.records), (2, 3));
    assert_eq!(commits[1], tlvs.concat());
    assert_eq!(found.head, log.head());
}

#[test]
fn larger_staging_makes_larger_records() {
    for (staging, payload) in [(64 + 4096, 4096), (64 + 4159, 4096), (1 << 20, 65536)] {
        let geometry = Geometry::new(4096, 64).unwrap();
        let mut log = LogWriter::<Crc, _>::new(vec![1; staging], geometry, UUID).unwrap();
        let mut ram = Ram::new(64);
        log.start(1, 2);
        let tlvs: Vec<_> = (0..260).map(|i| creat(244, i as u8)).collect();
        for tlv in &tlvs {
            log.reserve(&mut ram, 256).unwrap().copy_from_slice(tlv);
        }
        let done = log.commit(&mut ram).unwrap();
        assert_eq!(done.records as usize, (260usize * 256).div_ceil(payload));
        assert_eq!(read(&ram.bytes, 1).unwrap().1, [tlvs.concat()]);
    }
    let geometry = Geometry::new(4096, 64).unwrap();
    let short = LogWriter::<Crc, _>::new(vec![0; MIN_STAGING - 1], geometry, UUID);
    assert_eq!(short.err(), Some(StagingTooShort));
}

#[test]
fn reserve_checks_what_it_is_asked() {
    let mut ram = Ram::new(4);
    let mut log = idle_writer(4);
    assert_eq!(log.reserve(&mut ram, 20), Err(WriteError::NotStarted));
    log.start(1, 2);
    for len in [0, 3, 4093, usize::MAX] {
        assert_eq!(log.reserve(&mut ram, len), Err(WriteError::TlvLen(len)));
        log.discard();
    }
    assert_eq!(log.reserve(&mut ram, 4092).unwrap().len(), 4092);
    assert_eq!(log.max_tlv(), 4092);
}

#[test]
fn what_is_not_a_tlv_is_not_written() {
    let mut ram = Ram::new(4);
    let mut log = writer(4, 1, 2);
    commit(&mut log, &mut ram, &[creat(3, 1)]);
    let before = ram.bytes.clone();
    // Reserved and never filled: no tag.
    log.reserve(&mut ram, 20).unwrap();
    let error = log.commit(&mut ram).unwrap_err();
    assert!(matches!(error, WriteError::Tlv(e) if e.fault == TlvFault::Tag(0)));
    assert!(ram.bytes == before);
    // The commit is gone, the log is not.
    assert_eq!(commit(&mut log, &mut ram, &[creat(3, 2)]).ordinal, 2);
}

#[test]
fn a_full_log_refuses_and_the_commit_is_lost_whole() {
    // 2 blocks of log: 8192 bytes, one full record (4160) and 4032 left.
    let mut ram = Ram::new(3);
    let mut log = writer(3, 1, 2);
    assert_eq!(log.capacity(), 8192);
    commit(&mut log, &mut ram, &full_record());
    assert_eq!(log.used(), 4160);
    // 4032 - 64 = 3968 fit exactly, 3969 do not.
    let mut tlvs = full_record();
    tlvs.truncate(15);
    tlvs.push(creat(116, 1));
    assert_eq!(tlvs.concat().len(), 3968);
    let before = ram.bytes.clone();
    gather(&mut log, &mut ram, &tlvs).unwrap();
    assert_eq!(log.reserve(&mut ram, 13), Err(WriteError::Full));
    // Not even a TLV that would fit: the commit has a hole.
    assert_eq!(log.reserve(&mut ram, 4), Err(WriteError::Aborted));
    assert_eq!(log.commit(&mut ram), Err(WriteError::Aborted));
    assert!(ram.bytes == before);
    assert_eq!((log.commits(), log.used()), (1, 4160));
    commit(&mut log, &mut ram, &tlvs);
    assert_eq!(log.used(), log.capacity());
    assert_eq!(log.reserve(&mut ram, 13), Err(WriteError::Full));
    log.discard();
    let (found, commits) = read(&ram.bytes, 1).unwrap();
    assert_eq!((found.commits, found.stop), (2, None));
    assert_eq!(commits[1], tlvs.concat());

    // A full commit later the log starts afresh.
    log.start(2, 3);
    assert_eq!((log.used(), log.commits(), log.seq()), (0, 0, 0));
    commit(&mut log, &mut ram, &[creat(5, 5)]);
    assert_eq!(read(&ram.bytes, 2).unwrap().1, [creat(5, 5)]);
    assert_eq!(
        read(&ram.bytes, 1).unwrap().0.found,
        Found::Stale { tid: 2 }
    );
}

#[test]
fn a_roll_over_into_a_full_area_is_refused_before_it_is_copied() {
    let mut ram = Ram::new(2);
    let mut log = writer(2, 1, 2);
    // 4032 payload bytes fill the only block; the record is never full.
    let tlvs: Vec<_> = (0..15).map(|i| creat(244, i)).collect();
    gather(&mut log, &mut ram, &tlvs).unwrap();
    assert_eq!(log.reserve(&mut ram, 256), Err(WriteError::Full));
    assert!(ram.ops.is_empty());
}

#[test]
fn an_aborted_commit_moves_no_head() {
    let mut ram = Ram::new(16);
    let mut log = writer(16, 1, 2);
    commit(&mut log, &mut ram, &[creat(7, 1)]);
    let (head, durable) = (log.head(), ram.bytes[..4224].to_vec());
    let mut tlvs = full_record();
    tlvs.extend(full_record());
    tlvs.extend(full_record());
    gather(&mut log, &mut ram, &tlvs).unwrap();
    assert!(log.is_gathering());
    log.discard();
    assert!(!log.is_gathering());
    assert_eq!((log.head(), log.commits(), log.seq()), (head, 1, 1));
    assert!(ram.bytes[..4224] == durable);
    assert_eq!(read(&ram.bytes, 1).unwrap().1, [creat(7, 1)]);
    // The next one goes over its remains, of which the last are still there.
    commit(&mut log, &mut ram, &[creat(9, 2)]);
    let (found, commits) = read(&ram.bytes, 1).unwrap();
    assert_eq!(commits, [creat(7, 1), creat(9, 2)]);
    assert!(found.stop.is_some());
}

#[test]
fn a_second_start_of_the_tid_overwrites_nothing() {
    let mut ram = Ram::new(4);
    let mut log = writer(4, 1, 2);
    commit(&mut log, &mut ram, &[creat(7, 1)]);
    log.reserve(&mut ram, 20).unwrap();
    log.start(1, 99);
    assert!(!log.is_gathering());
    commit(&mut log, &mut ram, &[creat(8, 2)]);
    assert_eq!(read(&ram.bytes, 1).unwrap().1, [creat(7, 1), creat(8, 2)]);
}

/// Every fallible step of a commit fails once: what was durable stays as it is,
/// and after a failure past the seal nothing of this tid is written any more.
#[test]
fn a_failing_medium_never_touches_what_is_durable() {
    for persistence in [Persistence::Synchronous, Persistence::NeedsFlush] {
        for earlier in 0..3u32 {
            for lives in 0..8 {
                let mut ram = Ram::new(16);
                ram.persistence = persistence;
                let mut log = writer(16, 1, 2);
                for i in 0..earlier {
                    commit(&mut log, &mut ram, &[creat(7, i as u8)]);
                }
                let (head, seq) = (log.head(), log.seq());
                let durable = ram.bytes[..head as usize].to_vec();
                ram.lives = lives;
                let mut tlvs = full_record();
                tlvs.push(add_range(1));
                let gathered = gather(&mut log, &mut ram, &tlvs);
                let result = log.commit(&mut ram);
                ram.lives = usize::MAX;
                if result.is_ok() {
                    assert_eq!(log.commits(), earlier + 1);
                    continue;
                }
                assert_eq!((log.head(), log.seq()), (head, seq));
                assert_eq!(log.commits(), earlier);
                if earlier > 0 {
                    assert!(ram.bytes[..head as usize] == durable);
                }
                let sealed = gathered.is_ok()
                    && lives > usize::from(persistence == Persistence::NeedsFlush) + 1;
                if sealed {
                    assert_eq!(log.reserve(&mut ram, 20), Err(WriteError::Closed));
                    assert_eq!(log.tid(), Some(1));
                    log.start(1, 5);
                    assert_eq!(log.reserve(&mut ram, 20), Err(WriteError::Closed));
                    assert!(log.commit(&mut ram).is_err());
                }
                log.start(2, 7);
                commit(&mut log, &mut ram, &[creat(1, 1)]);
                assert_eq!(read(&ram.bytes, 2).unwrap().1, [creat(1, 1)]);
            }
        }
    }
}

/// After a failure past the seal not even an fsync without TLVs succeeds: the commit that
/// failed may have had what it waits for.
#[test]
fn an_empty_commit_on_a_closed_log_is_refused() {
    let mut ram = Ram::new(16);
    let mut log = writer(16, 1, 2);
    gather(&mut log, &mut ram, &[creat(1, 1)]).unwrap();
    ram.lives = 1;
    assert!(matches!(log.commit(&mut ram), Err(WriteError::Medium(_))));
    ram.lives = usize::MAX;
    ram.ops.clear();
    assert_eq!(log.commit(&mut ram), Err(WriteError::Closed));
    assert!(ram.ops.is_empty());
    log.start(2, 3);
    assert_eq!(log.commit(&mut ram), Ok(Commit::default()));
}

/// What the staging buffer held before is in no record's padding.
#[test]
fn staging_does_not_leak() {
    let mut ram = Ram::new(16);
    let mut log = writer(16, 1, 2);
    commit(&mut log, &mut ram, &full_record());
    commit(&mut log, &mut ram, &[creat(1, 0)]);
    let padding = log.head() as usize - 64 + 13..log.head() as usize;
    assert!(ram.bytes[padding].iter().all(|&byte| byte == 0));
}

/// Puts TLVs into windows, as ext4 does. Returns what is in the last one.
fn fill_windows(log: &mut Writer, ram: &mut Ram, tlvs: &[Vec<u8>]) -> Result<usize, Error> {
    let mut filled = 0;
    for tlv in tlvs {
        if log.window().len() < filled + tlv.len() {
            log.next_window(ram, filled, tlv.len())?;
            filled = 0;
        }
        log.window()[filled..][..tlv.len()].copy_from_slice(tlv);
        filled += tlv.len();
    }
    Ok(filled)
}

/// What is put into windows makes the same log as what is reserved.
#[test]
fn windows_make_the_log_that_reserving_makes() {
    let directory = inode_of(DIRECTORY, EXTENTS, 160, 7);
    let commits = [
        (vec![creat(8, 1), directory], Features::DIRECTORIES.bits()),
        (vec![inode(256, 1), add_range(2)], Contents::DATA),
        (full_record(), 0),
        (
            [full_record(), vec![creat(1, 1)], full_record()].concat(),
            0,
        ),
        (vec![], 0),
        (vec![creat(250, 2)], 0),
    ];
    let (mut reserved, mut put) = (Ram::new(16), Ram::new(16));
    let (mut one, mut other) = (writer(16, 1, 2), writer(16, 1, 2));
    // It is there before it is known what for.
    assert_eq!(other.window().len(), 4096);
    for (tlvs, bits) in commits {
        let done = commit(&mut one, &mut reserved, &tlvs);
        let filled = fill_windows(&mut other, &mut put, &tlvs).unwrap();
        let contents = Contents::from_bits(bits);
        assert_eq!(other.commit_window(&mut put, filled, contents), Ok(done));
        assert_eq!((one.head(), one.seq()), (other.head(), other.seq()));
        assert!(!other.is_gathering());
    }
    assert_eq!(reserved.ops, put.ops);
    assert!(reserved.bytes == put.bytes);
}

#[test]
fn windows_end_where_the_log_is_full_or_closed() {
    let mut ram = Ram::new(3);
    let mut log = writer(3, 1, 2);
    commit(&mut log, &mut ram, &full_record());
    assert_eq!(log.window().len(), 3968);
    let error = fill_windows(&mut log, &mut ram, &full_record());
    assert_eq!(error, Err(WriteError::Full));
    assert!(log.window().is_empty());
    let none = Contents::default();
    assert_eq!(
        log.commit_window(&mut ram, 0, none),
        Err(WriteError::Aborted)
    );
    assert_eq!(log.window().len(), 3968);

    ram.lives = 1;
    let filled = fill_windows(&mut log, &mut ram, &[creat(9, 1)]).unwrap();
    let failed = log.commit_window(&mut ram, filled, none);
    assert!(matches!(failed, Err(WriteError::Medium(_))));
    assert!(log.window().is_empty());
    assert_eq!(
        log.next_window(&mut ram, 0, 20).err(),
        Some(WriteError::Closed)
    );
    // TLVs that are in the window when the next transaction begins belong to that.
    log.start(2, 3);
    ram.lives = usize::MAX;
    let filled = fill_windows(&mut log, &mut ram, &[creat(9, 1)]).unwrap();
    log.start(3, 4);
    log.commit_window(&mut ram, filled, none).unwrap();
    assert_eq!(read(&ram.bytes, 3).unwrap().1, [creat(9, 1)]);
}

/// The first one of a record has more room than a conventional block.
#[test]
fn a_tlv_that_no_block_holds_is_not_logged() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    let long = tlv(6, 4092, 1);
    let filled = fill_windows(&mut log, &mut ram, &[long]).unwrap();
    let error = log.commit_window(&mut ram, filled, Contents::default());
    assert!(matches!(
        error,
        Err(WriteError::TlvLen(4096) | WriteError::Tlv(_))
    ));
    assert!(ram.ops.is_empty());
}

/// A caller who does not say what his TLVs contain is found out where somebody looks.
#[test]
#[cfg(debug_assertions)]
fn undeclared_contents_are_found_with_debug_assertions() {
    let mut ram = Ram::new(8);
    let mut log = writer(8, 1, 2);
    let filled = fill_windows(&mut log, &mut ram, &[add_range(1)]).unwrap();
    let error = log.commit_window(&mut ram, filled, Contents::default());
    assert_eq!(error, Err(WriteError::Undeclared(Contents::DATA)));
    assert!(ram.ops.is_empty());
}
