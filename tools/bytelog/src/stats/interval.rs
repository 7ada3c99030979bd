// SPDX-License-Identifier: GPL-2.0

//! What happened on a mount between two samples.

use super::counters::{Counters, Levels};
use super::ext4::Ext4;
use super::histogram::Histogram;
use super::sample::Sample;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// What happened between two samples, and the state at the later one.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Interval {
    /// The device, as the kernel calls it.
    pub device: String,
    /// Where it is mounted, if that is in sight.
    pub mounted_on: Option<String>,
    /// Length, in seconds.
    pub seconds: f64,
    /// What the counters grew by.
    pub counters: Counters,
    /// The log at the later sample, in bytes.
    pub log: Levels,
    /// How long the fast commits took, in nanoseconds.
    pub commit_latency_ns: Histogram,
    /// Full commits of its journal.
    pub full_commits: Option<u64>,
    /// What ext4's counts grew by.
    pub ext4: Option<Ext4>,
}

impl Interval {
    /// From `earlier`, of the same device, to `later`, in that time. Without an earlier
    /// sample it is everything since the mount.
    pub fn new(earlier: Option<&Sample>, later: &Sample, time: Duration) -> Self {
        let difference = earlier.map(|earlier| Self {
            counters: later.counters.since(&earlier.counters),
            commit_latency_ns: later.commit_latency_ns.since(&earlier.commit_latency_ns),
            full_commits: match (earlier.full_commits, later.full_commits) {
                (Some(before), Some(now)) => Some(now.checked_sub(before).unwrap_or(now)),
                (_, now) => now,
            },
            ext4: match (&earlier.ext4, &later.ext4) {
                (Some(before), Some(now)) => Some(now.since(before)),
                (_, now) => now.clone(),
            },
            ..Self::all(later, time)
        });
        difference.unwrap_or_else(|| Self::all(later, time))
    }

    fn all(sample: &Sample, time: Duration) -> Self {
        let sample = sample.clone();
        Self {
            device: sample.device,
            mounted_on: sample.mounted_on,
            seconds: time.as_secs_f64(),
            counters: sample.counters,
            log: sample.log,
            commit_latency_ns: sample.commit_latency_ns,
            full_commits: sample.full_commits,
            ext4: sample.ext4,
        }
    }

    /// So many in a second.
    pub fn per_second(&self, count: u64) -> f64 {
        match self.seconds > 0.0 {
            true => count as f64 / self.seconds,
            false => 0.0,
        }
    }

    /// Bytes of log that a fast commit with something to log takes; 0 without one.
    pub fn bytes_per_commit(&self) -> u64 {
        let commits = self.counters.logged();
        self.counters.log_bytes.checked_div(commits).unwrap_or(0)
    }
}
