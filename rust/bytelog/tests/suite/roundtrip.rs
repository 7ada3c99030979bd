// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Properties: what is written is read, in order, in either version.

use crate::common::*;
use crate::v1::{write_v1, V1Record};
use bytelog::error::WriteError;
use bytelog::features::Features;
use bytelog::needs;
use bytelog::reader::Found;
use proptest::collection::vec;
use proptest::prelude::*;

fn any_tlv() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u8>().prop_map(add_range),
        any::<u8>().prop_map(|seed| tlv(2, 12, seed)),
        (3..=5u16, 9..=263usize, any::<u8>()).prop_map(|(tag, len, seed)| tlv(tag, len, seed)),
        (128..=1024usize, any::<u8>()).prop_map(|(size, seed)| inode(size, seed)),
        (4000..=4084usize, any::<u8>()).prop_map(|(size, seed)| inode(size, seed)),
    ]
}

/// The same, or in one of eight cases what needs a feature bit.
fn any_tlv_of_all() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        21 => any_tlv(),
        1 => any::<u8>().prop_map(dir),
        1 => (128..=1024usize, any::<u8>())
            .prop_map(|(size, seed)| inode_of(DIRECTORY, EXTENTS, size, seed)),
        1 => (0..5usize, any::<u8>())
            .prop_map(|(kind, seed)| inode_of(SPECIAL_MODES[kind], 0, 256, seed)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Vec<u8>>),
    Abort(Vec<Vec<u8>>),
    Empty,
    NewTid,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(any_tlv_of_all(), 1..30).prop_map(Step::Commit),
        2 => vec(any_tlv_of_all(), 1..30).prop_map(Step::Abort),
        1 => Just(Step::Empty),
        1 => Just(Step::NewTid),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_committed_is_read(
        steps in vec(any_step(), 1..40),
        blocks in 2..40u32,
        nonce: u32,
        garbage: u8,
    ) {
        let mut ram = Ram::over(vec![garbage; (BLOCK * blocks) as usize]);
        let mut tid = 10;
        let mut log = writer(blocks, tid, nonce);
        let mut written: Vec<Vec<u8>> = Vec::new();
        // Of the running log, and of all so far.
        let (mut named, mut needed) = (Features::NONE, Features::NONE);
        for step in steps {
            match step {
                Step::Commit(tlvs) => {
                    let needs = needs::of_run(&tlvs.concat());
                    match try_commit(&mut log, &mut ram, &tlvs) {
                        Ok(ordinal) => {
                            if written.is_empty() {
                                needed = needed.with(needs);
                                named = needed;
                            }
                            prop_assert!(needs.without(named).is_empty());
                            written.push(tlvs.concat());
                            prop_assert_eq!(ordinal as usize, written.len());
                        }
                        Err(WriteError::Features(lacking)) => {
                            prop_assert!(!written.is_empty() && !lacking.is_empty());
                            prop_assert!(lacking.without(needs.without(named)).is_empty());
                            needed = needed.with(lacking);
                            log.discard();
                        }
                        Err(error) => {
                            prop_assert_eq!(error, WriteError::Full);
                            log.discard();
                            needed = log.features();
                        }
                    }
                    prop_assert_eq!(log.features(), needed);
                }
                Step::Abort(tlvs) => {
                    let _ = gather(&mut log, &mut ram, &tlvs);
                    log.discard();
                    needed = log.features();
                }
                Step::Empty => {
                    let done = log.commit(&mut ram).unwrap();
                    prop_assert_eq!(done.records, 0);
                }
                Step::NewTid => {
                    tid += 1;
                    log.start(tid, nonce.wrapping_mul(tid));
                    written.clear();
                }
            }
            let (found, commits) = match read(&ram.bytes, tid) {
                Ok(read) => read,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            prop_assert_eq!(&commits, &written);
            prop_assert_eq!(found.commits, log.commits());
            if found.commits != 0 {
                prop_assert_eq!(found.features, named);
            }
            if found.found == Found::V2 {
                prop_assert_eq!((found.head, found.records), (log.head(), log.seq()));
            }
        }
    }

    #[test]
    fn version_1_images_are_read(
        records in vec(vec(any_tlv(), 1..10), 1..20),
        singles: u32,
        tail in 1..3usize,
        tid: u32,
    ) {
        let records: Vec<_> = records
            .into_iter()
            .enumerate()
            .map(|(i, mut tlvs)| match (singles >> i) & 1 {
                0 => V1Record::run(&tlvs),
                _ => V1Record::single(tlvs.swap_remove(0)),
            })
            .collect();
        let mut area = vec![0xa5; 256 * BLOCK as usize];
        write_v1(&mut area, tid, tail * BLOCK as usize, &records);
        let (log, commits) = read(&area, tid).unwrap();
        prop_assert_eq!((log.found, log.records), (Found::V1, records.len() as u64));
        let written: Vec<u8> = records.into_iter().flat_map(|r| r.payload).collect();
        prop_assert_eq!(commits, vec![written]);
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 4096..=4096), tid: u32) {
        let mut area = bytes.clone();
        area.extend(&bytes);
        let _ = read(&area, tid);
    }
}
