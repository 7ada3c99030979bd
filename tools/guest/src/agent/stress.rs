// SPDX-License-Identifier: GPL-2.0
//! Running one thread's random steps, and judging what a cut left of them.

use anyhow::Result;
use bytelog_guest::stress::{judge, look, Generator, Job, Verdict};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Counts the stops: a run ends when it sees another number than at its start.
static STOPS: AtomicU64 = AtomicU64::new(0);

pub fn stop() {
    STOPS.fetch_add(1, SeqCst);
}

/// Runs steps until they are stopped; `ack` is called after each of them and
/// before the next.
pub fn run(job: &Job, dir: &Path, mut ack: impl FnMut(u64) -> Result<()>) -> Result<()> {
    fs::create_dir_all(dir)?;
    rustix::fs::sync();
    let mut steps = Generator::new(job);
    let stops = STOPS.load(SeqCst);
    for done in 0.. {
        ack(done)?;
        if STOPS.load(SeqCst) != stops {
            break;
        }
        steps.step()?.run(dir)?;
    }
    Ok(())
}

pub fn check(job: &Job, dir: &Path, acked: u64) -> Result<Verdict> {
    judge(job, acked, &look(dir)?)
}
