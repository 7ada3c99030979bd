// SPDX-License-Identifier: GPL-2.0
//! What a seed stands for: everything of a cut that can be chosen before.

use bytelog_guest::stress::Job;
use std::time::Duration;

/// Options of mke2fs: a log that does not fill, and one that does.
const LOGS: [&str; 2] = [
    "-J size=8,fast_commit_size=2048",
    "-J size=4,fast_commit_size=64",
];

#[derive(Debug, Clone)]
pub struct Plan {
    pub mkfs: &'static str,
    pub opts: &'static str,
    /// Threads on each device.
    pub threads: u64,
    /// Acknowledged steps of all threads at which the clock starts, and how long
    /// it runs to the cut.
    pub acks: u64,
    pub delay: Duration,
    /// Jobs that make no full commits: a log to replay.
    pub calm: bool,
    /// Whether the machine is killed; else a picture is taken of what a kill would
    /// leave, which saves starting another one.
    pub kill: bool,
    /// For each cut in replay, how long after its beginning, and of which device.
    pub replay_cuts: Vec<(Duration, usize)>,
    /// What survives each cut.
    pub tears: fastrand::Rng,
    seed: u64,
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let opts = [
            "dax=always,commit=600,dax_fc_bytelog=on",
            "dax=always,commit=1,dax_fc_bytelog=on",
            "dax=always,commit=600,dax_fc_bytelog=force",
        ];
        let kill = seed % 5 == 0;
        let replay_cuts = if seed % 4 == 0 { 2 } else { 0 };
        Self {
            mkfs: LOGS[rng.usize(..LOGS.len())],
            opts: opts[rng.usize(..opts.len())],
            threads: rng.u64(1..=4),
            acks: rng.u64(40..400),
            delay: Duration::from_micros(rng.u64(..20_000)),
            calm: seed % 2 == 0,
            kill,
            replay_cuts: (0..replay_cuts)
                .map(|_| (Duration::from_micros(rng.u64(..40_000)), rng.usize(..2)))
                .collect(),
            tears: rng.fork(),
            seed,
        }
    }

    /// The job of a thread on a device.
    pub fn job(&self, device: u64, thread: u64) -> Job {
        Job {
            seed: (self.seed << 8) + (device << 4) + thread,
            calm: self.calm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_seed_is_a_plan() {
        let text = |seed| format!("{:?}", Plan::new(seed));
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn no_two_jobs_are_the_same() {
        let mut seen = HashSet::new();
        for seed in 0..20 {
            let plan = Plan::new(seed);
            for device in 0..2 {
                for thread in 0..4 {
                    assert!(seen.insert(plan.job(device, thread).seed));
                }
            }
        }
    }
}
