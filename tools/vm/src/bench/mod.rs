// SPDX-License-Identifier: GPL-2.0
//! What an fsync costs: every mode beside the others, in one boot, in
//! alternating rounds.

mod cost;
mod machine;
mod place;
mod profile;
mod rows;
mod tables;
mod targets;

use crate::config::VmConfig;
use anyhow::{Context, Result};
use bytelog_guest::load::Load;
use clap::Args;
use cost::Results;
use machine::Machine;
use place::Place;
use rows::{Mode, Rows};
use std::path::PathBuf;

/// What is to be measured.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Fsyncs per load and mode
    #[arg(long, default_value_t = 1000)]
    fsyncs: u64,
    /// Rounds that they are divided into
    #[arg(long, default_value_t = 2)]
    rounds: u64,
    /// Devices, by their names in bench.json; all if none is given
    #[arg(long, value_delimiter = ',')]
    devices: Vec<String>,
    /// Loads, by their names in bench.json; all if none is given
    #[arg(long, value_delimiter = ',')]
    loads: Vec<String>,
    /// Print so many functions of each profile
    #[arg(long, default_value_t = 0)]
    profile: usize,
    /// Fail if a target is not met
    #[arg(long)]
    check: bool,
    /// QEMU's plugin that counts: libbytelog_tcg.so
    #[arg(long)]
    plugin: PathBuf,
    /// Directory for bench.json; made if need be
    #[arg(long)]
    out: PathBuf,
}

impl Options {
    /// With paths that stand after a change of directory.
    pub fn resolve(mut self) -> Result<Self> {
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        self.out = self.out.canonicalize()?;
        let plugin = self.plugin.canonicalize();
        self.plugin = plugin.with_context(|| self.plugin.display().to_string())?;
        Ok(self)
    }

    fn wants(&self, place: &str) -> bool {
        self.devices.is_empty() || self.devices.iter().any(|name| name == place)
    }

    fn loads(&self) -> Vec<Load> {
        let wanted =
            |load: &Load| self.loads.is_empty() || self.loads.iter().any(|l| l == load.name());
        Load::ALL.into_iter().filter(wanted).collect()
    }
}

/// Runs everything and prints it; false if a target is to be met and is not.
pub fn run(config: &VmConfig, kver: Option<&str>, seed: u64, options: &Options) -> Result<bool> {
    let mut rows = Rows::default();
    let plugin = options.plugin.to_string_lossy();
    for place in place::ALL {
        if !options.wants(place.name) {
            continue;
        }
        let mut machine = Machine::boot(config, &plugin, kver, seed, place)?;
        let outcome = one_place(&mut machine, options, &mut rows);
        if outcome.is_err() {
            println!(
                "--- end of the kernel log\n{}\n---",
                machine.lab.console_tail(40)
            );
        }
        outcome?;
        machine.lab.power_off()?;
    }
    rows.write(&options.out.join("bench.json"))?;
    let met = targets::print(&rows);
    Ok(met || !options.check)
}

fn one_place(machine: &mut Machine, options: &Options, rows: &mut Rows) -> Result<()> {
    let loads = options.loads();
    let place: Place = machine.place;
    let results = Results::measure(machine, &loads, options.fsyncs, options.rounds)?;
    results.rows(place.name, place.modes, &loads, rows);
    tables::costs(rows, place.name);
    for load in [Load::Create, Load::Append] {
        for mode in Mode::ALL {
            if let (true, Some(parts)) = (options.profile > 0, results.profile(load, mode)) {
                tables::profile(load, mode, parts, options.profile);
            }
        }
    }
    Ok(())
}
