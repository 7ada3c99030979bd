// SPDX-License-Identifier: GPL-2.0
//! Random cuts, one seed after the other, until there have been enough.

mod cycle;
mod plan;
mod power;
mod replay;
mod threads;

pub use plan::Mode;
pub use power::{keep, keep_as};
pub use replay::count as replayed;
pub use threads::{Thread, Work};

use crate::config::VmConfig;
use crate::lab::Lab;
use anyhow::Result;
use std::fmt;
use std::ops::AddAssign;

/// Size of the virtio-pmem device in MiB: every flush copies it.
const VIRTIO_MIB: u64 = 48;

/// The filesystem is not as it must be after a cut: what tells such a failure from
/// one of the machine.
#[derive(Debug)]
pub struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lost in a cut")
    }
}

/// What one seed, or many, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub cuts: u64,
    /// Cuts that killed the machine; of the others a picture was taken.
    pub kills: u64,
    /// Cuts during a mount that was replaying the log.
    pub in_replay: u64,
    /// Those of them where a replay of the same log had been cut before.
    pub again: u64,
    /// Cuts while the host was asked to flush.
    pub held: u64,
    /// Steps that had been acknowledged, and transactions of databases.
    pub steps: u64,
    pub transactions: u64,
    /// Fast commits that were replayed.
    pub replayed: u64,
    /// Blocks of virtio-pmem with stores that no flush had covered, and those of
    /// them that lost some.
    pub unflushed: u64,
    pub discarded: u64,
    /// The same of the disk, in sectors of 512 bytes.
    pub loose: u64,
    pub dropped: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.kills += other.kills;
        self.in_replay += other.in_replay;
        self.again += other.again;
        self.held += other.held;
        self.steps += other.steps;
        self.transactions += other.transactions;
        self.replayed += other.replayed;
        self.unflushed += other.unflushed;
        self.discarded += other.discarded;
        self.loose += other.loose;
        self.dropped += other.dropped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cuts ({} kills, {} in replay, {} of them in the second one, {} before a \
             flush), {} steps and {} transactions acknowledged, \
             {} fast commits replayed, {} of {} unflushed blocks and {} of {} sectors \
             discarded",
            self.cuts,
            self.kills,
            self.in_replay,
            self.again,
            self.held,
            self.steps,
            self.transactions,
            self.replayed,
            self.discarded,
            self.unflushed,
            self.dropped,
            self.loose
        )
    }
}

/// Runs seed after seed until there have been `cuts` cuts. `report` is told of each
/// and says whether to go on; what a cut lost comes as an error.
pub fn run(
    lab: &mut Lab,
    first: u64,
    cuts: u64,
    mode: Mode,
    report: impl FnMut(u64, Result<Tally>) -> Result<bool>,
) -> Result<()> {
    let before = lab.config.clone();
    lab.reconfigure(VmConfig {
        virtio_mib: VIRTIO_MIB,
        watch_flushes: true,
        ..before.clone()
    })?;
    let outcome = seeds(lab, first, cuts, mode, report);
    // Other tests follow, whatever this came to.
    lab.reconfigure(before).and(outcome)
}

fn seeds(
    lab: &mut Lab,
    first: u64,
    cuts: u64,
    mode: Mode,
    mut report: impl FnMut(u64, Result<Tally>) -> Result<bool>,
) -> Result<()> {
    let mut done = 0;
    for seed in first.. {
        let outcome = cycle::run(lab, seed, mode);
        // A seed that failed has cut the power at least once.
        done += outcome.as_ref().map_or(1, |tally| tally.cuts);
        if let Err(err) = &outcome {
            let said = format!(
                "{err:#}\n--- end of the kernel log\n{}\n",
                lab.console_tail(200)
            );
            lab.abandon();
            power::keep_as(seed, &said)?;
        }
        if !report(seed, outcome)? || done >= cuts {
            break;
        }
    }
    Ok(())
}
