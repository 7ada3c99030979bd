// SPDX-License-Identifier: GPL-2.0
//! Running one thread's random steps, or a database's transactions, and judging what a
//! cut left of them.

use anyhow::Result;
use bytelog_guest::database;
use bytelog_guest::stress::{judge, look, Generator, Job, Verdict, SHARED};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Counts the stops: a run ends when it sees another number than at its start.
static STOPS: AtomicU64 = AtomicU64::new(0);

pub fn stop() {
    STOPS.fetch_add(1, SeqCst);
}

/// Does one thing after the other until there have been other than `stops` stops;
/// `ack` is called before each, with how many are done.
fn repeat(
    stops: u64,
    mut ack: impl FnMut(u64) -> Result<()>,
    mut next: impl FnMut() -> Result<()>,
) -> Result<()> {
    for done in 0.. {
        ack(done)?;
        if STOPS.load(SeqCst) != stops {
            break;
        }
        next()?;
    }
    Ok(())
}

pub fn run(job: &Job, dir: &Path, ack: impl FnMut(u64) -> Result<()>) -> Result<()> {
    // A stop counts from here on, although what comes first takes its time.
    let stops = STOPS.load(SeqCst);
    fs::create_dir_all(dir)?;
    if job.member.is_some() {
        fs::create_dir_all(dir.join(SHARED))?;
    }
    rustix::fs::sync();
    let mut steps = Generator::new(job);
    repeat(stops, ack, || steps.step()?.run(dir))
}

pub fn run_database(
    job: &database::Job,
    dir: &Path,
    ack: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    // A stop counts from here on, although what comes first takes its time.
    let stops = STOPS.load(SeqCst);
    fs::create_dir_all(dir)?;
    let mut store = database::Store::create(job, dir)?;
    rustix::fs::sync();
    let mut steps = database::Generator::new(job.seed);
    repeat(stops, ack, || store.commit(&steps.step()))
}

pub fn check(job: &Job, dir: &Path, acked: u64) -> Result<Verdict> {
    judge(job, acked, &look(dir, job.member)?)
}

pub fn check_database(job: &database::Job, dir: &Path, acked: u64) -> Result<Verdict> {
    Ok(database::judge(job, acked, &database::look(dir)?))
}
