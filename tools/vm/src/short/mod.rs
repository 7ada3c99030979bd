// SPDX-License-Identifier: GPL-2.0
//! Short workloads, as many as there is time for; the machine cuts them by itself.

mod plan;
mod record;
mod session;
mod tally;

use crate::config::VmConfig;
use crate::lab::Lab;
use anyhow::Result;
use plan::Plan;
use record::Record;
use session::Session;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tally::Tally;

/// Workloads of one request.
const BATCH: u64 = 25;

#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Only this workload, and all that is done
    #[arg(long)]
    number: Option<u64>,
    /// Seconds; the batch that is under way then is finished
    #[arg(long)]
    limit: Option<u64>,
    /// Workloads, at most
    #[arg(long)]
    count: Option<u64>,
    /// A part of the whole that the seed chooses, instead of all in their order
    #[arg(long)]
    sample: bool,
    /// ext4's own fast commits, without the hook: what they lose, as a table
    #[arg(long)]
    stock: bool,
    /// File data by DAX, too
    #[arg(long)]
    dax: bool,
    /// File that says how far the whole has come; a run goes on where it ends
    #[arg(long)]
    record: Option<PathBuf>,
}

impl Options {
    /// So many workloads of all lengths, which a seed chooses.
    pub fn sample(count: u64, stock: bool) -> Self {
        Self {
            sample: true,
            count: Some(count),
            stock,
            ..Self::default()
        }
    }

    /// With paths that do not depend on the working directory.
    pub fn resolve(mut self) -> Result<Self> {
        self.record = self.record.map(std::path::absolute).transpose()?;
        Ok(self)
    }

    fn mount_options(&self) -> String {
        let dax = if self.dax { "dax=always" } else { "dax=inode" };
        let log = if self.stock { "" } else { ",dax_fc_bytelog=on" };
        format!("commit=600,{dax}{log}")
    }
}

/// True if nothing was lost, nothing mixed, and nobody complained; of stock ext4, if
/// something was lost.
pub fn run(config: &VmConfig, kver: Option<&str>, seed: u64, options: &Options) -> Result<bool> {
    let mut lab = Lab::new(config, kver, seed);
    let tally = workloads(&mut lab, seed, options)?;
    lab.power_off()?;
    if options.stock {
        print!("{}", tally.table());
    }
    println!("{tally}");
    Ok(if options.stock {
        tally.lost + tally.mixed > 0
    } else {
        tally.is_good()
    })
}

/// Runs the workloads on a machine of their own; the lab has the one that it had
/// afterwards.
pub fn workloads(lab: &mut Lab, seed: u64, options: &Options) -> Result<Tally> {
    let before = lab.config.clone();
    lab.reconfigure(VmConfig {
        raw_memory: true,
        cpus: 1,
        ..before.clone()
    })?;
    let mut session = Session::new(options);
    let tally = all(lab, &mut session, seed, options).and_then(|tally| {
        session.end(lab)?;
        Ok(tally)
    });
    if tally.is_err() {
        lab.abandon();
    }
    lab.reconfigure(before).and(tally)
}

fn all(lab: &mut Lab, session: &mut Session, seed: u64, options: &Options) -> Result<Tally> {
    let plan = match options.number {
        Some(number) => Plan::one(number),
        None if options.sample => Plan::sample(seed),
        None => Plan::whole(seed),
    };
    let path = options.record.as_deref();
    let mut record = Record::open(path.filter(|_| options.number.is_none()))?;
    if record.next > 0 {
        println!("going on at position {} of {}", record.next, plan.len());
    }
    let start = Instant::now();
    let mut done = 0;
    loop {
        let late = |limit: u64| start.elapsed() >= Duration::from_secs(limit);
        let left = options.count.map_or(BATCH, |count| BATCH.min(count - done));
        let numbers = plan.numbers(record.next, left);
        if numbers.is_empty() || options.limit.is_some_and(late) {
            break;
        }
        done += numbers.len() as u64;
        let report = session.run(lab, &numbers)?;
        for line in &report.told {
            println!("   {line}");
        }
        for failure in report.failures.iter().filter(|_| !options.stock) {
            tally::print(failure);
        }
        record.tally.add(&report);
        record.note(numbers.len() as u64)?;
    }
    println!("{}", record.tally.details(start.elapsed()));
    println!("{} of {} positions are done", record.next, plan.len());
    Ok(record.tally)
}
