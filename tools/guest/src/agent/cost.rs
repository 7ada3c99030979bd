// SPDX-License-Identifier: GPL-2.0
//! What each fsync of a load costs, by the guest's clock. Where the machine
//! counts instructions, a nanosecond of that clock is one of them.

use super::stats;
use anyhow::Result;
use bytelog_guest::load::{Load, Runner};
use bytelog_guest::proto::Costs;
use std::path::Path;
use std::time::Instant;

/// Fsyncs after the first full commit that are not measured: caches fill.
const WARM_UP: u64 = 3;

/// Runs a load on a mounted filesystem. Nothing but the fsync is between the two
/// looks at the clock, and nothing is said to the host until the end.
pub fn measure(load: Load, dir: &Path, dev: &str, fsyncs: u64) -> Result<Costs> {
    let runner = Runner::new(load, dir, WARM_UP + fsyncs)?;
    // ext4 makes no fast commit before the first full one.
    rustix::fs::sync();
    for i in 0..WARM_UP {
        runner.sync(&runner.step(i)?)?;
    }
    let mut nanos = vec![0; fsyncs as usize];
    let before = stats::read(dev)?;
    for (i, cost) in (WARM_UP..).zip(&mut nanos) {
        let file = runner.step(i)?;
        let start = Instant::now();
        let synced = runner.sync(&file);
        *cost = start.elapsed().as_nanos() as u64;
        synced?;
    }
    Ok(Costs {
        nanos,
        before,
        after: stats::read(dev)?,
    })
}
