// SPDX-License-Identifier: GPL-2.0
//! What the host asks for, and what it is told.

use serde::{Deserialize, Serialize};

/// Workloads to be run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The device ("pmem0"), whose first two partitions are used.
    pub dev: String,
    /// Mount options, and those of the mount after a cut.
    pub opts: String,
    pub numbers: Vec<u64>,
    /// Of so many workloads one is also cut in the middle of a commit; 0: none.
    pub cut_commits: u64,
    /// Of so many one is cut in the replay as well; 0: none.
    pub cut_replays: u64,
    /// Say what is done.
    pub verbose: bool,
}

/// What is wrong with what a cut left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Something that was synced is as it was before.
    Lost,
    /// What is there never was.
    Mixed,
    /// e2fsck or the kernel complain.
    Complaint,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    pub number: u64,
    pub kind: Kind,
    /// After which step, and where the cut was.
    pub place: String,
    pub findings: Vec<String>,
}

/// Microseconds of the guest, by what they went to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    pub restore: u64,
    pub mount: u64,
    pub work: u64,
    pub copy: u64,
    pub remount: u64,
    pub compare: u64,
    pub check: u64,
    pub unmount: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Workloads that were run, and others of which a step was impossible.
    pub workloads: u64,
    pub impossible: u64,
    /// Cuts behind a sync, in a commit, and in a replay.
    pub cuts: u64,
    pub in_commits: u64,
    pub in_replays: u64,
    /// Syncs that committed fast, in full, and not at all.
    pub fast: u64,
    pub full: u64,
    pub none: u64,
    pub failures: Vec<Failure>,
    pub times: Times,
    /// What was done, if that was asked for.
    pub told: Vec<String>,
}

/// What the kernel says where something is wrong.
const BAD: &[&str] = &[
    "EXT4-fs error",
    "EXT4-fs warning",
    "Aborting journal",
    "JBD2:",
    "WARNING:",
    "BUG:",
    "Oops",
    "log damaged",
];

impl Report {
    /// Notes what is wrong with a workload; no findings are no failure.
    pub fn fail(&mut self, number: u64, kind: Kind, place: &str, findings: Vec<String>) {
        if !findings.is_empty() {
            self.failures.push(Failure {
                number,
                kind,
                place: place.to_owned(),
                findings,
            });
        }
    }

    /// Notes what of the kernel's log is a complaint.
    pub fn complaints(&mut self, number: u64, place: &str, log: &[String]) {
        let bad = |line: &&String| BAD.iter().any(|bad| line.contains(bad));
        let findings = log.iter().filter(bad).cloned().collect();
        let place = format!("{place}, kernel log");
        self.fail(number, Kind::Complaint, &place, findings);
    }

    /// Adds the counts of another one, without its failures and what it told.
    pub fn add(&mut self, other: &Self) {
        self.workloads += other.workloads;
        self.impossible += other.impossible;
        self.cuts += other.cuts;
        self.in_commits += other.in_commits;
        self.in_replays += other.in_replays;
        self.fast += other.fast;
        self.full += other.full;
        self.none += other.none;
        self.times.add(other.times);
    }
}

impl Times {
    fn add(&mut self, other: Self) {
        self.restore += other.restore;
        self.mount += other.mount;
        self.work += other.work;
        self.copy += other.copy;
        self.remount += other.remount;
        self.compare += other.compare;
        self.check += other.check;
        self.unmount += other.unmount;
    }
}
