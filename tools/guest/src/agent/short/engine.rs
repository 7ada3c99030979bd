// SPDX-License-Identifier: GPL-2.0
//! Runs workloads, and has them cut.

use super::site::{lap, Case, Site, LIVE};
use crate::agent::{mounts, stats};
use anyhow::{Context, Result};
use bytelog_guest::short::{
    look, Commit, Held, Job, Promise, Report, Space, Step, Sync, Track, Workload,
};
use fastrand::Rng;
use rustix::fs::{futimens, Timespec, Timestamps};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

pub struct Engine {
    site: Site,
    space: Space,
}

/// What a workload is cut in besides.
#[derive(Clone, Copy)]
struct Cuts {
    commits: bool,
    replays: bool,
}

/// ext4 commits nothing fast before the first full commit.
fn warm_up(root: &Path) -> Result<()> {
    let time = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let top = File::open(root)?;
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    futimens(&top, &times)?;
    Ok(rustix::fs::syncfs(&top)?)
}

impl Engine {
    pub fn new(job: &Job) -> Result<Self> {
        Ok(Self {
            site: Site::new(job)?,
            space: Space::new(),
        })
    }

    pub fn fits(&self, job: &Job) -> bool {
        self.site.fits(job)
    }

    pub fn run(&mut self, job: &Job) -> Result<Report> {
        let mut report = Report::default();
        for number in &job.numbers {
            let workload = self.space.workload(*number);
            let workload = workload.with_context(|| format!("no workload {number}"))?;
            if job.verbose {
                report.told.push(workload.to_string());
            }
            let mut rng = Rng::with_seed(*number);
            let mut chosen = |of: u64| of > 0 && rng.u64(..of) == 0;
            let cuts = Cuts {
                commits: chosen(job.cut_commits),
                replays: chosen(job.cut_replays),
            };
            let done = self.workload(&workload, cuts, &mut report);
            match done.with_context(|| workload.to_string())? {
                None => report.workloads += 1,
                Some(reason) => {
                    report.impossible += 1;
                    report.told.push(reason);
                }
            }
            if !job.verbose {
                report.told.clear();
            }
        }
        Ok(report)
    }

    /// Why a workload is not possible, if it is not.
    fn workload(
        &mut self,
        workload: &Workload,
        cuts: Cuts,
        report: &mut Report,
    ) -> Result<Option<String>> {
        self.site.begin(workload.start, &mut report.times)?;
        let done = self.steps(workload, cuts, report);
        let mut clock = Instant::now();
        mounts::unmount(LIVE)?;
        lap(&mut clock, &mut report.times.unmount);
        report.complaints(workload.number, "at work", &self.site.log.lines()?);
        done
    }

    fn steps(
        &mut self,
        workload: &Workload,
        cuts: Cuts,
        report: &mut Report,
    ) -> Result<Option<String>> {
        let root = Path::new(LIVE);
        let mut clock = Instant::now();
        warm_up(root)?;
        let mut track = Track::new(look(root)?);
        let mut held = Held::default();
        for (index, step) in workload.steps.iter().enumerate() {
            if let Err(err) = step.op.run(root, 100 + index as u64, &mut held) {
                return Ok(Some(format!("{step}: {err:#}")));
            }
            track.operation(step.op, look(root)?);
            if step.sync == Sync::Nothing {
                continue;
            }
            // What shorter workloads end with has been seen with them.
            let last = index + 1 == workload.steps.len();
            let seen = last || workload.steps.len() > 2;
            let before = (seen && cuts.commits)
                .then(|| (self.site.live.bytes().to_vec(), track.promise().clone()));
            if let Err(err) = self.sync(step, &held, &mut track, report) {
                return Ok(Some(format!("{step}: {err:#}")));
            }
            lap(&mut clock, &mut report.times.work);
            if !seen {
                continue;
            }
            let case = |what: &str, promise, older| Case {
                number: workload.number,
                start: workload.start,
                place: format!("{what} {}", index + 1),
                promise,
                older,
                in_replay: cuts.replays,
            };
            self.site
                .cut_now(&case("after step", track.promise(), track.older()), report)?;
            if let Some((image, promise)) = before {
                let now = track.promise().states.last().context("no state")?;
                let promise: Promise = promise.or(now.clone());
                let case = case("in the commit of step", &promise, track.older());
                self.site.cut_commit(&image, &case, report)?;
            }
            clock = Instant::now();
        }
        Ok(None)
    }

    /// Syncs, and sees how that was done.
    fn sync(&self, step: &Step, held: &Held, track: &mut Track, report: &mut Report) -> Result<()> {
        let root = Path::new(LIVE);
        let dev = self.site.live_dev();
        let target = step.target(root, held)?;
        let before = stats::read(&dev)?;
        step.sync(target.as_ref())?;
        let after = stats::read(&dev)?;
        let commit = if after.full > before.full {
            report.full += 1;
            Commit::Full
        } else if after.fast > before.fast {
            report.fast += 1;
            Commit::Fast
        } else {
            report.none += 1;
            Commit::None
        };
        report.told.push(format!("{step}: {commit:?}"));
        let ino = match &target {
            Some(file) => Some(file.metadata()?.ino()),
            None => None,
        };
        track.synced(step.sync, ino, commit, look(root)?);
        Ok(())
    }
}
