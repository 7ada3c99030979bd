// SPDX-License-Identifier: GPL-2.0
//! xfstests, in two ways: on stock ext4 with its own fast commits, and with
//! `dax_fc_bytelog=on`. What matters is what differs.
//!
//! The tests are taken a few at a time, in both modes one after the other, each
//! time in a machine of its own.

mod choice;
mod counts;
mod machine;
mod output;
mod record;
mod report;

use crate::config::VmConfig;
use crate::lab::Lab;
use anyhow::{Context, Result};
use machine::Machine;
use record::{Entry, Mode, Record};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs of a test that differs, in each mode.
const TRIES: usize = 2;

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Image of the root that the tests run in
    #[arg(long)]
    root: PathBuf,
    /// Image of an installed xfstests
    #[arg(long)]
    xfstests: PathBuf,
    /// File that says what has been run; a run goes on where it ends
    #[arg(long)]
    record: PathBuf,
    /// Tests, groups and directories, as in "generic/001 generic/quick log ext4";
    /// with a minus before it, not this one
    #[arg(long, default_value = choice::DEFAULT, allow_hyphen_values = true)]
    tests: String,
    /// Seconds for one test
    #[arg(long, default_value_t = 600)]
    limit: u64,
    /// Tests in one machine
    #[arg(long, default_value_t = 12)]
    batch: usize,
    /// Only print what the record has
    #[arg(long)]
    report: bool,
}

impl Args {
    /// The same with paths that hold in any directory.
    pub fn resolve(self) -> Result<Self> {
        let find = |path: &Path| {
            path.canonicalize()
                .with_context(|| path.display().to_string())
        };
        Ok(Self {
            root: find(&self.root)?,
            xfstests: find(&self.xfstests)?,
            record: std::path::absolute(&self.record)?,
            ..self
        })
    }

    /// The disks that a machine has for this.
    pub fn disks(&self) -> Vec<PathBuf> {
        vec![self.root.clone(), self.xfstests.clone()]
    }
}

fn keep(record: &Record, entry: &Entry, files: &[(String, String)]) -> Result<()> {
    for (kind, text) in files {
        let dir = record.dir().join(entry.mode.name());
        fs::create_dir_all(&dir)?;
        let name = format!("{}.{kind}", entry.test.replace('/', "-"));
        fs::write(dir.join(name), text)?;
    }
    Ok(())
}

/// Runs tests in one mode until each of them has an end.
fn run_batch(
    lab: &mut Lab,
    record: &mut Record,
    mode: Mode,
    mut tests: Vec<String>,
    limit: Duration,
) -> Result<()> {
    while !tests.is_empty() {
        let before = tests.len();
        Machine::start(lab, mode)?.run(&tests.clone(), limit, |entry, files| {
            println!(
                "{} {}: {:?}, {} s, {} fast commits",
                mode.name(),
                entry.test,
                entry.outcome,
                entry.seconds,
                entry.counts.fast
            );
            tests.retain(|test| *test != entry.test);
            keep(record, &entry, files)?;
            record.add(entry)
        })?;
        anyhow::ensure!(
            tests.len() < before,
            "xfstests says nothing of {}: {}",
            tests.join(" "),
            lab.console_tail(20)
        );
    }
    Ok(())
}

fn all_tests(lab: &mut Lab) -> Result<Vec<choice::Listed>> {
    let mut machine = Machine::start(lab, Mode::Stock)?;
    let mut all = Vec::new();
    for dir in choice::DIRS {
        all.extend(choice::parse(dir, &machine.group_list(dir)?));
    }
    Ok(all)
}

/// True if no test ends differently.
pub fn run(config: &VmConfig, kver: Option<&str>, args: &Args) -> Result<bool> {
    let mut record = Record::open(&args.record)?;
    let mut lab = Lab::new(config, kver, 1);
    let tests = choice::choose(&all_tests(&mut lab)?, &args.tests)?;
    let limit = Duration::from_secs(args.limit);
    println!("{} tests, record in {}", tests.len(), args.record.display());
    for batch in tests.chunks(args.batch.max(1)).filter(|_| !args.report) {
        for mode in Mode::ALL {
            let left = batch
                .iter()
                .filter(|test| record.runs(test, mode).is_empty());
            let left = left.cloned().collect();
            run_batch(&mut lab, &mut record, mode, left, limit)?;
        }
        // What differs has to do so again.
        for mode in Mode::ALL {
            let unsure = batch.iter().filter(|test| {
                report::differed_once(&record, test) && record.runs(test, mode).len() < TRIES
            });
            let unsure = unsure.cloned().collect();
            run_batch(&mut lab, &mut record, mode, unsure, limit)?;
        }
    }
    lab.abandon();
    Ok(report::print(&record, &tests))
}
