// SPDX-License-Identifier: GPL-2.0
//! One workload in one mode, measured.

use super::fcinfo::FcInfo;
use super::workload::Workload;
use crate::bench::cost::{mean, quantile};
use crate::bench::machine::Machine;
use crate::bench::rows::{Mode, Rows};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, FcStats};

/// Bytes of a block that a stock fast commit writes.
const BLOCK: u64 = 4096;

/// What was measured.
#[derive(Debug, Default)]
pub struct Sample {
    /// Of each fsync, sorted.
    instructions: Vec<u64>,
    fast: u64,
    full: u64,
    /// Bytes of the log that fast commits have written.
    log_bytes: u64,
    /// Why commits were full, as far as fc_info tells.
    pub reasons: Vec<(String, u64)>,
}

/// The counters of a mounted filesystem.
struct Counters {
    stats: FcStats,
    info: FcInfo,
    log_bytes: u64,
}

impl Counters {
    fn read(machine: &mut Machine, mode: Mode) -> Result<Self> {
        let dev = machine.dev.clone();
        let mut read = |path: String| machine.lab.call::<String>(Cmd::Read { path });
        let info = FcInfo::parse(&read(format!("/proc/fs/ext4/{}/fc_info", dev.name))?);
        let log_bytes = match mode {
            Mode::Bytelog => {
                let path = format!("/sys/kernel/debug/ext4_bytelog/{}/log_bytes", dev.name);
                let text = read(path)?;
                text.trim().parse().with_context(|| text.clone())?
            }
            _ => info.blocks * BLOCK,
        };
        Ok(Self {
            stats: machine.lab.stats(&dev)?,
            info,
            log_bytes,
        })
    }
}

/// Runs a workload on a fresh filesystem.
pub fn measure(machine: &mut Machine, workload: Workload, mode: Mode, ops: u64) -> Result<Sample> {
    machine.set_up(mode, "")?;
    workload.with(machine, ops, |running| {
        // ext4 makes no fast commit before the first full one of a mount.
        running.machine().lab.must_run("sync")?;
        let before = Counters::read(running.machine(), mode)?;
        record(running.machine(), true)?;
        let said = running.run()?;
        record(running.machine(), false)?;
        let after = Counters::read(running.machine(), mode)?;
        let counted = running.machine().segment()?;
        let calls = counted.calls.iter().map(|call| call.instructions);
        let mut instructions: Vec<u64> = calls.collect();
        instructions.sort_unstable();
        let fsyncs = instructions.len() as u64;
        ensure!(
            said.is_none_or(|said| said == fsyncs),
            "{said:?} fsyncs were made, {fsyncs} counted"
        );
        Ok(Sample {
            instructions,
            fast: after.stats.fast - before.stats.fast,
            full: after.stats.full - before.stats.full,
            log_bytes: after.log_bytes - before.log_bytes,
            reasons: after.info.since(&before.info),
        })
    })
}

/// Starts counting, or stops.
fn record(machine: &mut Machine, on: bool) -> Result<()> {
    let segment = on.then_some(0);
    machine.lab.call(Cmd::Trace { segment })
}

impl Sample {
    /// In a line.
    pub fn summary(&self) -> String {
        format!(
            "{} fsyncs, {} fast commits, {} full, {:.0} instructions each",
            self.instructions.len(),
            self.fast,
            self.full,
            mean(&self.instructions)
        )
    }

    /// The figures, as rows.
    pub fn push(&self, device: &str, workload: &str, mode: Mode, rows: &mut Rows) {
        let fsyncs = self.instructions.len() as f64;
        for (metric, value) in [
            ("fsyncs", fsyncs),
            ("fast", self.fast as f64),
            ("full", self.full as f64),
            ("instr_mean", mean(&self.instructions)),
            ("instr_p99", quantile(&self.instructions, 0.99)),
            ("log_bytes", self.log_bytes as f64 / fsyncs.max(1.0)),
        ] {
            rows.push(device, workload, mode, metric, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_per_fsync() {
        let sample = Sample {
            instructions: vec![100, 200, 300, 1000],
            fast: 3,
            full: 1,
            log_bytes: 512,
            reasons: Vec::new(),
        };
        let mut rows = Rows::default();
        sample.push("sync", "editor", Mode::Bytelog, &mut rows);
        let of = |metric| rows.get("sync", "editor", Mode::Bytelog, metric);
        assert_eq!(
            (of("fsyncs"), of("fast"), of("full")),
            (Some(4.0), Some(3.0), Some(1.0))
        );
        assert_eq!(
            (of("instr_mean"), of("instr_p99")),
            (Some(400.0), Some(1000.0))
        );
        assert_eq!(of("log_bytes"), Some(128.0));
    }
}
