// SPDX-License-Identifier: GPL-2.0
//! What workloads came to.

use bytelog_guest::short::{Failure, Kind, Report, Space};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Lines of findings that are printed for each failure.
const LINES: usize = 12;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tally {
    pub counts: Report,
    pub lost: u64,
    pub mixed: u64,
    pub complaints: u64,
    /// The workloads that failed, each with what became of it.
    pub failed: BTreeMap<u64, BTreeSet<String>>,
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Lost => "lost",
        Kind::Mixed => "mixed",
        Kind::Complaint => "complaint",
    }
}

/// A failure with its workload's steps.
pub fn print(failure: &Failure) {
    let steps = Space::new().workload(failure.number);
    let steps = steps.map_or_else(String::new, |workload| workload.to_string());
    println!("FAIL {} {}: {steps}", name(failure.kind), failure.place);
    for line in failure.findings.iter().take(LINES) {
        println!("     {line}");
    }
    if failure.findings.len() > LINES {
        println!("     and {} more", failure.findings.len() - LINES);
    }
}

impl Tally {
    pub fn add(&mut self, report: &Report) {
        self.counts.add(report);
        // A workload counts once for each kind.
        let kinds: BTreeSet<(u64, &str)> = report
            .failures
            .iter()
            .map(|failure| (failure.number, name(failure.kind)))
            .collect();
        for (number, kind) in kinds {
            match kind {
                "lost" => self.lost += 1,
                "mixed" => self.mixed += 1,
                _ => self.complaints += 1,
            }
            let of = self.failed.entry(number).or_default();
            of.insert(kind.to_owned());
        }
    }

    pub fn is_good(&self) -> bool {
        self.lost + self.mixed + self.complaints == 0 && self.counts.workloads > 0
    }

    pub fn details(&self, took: Duration) -> String {
        let counts = &self.counts;
        format!(
            "{} cuts behind a sync, {} in a commit, {} in a replay; syncs: {} fast, {} in full, \
             {} without need; {} workloads impossible; {:.0} s; {:?}",
            counts.cuts,
            counts.in_commits,
            counts.in_replays,
            counts.fast,
            counts.full,
            counts.none,
            counts.impossible,
            took.as_secs_f64(),
            counts.times
        )
    }

    /// The failed workloads of one step by operation, and the others by theirs.
    pub fn table(&self) -> String {
        let space = Space::new();
        let mut rows: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (number, kinds) in &self.failed {
            let Some(workload) = space.workload(*number) else {
                continue;
            };
            let ops: Vec<String> = workload.steps.iter().map(|step| step.op.kind()).collect();
            for kind in kinds {
                let row = rows.entry(ops.join(", ")).or_default();
                *row.entry(kind.clone()).or_default() += 1;
            }
        }
        let mut text = String::new();
        for (ops, kinds) in rows {
            let kinds: Vec<String> = kinds.iter().map(|(k, n)| format!("{n} {k}")).collect();
            text.push_str(&format!("{ops}: {}\n", kinds.join(", ")));
        }
        text
    }
}

/// The last line.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} workloads, {} lost, {} mixed, {} complaints",
            self.counts.workloads, self.lost, self.mixed, self.complaints
        )
    }
}
