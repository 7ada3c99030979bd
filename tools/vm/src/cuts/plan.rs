// SPDX-License-Identifier: GPL-2.0
//! What a seed stands for: everything of a cut that can be chosen before.

use crate::lab::Ext4;
use bytelog_guest::database;
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::stress::{Job, Member};
use std::time::Duration;

/// Options of mke2fs: a log that does not fill, and one that does.
const LOGS: [&str; 2] = [
    "-J size=8,fast_commit_size=2048",
    "-J size=4,fast_commit_size=64",
];

/// Shortly before 2^31, where a number counts as earlier than 0, and before they wrap.
const NUMBERS: [u32; 2] = [0x7fff_fff8, 0xffff_fff8];

/// Seconds between full commits, and the value of the option.
const OPTIONS: [(u32, &str); 3] = [(600, "on"), (1, "on"), (600, "force")];

/// Where the journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Inside: a filesystem on each pmem device.
    Internal,
    /// One filesystem on `data`, its journal on `journal`.
    External {
        data: DeviceKind,
        journal: DeviceKind,
    },
}

const EXTERNAL: [Layout; 4] = {
    use DeviceKind::{Disk, Sync, Virtio};
    [
        Layout::External {
            data: Disk,
            journal: Sync,
        },
        Layout::External {
            data: Disk,
            journal: Virtio,
        },
        Layout::External {
            data: Virtio,
            journal: Sync,
        },
        Layout::External {
            data: Sync,
            journal: Virtio,
        },
    ]
};

/// What all seeds of a run have in common.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mode {
    /// Filesystems with their journal on a device of its own.
    pub external: bool,
    /// Without the hook, without ByteLog: ext4's own fast commits.
    pub stock: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct ReplayCut {
    /// Time from the beginning of replay.
    pub delay: Duration,
    /// As for the first cut.
    pub at_flush: bool,
}

#[derive(Debug, Clone)]
pub struct Plan {
    pub ext4: Ext4,
    pub layout: Layout,
    pub mkfs: &'static str,
    /// The number of the journal's first transaction, if not 1.
    pub number: Option<u32>,
    pub opts: String,
    /// Threads on each device.
    pub threads: u64,
    /// Acknowledged steps of all threads at which the clock starts, and how long
    /// it runs to the cut.
    pub acks: u64,
    pub delay: Duration,
    /// The clock starts anew when the host is next asked to flush, which it does not
    /// do before the cut.
    pub at_flush: bool,
    /// Jobs that make no full commits: a log to replay.
    pub calm: bool,
    /// Whether the machine is killed; else a picture is taken of what a kill would
    /// leave, which saves starting another one.
    pub kill: bool,
    pub replay_cuts: Vec<ReplayCut>,
    /// Which of the pmem devices they meet, if it has a log: the same one each time, so
    /// that the second replay is of what the first one has left.
    pub replay_device: usize,
    /// What survives each cut.
    pub tears: fastrand::Rng,
    seed: u64,
}

impl Plan {
    /// A picture is of pmem alone, so that cuts of external journals always kill.
    pub fn new(seed: u64, Mode { external, stock }: Mode) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let kill = external || seed % 5 == 0;
        let replay_cuts = if !external && seed % 2 == 0 { 2 } else { 0 };
        let layout = match EXTERNAL.get(seed as usize % EXTERNAL.len()) {
            Some(layout) if external => *layout,
            _ => Layout::Internal,
        };
        let mkfs = LOGS[rng.usize(..LOGS.len())];
        let (commit, value) = OPTIONS[rng.usize(..OPTIONS.len())];
        let mut opts = format!("commit={commit}");
        if !stock {
            opts.push_str(&format!(",dax_fc_bytelog={value}"));
        }
        Self {
            ext4: if stock { Ext4::Stock } else { Ext4::ByteLog },
            layout,
            mkfs,
            number: match layout {
                Layout::Internal if !stock && seed % 3 == 2 => Some(NUMBERS[seed as usize % 2]),
                _ => None,
            },
            opts,
            threads: rng.u64(1..=4),
            acks: rng.u64(40..400),
            delay: Duration::from_micros(rng.u64(..20_000)),
            at_flush: rng.bool(),
            calm: (seed / EXTERNAL.len() as u64 + seed) % 2 == 0,
            kill,
            replay_cuts: (0..replay_cuts)
                .map(|_| ReplayCut {
                    delay: replay_delay(&mut rng),
                    at_flush: rng.bool(),
                })
                .collect(),
            replay_device: rng.usize(..2),
            tears: rng.fork(),
            seed,
        }
    }

    /// The job of a thread on a device.
    pub fn job(&self, device: u64, thread: u64) -> Job {
        Job {
            seed: (self.seed << 8) + (device << 4) + thread,
            calm: self.calm,
            aligned: self.layout.on_disk(),
            mapped: true,
            member: Some(Member(thread)),
        }
    }

    /// The database on a device. What goes with a rollback journal makes ext4 commit
    /// in full.
    pub fn database(&self, device: u64) -> database::Job {
        let seed = (self.seed << 8) + (device << 4) + 0xf;
        let mut rng = fastrand::Rng::with_seed(seed);
        let modes = database::Mode::ALL;
        let mode = modes[rng.usize(..modes.len())];
        database::Job {
            seed,
            mode: if self.calm { database::Mode::Wal } else { mode },
            page: 1024 << rng.u32(..4),
        }
    }
}

/// How long a replay takes is for the log and the host to say: so the delay may be of
/// each order.
fn replay_delay(rng: &mut fastrand::Rng) -> Duration {
    Duration::from_micros(rng.u64(..64_000) >> rng.u32(..8))
}

impl Layout {
    /// Files are on a disk, which has no DAX.
    pub fn on_disk(self) -> bool {
        matches!(
            self,
            Self::External {
                data: DeviceKind::Disk,
                ..
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn mode(external: bool) -> Mode {
        let stock = false;
        Mode { external, stock }
    }

    #[test]
    fn stock_ext4_knows_no_option_of_ours() {
        let mode = Mode {
            stock: true,
            ..Mode::default()
        };
        for seed in 0..20 {
            let opts = Plan::new(seed, mode).opts;
            assert!(opts.starts_with("commit=") && !opts.contains(','), "{opts}");
        }
    }

    #[test]
    fn a_seed_is_a_plan() {
        let text = |seed| format!("{:?}", Plan::new(seed, mode(seed == 4)));
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn no_two_jobs_are_the_same() {
        let mut seen = HashSet::new();
        for seed in 0..20 {
            let plan = Plan::new(seed, mode(seed % 2 == 0));
            for device in 0..2 {
                for thread in 0..4 {
                    assert!(seen.insert(plan.job(device, thread).seed));
                }
                assert!(seen.insert(plan.database(device).seed));
            }
        }
    }
}
