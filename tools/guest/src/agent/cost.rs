// SPDX-License-Identifier: GPL-2.0
//! What each fsync of a load costs, by the guest's clock, with marks for who counts
//! instructions outside; and what it sends to the device.

use super::mark::mark;
use super::{stats, trace};
use anyhow::Result;
use bytelog_guest::load::{Load, Runner, BATCH};
use bytelog_guest::proto::{Costs, IoCounts, Look};
use bytelog_guest::timed::{prepare, Timed};
use bytelog_trace::mark::Kind;
use std::path::Path;
use std::time::Instant;

/// Fsyncs after the first full commit that are not measured: caches fill.
const WARM_UP: u64 = 3;

/// A load that is ready to be measured.
fn warmed_up(load: Load, dir: &Path, fsyncs: u64, batch: u64) -> Result<Runner> {
    let runner = Runner::new(load, dir, WARM_UP + fsyncs, batch)?;
    // ext4 makes no fast commit before the first full one.
    rustix::fs::sync();
    for i in 0..WARM_UP {
        runner.sync(&runner.step(i)?)?;
    }
    Ok(runner)
}

/// Runs a load on a mounted filesystem. Nothing but the fsync is between the two
/// marks, and nothing is said to the host until the end.
pub fn measure(
    load: Load,
    dir: &Path,
    dev: &str,
    [fsyncs, batch, look_every]: [u64; 3],
) -> Result<Costs> {
    let runner = warmed_up(load, dir, fsyncs, batch)?;
    let mut nanos = vec![0; fsyncs as usize];
    let (before, log_before) = (stats::read(dev)?, stats::read_log(dev)?);
    let mut looks = Vec::new();
    mark(Kind::Start, 0);
    for (i, cost) in (WARM_UP..).zip(&mut nanos) {
        let file = runner.step(i)?;
        let start = Instant::now();
        mark(Kind::Sync, i);
        let synced = runner.sync(&file);
        mark(Kind::Synced, i);
        *cost = start.elapsed().as_nanos() as u64;
        synced?;
        let done = i + 1 - WARM_UP;
        if look_every > 0 && done % look_every == 0 {
            looks.push(Look {
                fsyncs: done,
                stats: stats::read(dev)?,
                log: stats::read_log(dev)?,
            });
        }
    }
    mark(Kind::Stop, 0);
    Ok(Costs {
        nanos,
        before,
        after: stats::read(dev)?,
        log: log_before.zip(stats::read_log(dev)?).map(<[_; 2]>::from),
        looks,
    })
}

/// Runs a load on a mounted filesystem and counts block writes and flushes.
pub fn count_io(
    load: Load,
    dir: &Path,
    dev: &str,
    fsyncs: u64,
    journal: &trace::Journal,
) -> Result<IoCounts> {
    let runner = warmed_up(load, dir, fsyncs, BATCH)?;
    trace::counting(dev, journal, || {
        for i in WARM_UP..WARM_UP + fsyncs {
            runner.sync(&runner.step(i)?)?;
        }
        Ok(fsyncs)
    })
}

/// Runs a job and takes its time; `journal` is where the filesystem's journal is, if
/// what reaches the device is to be counted.
pub fn timed(
    job: Timed,
    dir: &Path,
    dev: &str,
    ops: u64,
    journal: Option<&[(u64, u64)]>,
) -> Result<IoCounts> {
    let job = prepare(job, dir, ops)?;
    let Some(sectors) = journal else {
        let (nanos, fsyncs) = job.run()?;
        return Ok(IoCounts {
            nanos,
            fsyncs,
            ..IoCounts::default()
        });
    };
    trace::counting(dev, &trace::Journal { dev, sectors }, || Ok(job.run()?.1))
}
