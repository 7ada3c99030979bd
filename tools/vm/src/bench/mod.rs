// SPDX-License-Identifier: GPL-2.0
//! What an fsync costs: every mode beside the others, in one boot, in
//! alternating rounds.

mod cost;
pub mod database;
mod machine;
mod page;
mod place;
mod plot;
mod profile;
mod programs;
mod replay;
mod rows;
mod smoke;
mod sweep;
mod tables;
mod targets;
mod timed;
pub mod workloads;

use crate::config::VmConfig;
use anyhow::{bail, Context, Result};
use bytelog_guest::load::Load;
use clap::Args;
use cost::Results;
use machine::{Base, Machine};
use page::Extra;
use place::Place;
use rows::{Mode, Rows};
use std::path::PathBuf;

/// Places whose jobs are timed.
const TIMED: [&str; 4] = [
    "sync",
    "virtio_disk",
    "disk_journal_sync",
    "disk_journal_virtio",
];

/// Fsyncs over which a log fills.
const FILL: u64 = 1500;

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
    /// Jobs that are timed as a whole, by their names in bench.json; all if none is
    /// given
    #[arg(long, value_delimiter = ',')]
    jobs: Vec<String>,
    /// Rounds of the jobs that are timed; 0: none
    #[arg(long, default_value_t = 7)]
    times: u64,
    /// Commits of many sizes, how the log fills, and replays
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    sweeps: bool,
    /// Rows of another bench, to be taken in; may be given more than once
    #[arg(long)]
    more: Vec<PathBuf>,
    /// Print so many functions of each profile
    #[arg(long, default_value_t = 0)]
    profile: usize,
    /// A few fsyncs on one device, to see that the bench works; nothing is said of
    /// targets
    #[arg(long)]
    smoke: bool,
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
    /// With names that are known, and paths that stand after a change of directory.
    pub fn resolve(mut self) -> Result<Self> {
        known("device", &self.devices, &place::ALL.map(|place| place.name))?;
        known("load", &self.loads, &Load::ALL.map(Load::name))?;
        let jobs: Vec<String> = timed::names().collect();
        let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
        known("job", &self.jobs, &jobs)?;
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
        self.out = self.out.canonicalize()?;
        if self.smoke {
            self.devices = vec!["sync".to_owned()];
            self.loads = [Load::Create, Load::Append]
                .map(|load| load.name().to_owned())
                .into();
            (self.fsyncs, self.rounds, self.times, self.sweeps) = (20, 1, 0, false);
        }
        for more in &mut self.more {
            *more = std::path::absolute(&*more)?;
        }
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

/// Fails if one of the names is none of those that there are.
fn known(what: &str, names: &[String], all: &[&str]) -> Result<()> {
    match names.iter().find(|name| !all.contains(&name.as_str())) {
        Some(name) => bail!("there is no {what} {name}; there are {}", all.join(", ")),
        None => Ok(()),
    }
}

/// Runs everything and prints it; false if a target is to be met and is not.
pub fn run(config: &VmConfig, kver: Option<&str>, seed: u64, options: &Options) -> Result<bool> {
    let base = Base {
        config: config.clone(),
        plugin: options.plugin.to_string_lossy().into_owned(),
        kver: kver.map(str::to_owned),
        seed,
    };
    let mut rows = Rows::default();
    let mut extra = Extra::default();
    for more in &options.more {
        rows.add_file(more)?;
    }
    for place in place::ALL.iter().filter(|place| options.wants(place.name)) {
        let counting = Machine::counting(&base, *place)?;
        extra.machine = format!(
            "Linux {}, {} fsyncs of each kind in {} rounds; ratios are to stock_fc.",
            base.kver.as_deref().unwrap_or("of this machine"),
            options.fsyncs,
            options.rounds
        );
        with(counting, |machine| {
            counted(machine, options, &mut rows, &mut extra)
        })?;
        if options.times > 0 && TIMED.contains(&place.name) {
            with(Machine::timing(&base, *place)?, |machine| {
                timed::run(
                    machine,
                    &timed::jobs(&options.jobs),
                    options.times,
                    &mut rows,
                )
            })?;
        }
    }
    rows.write(&options.out.join("bench.json"))?;
    page::write(&options.out.join("bench.html"), &rows, &extra)?;
    if options.smoke {
        smoke::check(&options.out.join("bench.json"))?;
        println!("the bench works");
        return Ok(true);
    }
    let met = targets::print(&rows);
    println!(
        "rows and plots: bench.json and bench.html in {}",
        options.out.display()
    );
    Ok(met || !options.check)
}

/// Uses a machine and switches it off.
fn with(mut machine: Machine, work: impl FnOnce(&mut Machine) -> Result<()>) -> Result<()> {
    let outcome = work(&mut machine);
    if outcome.is_err() {
        println!(
            "--- end of the kernel log\n{}\n---",
            machine.lab.console_tail(40)
        );
    }
    outcome?;
    machine.lab.power_off()
}

fn counted(
    machine: &mut Machine,
    options: &Options,
    rows: &mut Rows,
    extra: &mut Extra,
) -> Result<()> {
    let loads = options.loads();
    let place: Place = machine.place;
    let results = Results::measure(machine, &loads, options.fsyncs, options.rounds)?;
    results.rows(place.name, place.modes, &loads, rows);
    tables::costs(rows, &place);
    for load in cost::PROFILED {
        for mode in Mode::ALL {
            if let (true, Some(parts)) = (options.profile > 0, results.profile(load, mode)) {
                tables::profile(load.name(), mode, parts, options.profile);
            }
        }
    }
    for load in [Load::Create, Load::Append] {
        for mode in Mode::ALL {
            if place.is_repeatable() {
                let samples = results.instructions(load, mode);
                extra.samples.push((load.name(), mode, samples));
            }
        }
    }
    if place.is_repeatable() && !options.smoke {
        timed::count(machine, &timed::jobs(&options.jobs), rows)?;
    }
    if place.is_repeatable() && options.sweeps {
        sweep::sizes(machine, rows)?;
        tables::sizes(rows, place.name);
        for mode in [Mode::StockFc, Mode::Bytelog] {
            extra
                .levels
                .push((mode, sweep::levels(machine, mode, FILL)?));
        }
        replay::run(machine, options.profile, rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known() {
        let check = |name: &str| known("load", &[name.to_owned()], &Load::ALL.map(Load::name));
        assert!(check("create").is_ok());
        let said = check("creat").unwrap_err().to_string();
        assert!(
            said.starts_with("there is no load creat; there are create,"),
            "{said}"
        );
    }
}
