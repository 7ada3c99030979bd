// SPDX-License-Identifier: GPL-2.0
//! A few of the random cuts that `make soak` makes many of.

use super::Test;
use crate::cuts::{self, Mode, Tally};
use crate::lab::Lab;
use anyhow::{ensure, Context, Result};

pub const TESTS: &[Test] = &[Test {
    name: "random-cuts",
    run: random,
}];

const CUTS: u64 = 20;

fn random(lab: &mut Lab) -> Result<()> {
    let mut all = Tally::default();
    let first = lab.seed;
    // Which one `make` was told to take.
    let kernel =
        std::env::var("KERNEL").map_or_else(|_| String::new(), |name| format!(" KERNEL={name}"));
    cuts::run(lab, first, CUTS, Mode::default(), |seed, outcome| {
        all +=
            outcome.with_context(|| format!("make soak CUTS=1 SEED={seed}{kernel} repeats it"))?;
        Ok(true)
    })?;
    println!("   seeds from {first}: {all}");
    // How many of each is for the host's speed to say, but a test without any would
    // test less than it says.
    ensure!(all.in_replay > 0, "no cut was in replay");
    ensure!(
        all.held + all.discarded + all.dropped > 0,
        "all was flushed at each cut"
    );
    ensure!(all.replayed > 0, "no fast commit was replayed");
    ensure!(all.transactions > 0, "no transaction was committed");
    Ok(())
}
