// SPDX-License-Identifier: GPL-2.0
//! The two devices: the one that is worked on, and the one where what a cut left of it
//! is looked at.

use super::cut::Journal;
use super::memory::Memory;
use crate::agent::kmsg::Tail;
use crate::agent::{exec, mounts};
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::short::{
    judge, look, same, Job, Kind, Promise, Report, Start, State, Times, Verdict, STARTS,
};
use fastrand::Rng;
use rustix::mount::{mount, MountFlags};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;
use std::time::Instant;

/// Where the filesystem is mounted, and what a cut left of it.
pub const LIVE: &str = "/mnt/live";
const CUT: &str = "/mnt/cut";

/// Blocks of the filesystem, and MiB of its journal, of which it can be half.
const BLOCKS: usize = 2816;
const JOURNAL_MIB: usize = 4;

pub struct Site {
    dev: String,
    opts: String,
    pub live: Memory,
    cut: Memory,
    /// The device before a workload, and where its journal is.
    starts: BTreeMap<Start, (Vec<u8>, Journal)>,
    pub log: Tail,
}

/// Adds the time since then, and begins anew.
pub fn lap(since: &mut Instant, to: &mut u64) {
    *to += since.elapsed().as_micros() as u64;
    *since = Instant::now();
}

/// A cut: after how many steps of which workload, and what is promised then.
pub struct Case<'a> {
    pub number: u64,
    pub start: Start,
    pub place: String,
    pub promise: &'a Promise,
    pub older: &'a [State],
    pub in_replay: bool,
}

fn argv(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

impl Site {
    pub fn new(job: &Job) -> Result<Self> {
        let part = |number| Memory::map(&format!("{}p{number}", job.dev), BLOCKS);
        let mut site = Self {
            dev: job.dev.clone(),
            opts: job.opts.clone(),
            live: part(1)?,
            cut: part(2)?,
            starts: BTreeMap::new(),
            log: Tail::from_now()?,
        };
        for start in STARTS {
            let made = site.make(start)?;
            site.starts.insert(start, made);
        }
        Ok(site)
    }

    pub fn fits(&self, job: &Job) -> bool {
        (&self.dev, &self.opts) == (&job.dev, &job.opts)
    }

    pub fn live_dev(&self) -> String {
        format!("{}p1", self.dev)
    }

    fn cut_dev(&self) -> String {
        format!("{}p2", self.dev)
    }

    fn mount(&self, dev: &str, dir: &str) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        self.log.lines()?;
        let (dev, opts) = (format!("/dev/{dev}"), CString::new(self.opts.as_str())?);
        let done = mount(
            dev.as_str(),
            dir,
            "ext4",
            MountFlags::NOATIME,
            opts.as_c_str(),
        );
        if let Err(err) = done {
            bail!("mount {dev}: {err}: {}", self.log.lines()?.join(" | "));
        }
        Ok(())
    }

    /// Makes what workloads begin with.
    fn make(&mut self, start: Start) -> Result<(Vec<u8>, Journal)> {
        let dev = self.live_dev();
        self.live.set(&[0; BLOCKS * super::memory::BLOCK]);
        let line = format!(
            "mke2fs -q -F -t ext4 -b 4096 -O fast_commit -N 512 -E lazy_itable_init=0 \
             -J size={JOURNAL_MIB} /dev/{dev} {BLOCKS}"
        );
        let made = exec::run(&argv(&line), "")?;
        ensure!(made.status == 0, "{line}: {}", made.output);
        let blocks = ["debugfs", "-R", "blocks <8>", &format!("/dev/{dev}")];
        let blocks = exec::run(&blocks.map(String::from), "")?.output;
        let numbers = blocks
            .split_whitespace()
            .filter_map(|word| word.parse().ok());
        self.mount(&dev, LIVE)?;
        start.make(Path::new(LIVE))?;
        mounts::unmount(LIVE)?;
        let image = self.live.bytes().to_vec();
        let journal = Journal::new(&image, &numbers.collect::<Vec<usize>>())?;
        Ok((image, journal))
    }

    /// Mounts what a workload begins with.
    pub fn begin(&mut self, start: Start, times: &mut Times) -> Result<()> {
        let mut clock = Instant::now();
        let (image, _) = self.starts.get(&start).context("no such start")?;
        self.live.set(image);
        lap(&mut clock, &mut times.restore);
        self.mount(&self.live_dev(), LIVE)?;
        lap(&mut clock, &mut times.mount);
        Ok(())
    }

    /// Cuts here and now.
    pub fn cut_now(&mut self, case: &Case, report: &mut Report) -> Result<()> {
        let mut clock = Instant::now();
        self.cut.set(self.live.bytes());
        lap(&mut clock, &mut report.times.copy);
        report.cuts += 1;
        self.examine(case, report)
    }

    /// Cuts in a commit that has led from `before` to what is there now.
    pub fn cut_commit(&mut self, before: &[u8], case: &Case, report: &mut Report) -> Result<()> {
        let (_, journal) = self.starts.get(&case.start).context("no such start")?;
        let mut rng = Rng::with_seed(case.number);
        let image = journal.in_commit(before, self.live.bytes(), &mut rng)?;
        self.cut.set(&image);
        report.in_commits += 1;
        self.examine(case, report)
    }

    /// Looks at what a cut has left, and at what one in the replay of that leaves.
    fn examine(&mut self, case: &Case, report: &mut Report) -> Result<()> {
        let before = case.in_replay.then(|| self.cut.bytes().to_vec());
        let mut between = None;
        let seen = self.recover(case, &case.place, report, |cut| {
            between = before.is_some().then(|| cut.bytes().to_vec());
        })?;
        let (Some(before), Some(after), Some(seen)) = (before, between, seen) else {
            return Ok(());
        };
        let (_, journal) = self.starts.get(&case.start).context("no such start")?;
        let mut rng = Rng::with_seed(!case.number);
        self.cut.set(&journal.in_replay(&before, &after, &mut rng)?);
        report.in_replays += 1;
        let place = format!("{}, cut in its replay", case.place);
        let again = self.recover(case, &place, report, |_| {})?;
        if let Some(again) = again {
            let findings = same(&seen, &again, &case.promise.times);
            let place = format!("{place}, against the first");
            report.fail(case.number, Kind::Mixed, &place, findings);
        }
        Ok(())
    }

    /// Mounts what a cut has left, compares it with what was promised, and checks it;
    /// `mounted` sees the device behind its replay.
    fn recover(
        &mut self,
        case: &Case,
        place: &str,
        report: &mut Report,
        mounted: impl FnOnce(&Memory),
    ) -> Result<Option<State>> {
        let number = case.number;
        let mut clock = Instant::now();
        if let Err(err) = self.mount(&self.cut_dev(), CUT) {
            report.fail(number, Kind::Lost, place, vec![format!("{err:#}")]);
            return Ok(None);
        }
        mounted(&self.cut);
        lap(&mut clock, &mut report.times.remount);
        let seen = look(Path::new(CUT));
        match &seen {
            Ok(state) => match judge(state, case.promise, case.older) {
                Verdict::Good => {}
                Verdict::Lost(findings) => report.fail(number, Kind::Lost, place, findings),
                Verdict::Mixed(findings) => report.fail(number, Kind::Mixed, place, findings),
            },
            Err(err) => report.fail(number, Kind::Mixed, place, vec![format!("{err:#}")]),
        }
        lap(&mut clock, &mut report.times.compare);
        report.complaints(number, place, &self.log.lines()?);
        mounts::unmount(CUT)?;
        lap(&mut clock, &mut report.times.unmount);
        let run = exec::run(&argv(&format!("e2fsck -fn /dev/{}", self.cut_dev())), "")?;
        lap(&mut clock, &mut report.times.check);
        if run.status != 0 {
            ensure!(
                run.status & 4 != 0,
                "e2fsck: exit {}: {}",
                run.status,
                run.output
            );
            let findings = run.output.lines().map(str::to_owned).collect();
            let place = format!("{place}, e2fsck");
            report.fail(number, Kind::Complaint, &place, findings);
        }
        Ok(seen.ok())
    }
}
