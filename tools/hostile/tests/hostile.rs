// SPDX-License-Identifier: GPL-2.0
//! Every hostile log is taken by the reader as its maker says; the corpus of the
//! fuzzers, and mutations of it, break no promise.

#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use bytelog_hostile::cases::{cases, Case, Expect};
use bytelog_hostile::fuzz::TARGETS;
use bytelog_hostile::log::{judge, Log, Opener, Rec, BLOCK, COMMITTED};
use fastrand::Rng;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const UUID: [u8; 16] = *b"0123456789abcdef";
const TID: u32 = 77;
const AREA: usize = 32 * BLOCK;

fn tlv(tag: u16, len: usize, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = tag.to_le_bytes().to_vec();
    bytes.extend((len as u16).to_le_bytes());
    bytes.extend((0..len).map(|_| rng.u8(..)));
    if tag == 6 {
        // A regular file.
        bytes[8..10].copy_from_slice(&0o100_644u16.to_le_bytes());
    }
    bytes
}

/// A log of twelve fast commits, one of them of two records.
fn log() -> Log {
    let mut rng = Rng::with_seed(1);
    let opener = Opener {
        features: 1,
        ..Opener::new(TID, 0x1234_5678)
    };
    let mut records = Vec::new();
    for commit in 1..=12 {
        for part in 0..1 + usize::from(commit == 4) {
            let name = rng.usize(9..40);
            let payload = [
                tlv(6, 164, &mut rng),
                tlv(1, 16, &mut rng),
                tlv(3, name, &mut rng),
                tlv(11, 28, &mut rng),
            ];
            let mut rec = Rec::new(&opener, records.len() as u64, commit, payload.concat());
            if commit == 4 && part == 0 {
                rec.flags = COMMITTED;
            }
            records.push(rec);
        }
    }
    Log {
        opener,
        records,
        uuid: UUID,
    }
}

fn verdict(case: &Case) -> Result<u32, String> {
    judge(&case.log.write(AREA), TID, &UUID)
}

#[test]
fn a_log_is_taken_apart_and_put_together() {
    let log = log();
    let area = log.write(AREA);
    assert_eq!(judge(&area, TID, &UUID), Ok(12));
    assert_eq!(Log::parse(&area, UUID).unwrap(), log);
    assert_eq!(judge(&log.to_v1().write(AREA), TID, &UUID), Ok(1));
}

#[test]
fn the_reader_takes_each_log_as_its_maker_says() {
    let log = log();
    let (mut names, mut outcomes) = (HashSet::new(), [0; 3]);
    for seed in 0..20 {
        for case in cases(&log, seed, 500) {
            let found = verdict(&case);
            match case.expect {
                Expect::Refused => {
                    outcomes[0] += 1;
                    assert!(found.is_err(), "{}: {found:?}", case.name);
                }
                Expect::Commits(count) => {
                    outcomes[1] += 1;
                    assert_eq!(found, Ok(count), "{}", case.name);
                }
                Expect::Nonsense => {
                    outcomes[2] += 1;
                    assert!(found.is_ok(), "{}: {found:?}", case.name);
                }
            }
            names.insert(case.name);
        }
    }
    println!("{} different cases: {outcomes:?}", names.len());
    assert!(names.len() > 500 && outcomes.iter().all(|&count| count > 500));
}

#[test]
fn a_seed_gives_the_same_cases() {
    let log = log();
    let names = |seed| -> Vec<_> { cases(&log, seed, 100).into_iter().map(|c| c.name).collect() };
    assert_eq!(names(3), names(3));
    assert_ne!(names(3), names(4));
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(&dir).expect("corpus");
    let paths = entries.map(|entry| entry.unwrap().path());
    // cargo fuzz leaves files of other names.
    let mut files: Vec<PathBuf> = paths.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

fn mutate(input: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..6) {
        if input.is_empty() {
            return;
        }
        let at = rng.usize(..input.len());
        let wide = at & !3;
        match rng.u8(..6) {
            0 => input[at] ^= 1 << rng.u8(..8),
            1 => input[at] = rng.u8(..),
            2 if wide + 4 < input.len() => {
                let word = [0u32, 1, 64, 0xffff, u32::MAX, 1 << 31][rng.usize(..6)];
                // Behind the first byte, so that words are where fields are.
                input[wide + 1..wide + 5].copy_from_slice(&word.to_le_bytes());
            }
            3 => input.truncate(at),
            4 => {
                let from = rng.usize(..input.len());
                let len = rng.usize(..65).min(input.len() - from.max(at));
                input.copy_within(from..from + len, at);
            }
            _ => input.extend(std::iter::repeat_n(rng.u8(..), rng.usize(..200))),
        }
    }
}

/// A bounded run of what cargo fuzz runs without end.
#[test]
fn the_corpus_and_mutations_of_it() {
    const MUTATIONS: usize = 1500;
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(files.len() >= 4, "{name}: {} files", files.len());
        for (number, file) in files.iter().enumerate() {
            target(file);
            for round in 0..MUTATIONS {
                let mut rng = Rng::with_seed((number * MUTATIONS + round) as u64);
                let mut input = file.clone();
                mutate(&mut input, &mut rng);
                target(&input);
            }
        }
    }
}
