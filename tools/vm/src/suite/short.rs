// SPDX-License-Identifier: GPL-2.0
//! A few of the short workloads that `make check-short` runs all of.

use super::Test;
use crate::lab::Lab;
use crate::short::{workloads, Options};
use anyhow::{ensure, Result};
use std::time::{SystemTime, UNIX_EPOCH};

pub const TESTS: &[Test] = &[
    Test {
        name: "short-workloads",
        run: bytelog,
    },
    Test {
        name: "short-workloads-of-stock-lose",
        run: stock,
    },
];

const COUNT: u64 = 450;
const STOCK_COUNT: u64 = 60;

/// Others each day.
fn seed(lab: &Lab) -> Result<u64> {
    let day = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400;
    Ok(day + lab.seed)
}

fn bytelog(lab: &mut Lab) -> Result<()> {
    let seed = seed(lab)?;
    let tally = workloads(lab, seed, &Options::sample(COUNT, false))?;
    println!("   seed {seed}: {tally}; make check-short NUMBER=N repeats one");
    ensure!(tally.is_good(), "seed {seed}: {tally}");
    let counts = &tally.counts;
    ensure!(counts.fast > 0, "no fast commit: {counts:?}");
    ensure!(counts.in_commits > 0, "no cut in a commit: {counts:?}");
    ensure!(counts.in_replays > 0, "no cut in a replay: {counts:?}");
    Ok(())
}

/// What sees no loss here sees none there.
fn stock(lab: &mut Lab) -> Result<()> {
    let seed = seed(lab)?;
    let tally = workloads(lab, seed, &Options::sample(STOCK_COUNT, true))?;
    println!("   seed {seed}: {tally}");
    ensure!(tally.lost + tally.mixed > 0, "stock has lost nothing");
    Ok(())
}
