// SPDX-License-Identifier: GPL-2.0

//! All short sequences of actions, then random long ones, on all threads.

use crate::checker::{check, Counts, Verdict, Violation};
use crate::driver::record;
use crate::images::Budget;
use crate::oracle::Crc;
use crate::recorder::Fault;
use crate::trace::Trace;
use crate::workload::{Action, Under, Workload, KINDS};
use anyhow::{Context, Result};
use bytelog::crc::Crc32c;
use fastrand::Rng;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::Mutex;

/// Longest sequences of which all are tried.
pub const DEPTH: usize = 3;

/// Geometry of the area in sequences: each action fits, not all sequences do.
const BLOCK_SIZE: u32 = 4096;
const BLOCKS: u32 = 8;

/// What of a workload is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// As shown.
    pub name: &'static str,
    /// Per state.
    pub budget: Budget,
}

/// By length of the sequence; the last level is for random workloads. The states of
/// a short sequence are the first states of many longer ones, and are looked at
/// there only.
pub const LEVELS: [Level; DEPTH + 1] = [
    level("1 action", 1 << 17, 8192),
    level("2 actions", 1 << 12, 512),
    level("3 actions", 1 << 7, 40),
    level("random", 1 << 10, 96),
];

/// No more than this where [`Plan::brief`] is set.
const BRIEF: Budget = Budget {
    all: 1 << 9,
    samples: 256,
};

const fn level(name: &'static str, all: u64, samples: u32) -> Level {
    Level {
        name,
        budget: Budget { all, samples },
    }
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything random comes of it.
    pub seed: u64,
    /// Longest sequences, at most [`DEPTH`].
    pub depth: usize,
    /// Random workloads.
    pub random: usize,
    /// Threads.
    pub threads: usize,
    /// A deliberate defect.
    pub fault: Option<Fault>,
    /// Fewer images per state: enough for a defect that is there.
    pub brief: bool,
}

/// A violation and how to see it again.
#[derive(Clone, Debug)]
pub struct Found {
    /// What was done.
    pub workload: Workload,
    /// What happened.
    pub trace: Trace,
    /// What is wrong.
    pub violation: Violation,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Workloads and counts of each level.
    pub levels: [(u64, Counts); DEPTH + 1],
    /// The first violation that any thread came across.
    pub found: Option<Found>,
}

impl Report {
    /// Of all levels.
    pub fn total(&self) -> (u64, Counts) {
        let mut total = (0, Counts::default());
        for (workloads, counts) in &self.levels {
            total.0 += workloads;
            total.1.add(counts);
        }
        total
    }
}

/// Sequences of `length` actions, on every device over everything.
fn sequences(length: usize) -> usize {
    Action::ALL.len().pow(length as u32) * KINDS.len() * Under::ALL.len()
}

impl Plan {
    fn workloads(&self) -> usize {
        (1..=self.depth).map(sequences).sum::<usize>() + self.random
    }

    /// A workload by its number, short ones first.
    fn workload(&self, mut number: usize) -> Workload {
        for length in 1..=self.depth {
            if number < sequences(length) {
                return sequence(number, length);
            }
            number -= sequences(length);
        }
        random(&mut Rng::with_seed(mix(self.seed, &number.to_le_bytes())))
    }
}

/// A seed for whatever has this name.
fn mix(seed: u64, name: &[u8]) -> u64 {
    seed ^ (u64::from(Crc::update(seed as u32, name)) << 16)
}

fn sequence(number: usize, length: usize) -> Workload {
    let mut rest = number;
    let mut digit = |base: usize| {
        let digit = rest % base;
        rest /= base;
        digit
    };
    let (device, apart) = KINDS[digit(KINDS.len())];
    let under = Under::ALL[digit(Under::ALL.len())];
    Workload {
        device,
        apart,
        under,
        block_size: BLOCK_SIZE,
        blocks: BLOCKS,
        actions: (0..length)
            .map(|_| Action::ALL[digit(Action::ALL.len())])
            .collect(),
    }
}

/// Longer than any sequence.
fn random(rng: &mut Rng) -> Workload {
    let action = |rng: &mut Rng| match rng.u8(..8) {
        0 => Action::Fails(rng.u8(..6)),
        1..=3 => Action::ALL[rng.usize(..Action::ALL.len())],
        _ => Action::Random([1, 2, 5, 60][rng.usize(..4)]),
    };
    let length = rng.usize(DEPTH + 1..=12);
    let (block_size, blocks) = [(1024, 29), (4096, 8), (4096, 16)][rng.usize(..3)];
    let (device, apart) = KINDS[rng.usize(..KINDS.len())];
    Workload {
        device,
        apart,
        under: Under::ALL[rng.usize(..3)],
        block_size,
        blocks,
        actions: (0..length).map(|_| action(rng)).collect(),
    }
}

impl Plan {
    /// Records and checks one workload: of a sequence its last action, for the
    /// others are sequences themselves; of a random one everything.
    pub fn one(&self, workload: &Workload) -> Result<(Trace, Verdict)> {
        let length = workload.actions.len();
        let (level, checked) = level_of(workload);
        let mut budget = LEVELS[level].budget;
        if self.brief {
            budget.all = budget.all.min(BRIEF.all);
            budget.samples = budget.samples.min(BRIEF.samples);
        }
        let seed = mix(self.seed, workload.to_string().as_bytes());
        let trace = record(workload, self.fault, seed, checked.min(length))
            .with_context(|| format!("recording {workload}"))?;
        let verdict = check(&trace, budget, &mut Rng::with_seed(seed))
            .with_context(|| format!("checking {workload}"))?;
        Ok((trace, verdict))
    }
}

/// The level of a workload, and how many of its actions are looked at.
fn level_of(workload: &Workload) -> (usize, usize) {
    match workload.actions.len() {
        length @ 1..=DEPTH => (length - 1, 1),
        length => (DEPTH, length),
    }
}

/// Does all of `plan`, or stops at the first violation. Counts images in `progress`
/// meanwhile.
pub fn run(plan: &Plan, progress: &AtomicU64) -> Result<Report> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let report = Mutex::new(Report::default());
    let work = || -> Result<()> {
        let mut mine = Report::default();
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.workloads() {
                break;
            }
            let workload = plan.workload(number);
            let (trace, verdict) = match plan.one(&workload) {
                Ok(done) => done,
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
            };
            let level = &mut mine.levels[level_of(&workload).0];
            level.0 += 1;
            level.1.add(&verdict.counts);
            progress.fetch_add(verdict.counts.images, Ordering::Relaxed);
            if let Some(violation) = verdict.violation {
                stop.store(true, Ordering::Relaxed);
                mine.found = Some(Found {
                    workload,
                    trace,
                    violation,
                });
            }
        }
        let mut all = report.lock().unwrap_or_else(|poison| poison.into_inner());
        for (sum, (workloads, counts)) in all.levels.iter_mut().zip(&mine.levels) {
            sum.0 += workloads;
            sum.1.add(counts);
        }
        // The shorter one, should two threads have one.
        let length = |found: &Option<Found>| found.as_ref().map(|f| f.workload.actions.len());
        if mine.found.is_some() && (all.found.is_none() || length(&mine.found) < length(&all.found))
        {
            all.found = mine.found;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads.max(1))
            .map(|_| scope.spawn(work))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    Ok(report
        .into_inner()
        .unwrap_or_else(|poison| poison.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_has_a_number() {
        let plan = Plan {
            seed: 1,
            depth: 2,
            random: 3,
            threads: 1,
            fault: None,
            brief: false,
        };
        let names: std::collections::BTreeSet<_> = (0..plan.workloads())
            .map(|number| plan.workload(number).to_string())
            .collect();
        let actions = Action::ALL.len();
        assert_eq!(names.len(), 12 * (actions + actions * actions) + 3);
        assert!(names.contains("needs-flush/older-life/8x4096/many,fails:2"));
    }

    /// What `make check-crash` does at length.
    #[test]
    fn random_workloads_keep_every_promise() {
        let plan = Plan {
            seed: 7,
            depth: 0,
            random: 60,
            threads: 2,
            fault: None,
            brief: false,
        };
        let report = run(&plan, &AtomicU64::new(0)).unwrap();
        assert!(
            report.found.is_none(),
            "{:?}",
            report.found.map(|f| f.violation)
        );
        let (_, counts) = report.total();
        assert!(counts.images > 10_000 && counts.kept > 0 && counts.lost > 0);
    }
}
