// SPDX-License-Identifier: GPL-2.0
//! Hostile logs by the hundred: each is a good one with one thing wrong, and says
//! what a mount has to make of it.

use crate::log::Log;
use crate::{dir_cases, opener_cases, record_cases, tlv_cases};
use fastrand::Rng;

/// What a mount has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Refuse, and say why.
    Refused,
    /// Replay so many fast commits.
    Commits(u32),
    /// What ext4's own replay does with TLVs that are whole and say nonsense: refuse
    /// or replay, and live.
    Nonsense,
}

/// A hostile log.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is wrong with it.
    pub name: String,
    /// What has to come of it.
    pub expect: Expect,
    /// The log.
    pub log: Log,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>, expect: Expect, log: Log) -> Self {
        Self {
            name: name.into(),
            expect,
            log,
        }
    }
}

/// What comes of a fast commit `commit` that ends the log where it stands: damage
/// if others follow it, a torn end if none does.
pub(crate) fn cut_at(commit: u32, log: &Log) -> Expect {
    match commit < log.commits() {
        true => Expect::Refused,
        false => Expect::Commits(commit - 1),
    }
}

/// A function that makes one kind of case of a log, at a place that chance picks.
pub(crate) type Kind = fn(&Log, &mut Rng) -> Case;

/// So many cases, of every kind in turn; the same ones for the same seed. The log
/// has at least three fast commits.
pub fn cases(log: &Log, seed: u64, count: usize) -> Vec<Case> {
    let mut rng = Rng::with_seed(seed);
    let v1 = log.to_v1();
    let common = [
        record_cases::BOTH,
        opener_cases::BOTH,
        tlv_cases::BOTH,
        dir_cases::BOTH,
    ]
    .concat();
    let only_v2 = [record_cases::V2, opener_cases::V2, dir_cases::V2].concat();
    let mut kinds: Vec<(&Log, Kind)> = Vec::new();
    kinds.extend(common.iter().chain(&only_v2).map(|kind| (log, *kind)));
    kinds.extend(common.iter().map(|kind| (&v1, *kind)));
    let turns = kinds.iter().cycle().take(count);
    turns
        .map(|(log, kind)| {
            let mut case = kind(log, &mut rng);
            let version = if log.is_v1() { 1 } else { 2 };
            case.name = format!("v{version}: {}", case.name);
            case
        })
        .collect()
}
