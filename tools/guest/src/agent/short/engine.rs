// SPDX-License-Identifier: GPL-2.0
//! Runs workloads: the device is put as it was, the steps are made, what a cut would
//! leave is copied to another device, and looked at there.

use super::memory::Memory;
use crate::agent::kmsg::Tail;
use crate::agent::{exec, mounts, stats};
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::short::{
    judge, look, Commit, Failure, Held, Job, Kind, Promise, Report, Space, Start, State, Sync,
    Times, Track, Verdict, Workload, STARTS,
};
use rustix::fs::{futimens, Timespec, Timestamps};
use rustix::mount::{mount, MountFlags};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

/// Where the filesystem is mounted, and what a cut left of it.
const LIVE: &str = "/mnt/live";
const CUT: &str = "/mnt/cut";

/// Blocks of the filesystem, and KiB of its journal.
const BLOCKS: u64 = 3072;

pub struct Engine {
    dev: String,
    opts: String,
    space: Space,
    live: Memory,
    cut: Memory,
    /// The device before a workload.
    starts: BTreeMap<Start, Vec<u8>>,
    log: Tail,
}

/// Adds the time since then, and begins anew.
fn lap(since: &mut Instant, to: &mut u64) {
    *to += since.elapsed().as_micros() as u64;
    *since = Instant::now();
}

/// What the kernel complains of, in a line of its log.
fn is_complaint(line: &str) -> bool {
    const BAD: &[&str] = &[
        "EXT4-fs error",
        "EXT4-fs warning",
        "EXT4-fs (pmem0p1): error",
        "Aborting journal",
        "JBD2:",
        "WARNING:",
        "BUG:",
        "Oops",
        "log damaged",
        "log closed",
    ];
    BAD.iter().any(|bad| line.contains(bad))
}

impl Engine {
    pub fn new(job: &Job) -> Result<Self> {
        let part = |number| format!("{}p{number}", job.dev);
        let mut engine = Self {
            dev: job.dev.clone(),
            opts: job.opts.clone(),
            space: Space::new(),
            live: Memory::map(&part(1))?,
            cut: Memory::map(&part(2))?,
            starts: BTreeMap::new(),
            log: Tail::from_now()?,
        };
        for start in STARTS {
            let image = engine.make(start)?;
            engine.starts.insert(start, image);
        }
        Ok(engine)
    }

    pub fn fits(&self, job: &Job) -> bool {
        (&self.dev, &self.opts) == (&job.dev, &job.opts)
    }

    fn live_dev(&self) -> String {
        format!("{}p1", self.dev)
    }

    fn cut_dev(&self) -> String {
        format!("{}p2", self.dev)
    }

    fn mount(&self, dev: &str, dir: &str) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        let (dev, opts) = (format!("/dev/{dev}"), CString::new(self.opts.as_str())?);
        let done = mount(dev.as_str(), dir, "ext4", MountFlags::NOATIME, opts.as_c_str());
        done.with_context(|| format!("mount {dev}"))
    }

    /// Makes what workloads begin with, and returns it.
    fn make(&mut self, start: Start) -> Result<Vec<u8>> {
        let len = self.live.bytes().len();
        self.live.set(&vec![0; len]);
        let line = format!(
            "mke2fs -q -F -t ext4 -b 4096 -O fast_commit -N 512 -E lazy_itable_init=0 \
             -J size=4 /dev/{} {BLOCKS}",
            self.live_dev()
        );
        let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let made = exec::run(&argv, "")?;
        ensure!(made.status == 0, "{line}: {}", made.output);
        self.log.lines()?;
        if let Err(err) = self.mount(&self.live_dev(), LIVE) {
            bail!("{err:#}: {}", self.log.lines()?.join(" | "));
        }
        start.make(Path::new(LIVE))?;
        mounts::unmount(LIVE)?;
        Ok(self.live.bytes().to_vec())
    }

    pub fn run(&mut self, job: &Job) -> Result<Report> {
        let mut report = Report::default();
        for number in &job.numbers {
            let workload = self.space.workload(*number);
            let workload = workload.with_context(|| format!("no workload {number}"))?;
            if job.verbose {
                report.told.push(workload.to_string());
            }
            self.log.lines()?;
            self.workload(job, &workload, &mut report)
                .with_context(|| workload.to_string())?;
            let lines = self.log.lines()?;
            let bad: Vec<String> = lines.into_iter().filter(|line| is_complaint(line)).collect();
            if !bad.is_empty() {
                report.failures.push(Failure {
                    number: *number,
                    kind: Kind::Complaint,
                    place: "kernel log".into(),
                    findings: bad,
                });
            }
        }
        Ok(report)
    }

    fn workload(&mut self, job: &Job, workload: &Workload, report: &mut Report) -> Result<()> {
        let mut clock = Instant::now();
        let image = self.starts.get(&workload.start).context("no such start")?;
        self.live.set(image);
        lap(&mut clock, &mut report.times.restore);
        self.mount(&self.live_dev(), LIVE)?;
        lap(&mut clock, &mut report.times.mount);
        let done = self.steps(job, workload, report);
        let mut clock = Instant::now();
        mounts::unmount(LIVE)?;
        lap(&mut clock, &mut report.times.unmount);
        match done? {
            true => report.workloads += 1,
            false => report.impossible += 1,
        }
        Ok(())
    }

    /// The steps of a workload; false if one of them is not possible.
    fn steps(&mut self, job: &Job, workload: &Workload, report: &mut Report) -> Result<bool> {
        let root = Path::new(LIVE);
        let mut clock = Instant::now();
        // ext4 commits nothing fast before the first full commit.
        let epoch = Timespec { tv_sec: 1, tv_nsec: 0 };
        let top = File::open(root)?;
        futimens(&top, &Timestamps { last_access: epoch, last_modification: epoch })?;
        rustix::fs::syncfs(&top)?;
        drop(top);
        let mut track = Track::new(look(root)?);
        let mut held = Held::default();
        let last = workload.steps.len() - 1;
        for (index, step) in workload.steps.iter().enumerate() {
            if let Err(err) = step.op.run(root, 100 + index as u64, &mut held) {
                if job.verbose {
                    report.told.push(format!("{step}: {err:#}"));
                }
                return Ok(false);
            }
            track.operation(step.op, look(root)?);
            if step.sync == Sync::Nothing {
                continue;
            }
            let target = match step.target(root, &held) {
                Ok(target) => target,
                Err(_) => return Ok(false),
            };
            let before = stats::read(&self.live_dev())?;
            if let Err(err) = step.sync(target.as_ref()) {
                if job.verbose {
                    report.told.push(format!("{step}: {err:#}"));
                }
                return Ok(false);
            }
            let after = stats::read(&self.live_dev())?;
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
            if job.verbose {
                report.told.push(format!("{step}: {commit:?}"));
            }
            let ino = match &target {
                Some(file) => Some(file.metadata()?.ino()),
                None => None,
            };
            track.synced(step.sync, ino, commit, look(root)?);
            lap(&mut clock, &mut report.times.work);
            // What shorter workloads begin with has been seen with them.
            if index == last || workload.steps.len() > 2 {
                let place = format!("after step {}", index + 1);
                self.copy(&mut report.times);
                report.cuts += 1;
                self.examine(workload, &place, track.promise(), track.older(), report)?;
                clock = Instant::now();
            }
        }
        Ok(true)
    }

    /// Copies what a cut would leave now.
    fn copy(&mut self, times: &mut Times) {
        let mut clock = Instant::now();
        self.cut.set(self.live.bytes());
        lap(&mut clock, &mut times.copy);
    }

    /// Mounts what a cut has left, compares it with what was promised, and checks it.
    fn examine(
        &mut self,
        workload: &Workload,
        place: &str,
        promise: &Promise,
        older: &[State],
        report: &mut Report,
    ) -> Result<()> {
        let mut clock = Instant::now();
        let mut fail = |kind, findings: Vec<String>| {
            report.failures.push(Failure {
                number: workload.number,
                kind,
                place: place.to_owned(),
                findings,
            });
        };
        if let Err(err) = self.mount(&self.cut_dev(), CUT) {
            let mut findings = vec![format!("{err:#}")];
            findings.extend(self.log.lines()?);
            fail(Kind::Lost, findings);
            return Ok(());
        }
        lap(&mut clock, &mut report.times.remount);
        let seen = look(Path::new(CUT));
        let mut fail = |kind, findings: Vec<String>| {
            report.failures.push(Failure {
                number: workload.number,
                kind,
                place: place.to_owned(),
                findings,
            });
        };
        match seen {
            Ok(state) => match judge(&state, promise, older) {
                Verdict::Good => {}
                Verdict::Lost(findings) => fail(Kind::Lost, findings),
                Verdict::Mixed(findings) => fail(Kind::Mixed, findings),
            },
            Err(err) => fail(Kind::Mixed, vec![format!("{err:#}")]),
        }
        lap(&mut clock, &mut report.times.compare);
        mounts::unmount(CUT)?;
        lap(&mut clock, &mut report.times.unmount);
        let argv = ["e2fsck", "-fn", &format!("/dev/{}", self.cut_dev())].map(String::from);
        let run = exec::run(&argv, "")?;
        lap(&mut clock, &mut report.times.check);
        if run.status != 0 {
            if run.status >= 8 && run.status & 4 == 0 {
                bail!("e2fsck: exit {}: {}", run.status, run.output);
            }
            report.failures.push(Failure {
                number: workload.number,
                kind: Kind::Complaint,
                place: format!("e2fsck {place}"),
                findings: run.output.lines().map(str::to_owned).collect(),
            });
        }
        Ok(())
    }
}
