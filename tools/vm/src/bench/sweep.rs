// SPDX-License-Identifier: GPL-2.0
//! What an fsync costs by the size of its commit, and how the log fills.

use super::cost::quantile;
use super::machine::{Job, Machine};
use super::rows::{Mode, Rows};
use anyhow::Result;
use bytelog_guest::load::Load;
use bytelog_guest::proto::Look;

/// Names that are made or taken away before an fsync: as many TLVs.
const SIZES: [u64; 8] = [1, 4, 16, 64, 256, 1000, 2000, 4000];

/// Fsyncs of each size.
const FSYNCS: u64 = 12;

/// A log that is not full after those.
const LARGE_LOG: &str = "-J size=32,fast_commit_size=16384";

/// A short log, which is full within some hundred fsyncs, and how many are made
/// between looks at it.
const SHORT_LOG: &str = "-J size=8,fast_commit_size=256";
const STEP: u64 = 10;

/// Instructions per fsync against TLVs.
pub fn sizes(machine: &mut Machine, rows: &mut Rows) -> Result<()> {
    for mode in [Mode::Full, Mode::StockFc, Mode::Bytelog] {
        machine.set_up(mode, LARGE_LOG)?;
        for size in SIZES {
            let job = Job {
                load: Load::Links,
                fsyncs: FSYNCS,
                batch: size,
                look_every: 0,
            };
            let counted = machine.count(job, &size.to_string())?;
            let mut calls: Vec<u64> = counted.calls.iter().map(|c| c.instructions).collect();
            calls.sort_unstable();
            let name = format!("links_{size}");
            let place = machine.place.name;
            rows.push(place, &name, mode, "instr_median", quantile(&calls, 0.5));
            let full = counted.costs.after.full - counted.costs.before.full;
            rows.push(
                place,
                &name,
                mode,
                "full_commits",
                full as f64 / FSYNCS as f64,
            );
        }
    }
    println!("{}: commits of 1 to 4000 TLVs", machine.place.name);
    Ok(())
}

/// How the log fills while a file is renamed.
pub fn levels(machine: &mut Machine, mode: Mode, fsyncs: u64) -> Result<Vec<Look>> {
    machine.set_up(mode, SHORT_LOG)?;
    let job = Job {
        look_every: STEP,
        ..Job::new(Load::Rename, fsyncs)
    };
    let costs = machine.count(job, "")?.costs;
    let before = costs.before.full;
    let since = |look: &Look| {
        let mut look = *look;
        look.stats.full -= before;
        look
    };
    Ok(costs.looks.iter().map(since).collect())
}
