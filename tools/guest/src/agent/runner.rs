// SPDX-License-Identifier: GPL-2.0
//! Running a workload.

use super::{mark::mark, stats};
use anyhow::Result;
use bytelog_guest::ops::sync;
use bytelog_guest::proto::{FcStats, WorkloadResult};
use bytelog_guest::workload::Spec;
use bytelog_trace::mark::Kind;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Does what must be there before the workload, and commits it in full: ext4
/// makes no fast commit before the first full one.
pub fn prepare(spec: &Spec, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    for op in spec.setup() {
        op.run(dir)?;
    }
    rustix::fs::sync();
    Ok(())
}

/// Runs all operations, each with its fsync; `ack` is called after each fsync
/// and before the next operation.
pub fn run(
    spec: &Spec,
    dir: &Path,
    dev: &str,
    mut ack: impl FnMut(u64, Option<FcStats>) -> Result<()>,
) -> Result<WorkloadResult> {
    prepare(spec, dir)?;
    let before = stats::read(dev)?;
    ack(0, Some(before))?;
    let mut fsyncs = 0;
    let mut ops = spec.start()?;
    while let Some((op, _)) = ops.step()? {
        let file = op.run(dir)?;
        mark(Kind::Sync, fsyncs + 1);
        sync(&file)?;
        fsyncs += 1;
        mark(Kind::Synced, fsyncs);
        ack(fsyncs, stats::read(dev).ok())?;
        if spec.pause_us > 0 {
            sleep(Duration::from_micros(spec.pause_us));
        }
    }
    Ok(WorkloadResult {
        fsyncs,
        before,
        after: stats::read(dev)?,
    })
}
