// SPDX-License-Identifier: GPL-2.0
//! What an fsync costs: every mode beside the others, in one boot, in
//! alternating rounds.

mod cost;
mod rows;

use crate::config::VmConfig;
use crate::lab::Lab;
use anyhow::Result;
use rows::Rows;
use std::path::Path;

/// Runs the deterministic part, and prints it.
pub fn run(
    config: &VmConfig,
    kver: Option<&str>,
    seed: u64,
    fsyncs: u64,
    out: &Path,
) -> Result<()> {
    let mut config = config.clone();
    config.icount = Some(0);
    let mut lab = Lab::new(&config, kver, seed);
    let mut rows = Rows::default();
    let outcome = cost::run(&mut lab, fsyncs, &mut rows);
    if outcome.is_err() {
        println!("--- end of the kernel log\n{}\n---", lab.console_tail(40));
    }
    outcome?;
    lab.power_off()?;
    rows.write(&out.join("bench.json"))
}
