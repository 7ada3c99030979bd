// SPDX-License-Identifier: GPL-2.0
//! A load of transactions: PostgreSQL with its files on the filesystem under test, and
//! pgbench beside it, in the modes of the bench, in alternating rounds in one boot.

mod pgbench;
pub mod server;
mod table;

use super::machine::{Base, Machine};
use super::place::{self, Place};
use super::programs;
use super::rows::{Mode, Rows};
use super::timed;
use crate::config::VmConfig;
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::IoCounts;
use pgbench::Run;
use server::{Server, Wal};
use std::collections::HashMap;
use std::path::PathBuf;

/// Transactions before the first that counts: caches fill, queries are planned.
const WARM_UP: u64 = 40;

/// Clients whose instructions are counted: with more of them, on one CPU, who waits for
/// whom is for the scheduler to say.
const COUNTED: u64 = 1;

/// What is to be measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Image that scripts/programs-root has made
    #[arg(long)]
    root: PathBuf,
    /// Devices, by their names in bench.json
    #[arg(long, value_delimiter = ',', default_value = "sync,virtio_disk")]
    devices: Vec<String>,
    /// Clients at a time
    #[arg(long, value_delimiter = ',', default_value = "1,4,8")]
    clients: Vec<u64>,
    /// Transactions of all clients together, in each run
    #[arg(long, default_value_t = 240)]
    transactions: u64,
    /// Rounds that are timed; what reaches the devices is counted in one before them
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    /// A few transactions on one device, to see that it works
    #[arg(long)]
    smoke: bool,
    /// File for the rows, which the bench takes in with --more
    #[arg(long)]
    out: PathBuf,
}

impl Options {
    /// With paths that stand after a change of directory.
    pub fn resolve(mut self) -> Result<Self> {
        self.out = std::path::absolute(&self.out)?;
        let root = self.root.canonicalize();
        self.root = root.with_context(|| self.root.display().to_string())?;
        for name in &self.devices {
            find(name)?;
        }
        ensure!(
            self.clients.iter().all(|n| (1..=16).contains(n)),
            "--clients: 1 to 16, the server takes no more"
        );
        if self.smoke {
            self.devices = vec!["sync".to_owned()];
            self.clients = vec![2];
            (self.transactions, self.rounds) = (40, 1);
        }
        Ok(self)
    }

    /// The disk that the machine has for this.
    pub fn disks(&self) -> Vec<PathBuf> {
        vec![self.root.clone()]
    }
}

fn find(name: &str) -> Result<Place> {
    let known = place::ALL.iter().filter(|place| place.modes == Mode::ALL);
    let found = known.clone().find(|place| place.name == name).copied();
    found.with_context(|| {
        let names: Vec<_> = known.map(|place| place.name).collect();
        format!("--devices: {name} is none of {}", names.join(", "))
    })
}

fn workload(wal: Wal, clients: u64) -> String {
    format!("{}_{clients}", wal.name())
}

/// Runs everything, prints it and writes the rows.
pub fn run(config: &VmConfig, kver: Option<&str>, seed: u64, options: &Options) -> Result<()> {
    let base = Base {
        config: config.clone(),
        plugin: String::new(),
        kver: kver.map(str::to_owned),
        seed,
    };
    let mut rows = Rows::default();
    for name in &options.devices {
        let place = find(name)?;
        super::with(Machine::timing(&base, place)?, |machine| {
            timed_rounds(machine, options, &mut rows)
        })?;
        if place.is_repeatable() && !options.smoke {
            super::with(Machine::clocked(&base, place)?, |machine| {
                instructions(machine, options, &mut rows)
            })?;
        }
    }
    rows.write(&options.out)?;
    if options.smoke {
        check(&rows, options)?;
        println!("the load of transactions works");
    }
    println!("rows: {}", options.out.display());
    Ok(())
}

/// Runs of one workload: nanoseconds from transaction to transaction, by mode.
type Times = HashMap<(String, Mode), Vec<f64>>;

fn timed_rounds(machine: &mut Machine, options: &Options, rows: &mut Rows) -> Result<()> {
    let place = machine.place.name;
    programs::prepare(machine)?;
    let mut times = Times::new();
    for round in 0..=options.rounds {
        for mode in Mode::ALL {
            for wal in Wal::ALL {
                machine.set_up(mode, "")?;
                let mut server = Server::start(machine, wal)?;
                server.load(1, WARM_UP)?;
                for &clients in &options.clients {
                    let (name, each) = (workload(wal, clients), options.transactions / clients);
                    if round == 0 {
                        let (run, io) = server.count(clients, each)?;
                        push_counts(place, &name, mode, &run, &io, rows);
                    } else {
                        let run = server.load(clients, each)?;
                        times.entry((name, mode)).or_default().push(run.nanos());
                    }
                }
                server.stop()?;
            }
        }
        println!("{place}: transactions, round {round} of {}", options.rounds);
    }
    let names = names(options);
    for name in &names {
        push_times(place, name, &times, rows);
    }
    table::times(rows, place, &names);
    Ok(())
}

fn names(options: &Options) -> Vec<String> {
    let clients = options.clients.iter();
    let all = Wal::ALL.map(|wal| clients.clone().map(move |&n| workload(wal, n)));
    all.into_iter().flatten().collect()
}

/// What client, server and kernel execute, on a machine whose clock counts that.
fn instructions(machine: &mut Machine, options: &Options, rows: &mut Rows) -> Result<()> {
    let place = machine.place.name;
    programs::prepare(machine)?;
    for mode in Mode::ALL {
        for wal in Wal::ALL {
            machine.set_up(mode, "")?;
            let mut server = Server::start(machine, wal)?;
            server.load(COUNTED, WARM_UP)?;
            let run = server.load(COUNTED, options.transactions)?;
            let name = workload(wal, COUNTED);
            rows.push(place, &name, mode, "instr_per_transaction", run.nanos());
            server.stop()?;
        }
    }
    let names = Wal::ALL.map(|wal| workload(wal, COUNTED));
    table::instructions(rows, place, &names);
    Ok(())
}

fn push_counts(place: &str, name: &str, mode: Mode, run: &Run, io: &IoCounts, rows: &mut Rows) {
    for (metric, count) in [
        ("flushes_per_transaction", io.flushes),
        ("block_writes_per_transaction", io.journal_writes),
        ("data_writes_per_transaction", io.other_writes),
        ("fast_commits_per_transaction", io.fast),
        ("full_commits_per_transaction", io.full),
    ] {
        let each = count as f64 / run.transactions as f64;
        rows.push(place, name, mode, metric, each);
    }
}

/// Ratios of each round to stock's time in the same round.
fn push_times(place: &str, name: &str, times: &Times, rows: &mut Rows) {
    let of = |mode| times.get(&(name.to_owned(), mode));
    let Some(stock) = of(Mode::StockFc) else {
        return;
    };
    for mode in Mode::ALL {
        let nanos = of(mode).cloned().unwrap_or_default();
        timed::push_ratios(rows, [place, name], mode, &nanos, stock);
        if let Some([_, middle, _]) = timed::spread(nanos) {
            rows.push(place, name, mode, "op_nanos", middle);
        }
    }
}

/// Whether it measures at all: figures that cannot be right if it does not.
fn check(rows: &Rows, options: &Options) -> Result<()> {
    for device in &options.devices {
        for name in names(options) {
            let of = |mode: Mode, metric: &str| {
                let value = rows.get(device, &name, mode, metric);
                value.with_context(|| format!("no {metric} of {name} in mode {}", mode.name()))
            };
            for mode in Mode::ALL {
                ensure!(of(mode, "op_nanos")? > 0.0, "{name}: no time");
                of(mode, "seconds_ratio")?;
            }
            let fast = |mode| of(mode, "fast_commits_per_transaction");
            ensure!(
                fast(Mode::Full)? == 0.0,
                "{name}: fast commits in mode full"
            );
            if name.starts_with(Wal::Sparse.name()) {
                ensure!(
                    fast(Mode::StockFc)? > 0.0 && fast(Mode::Bytelog)? > 0.0,
                    "{name}: no fast commits"
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            root: PathBuf::new(),
            devices: vec!["sync".to_owned()],
            clients: vec![1, 4],
            transactions: 40,
            rounds: 2,
            smoke: false,
            out: PathBuf::new(),
        }
    }

    #[test]
    fn ratios_are_within_a_round() {
        let mut rows = Rows::default();
        let name = "pgbench_1";
        let times: Times = [
            (Mode::StockFc, vec![100.0, 200.0, 400.0]),
            (Mode::Bytelog, vec![50.0, 180.0, 200.0]),
        ]
        .map(|(mode, nanos)| ((name.to_owned(), mode), nanos))
        .into();
        push_times("sync", name, &times, &mut rows);
        let of = |metric| rows.get("sync", name, Mode::Bytelog, metric);
        assert_eq!(of("seconds_ratio"), Some(0.5));
        assert_eq!(of("seconds_ratio_low"), Some(0.5));
        assert_eq!(of("seconds_ratio_high"), Some(0.9));
        assert_eq!(of("seconds_ratio_shortest"), Some(0.5));
        assert_eq!(of("op_nanos"), Some(180.0));
        assert_eq!(rows.get("sync", name, Mode::Off, "op_nanos"), None);
    }

    #[test]
    fn workloads_have_names_of_their_own() {
        assert_eq!(
            names(&options()),
            [
                "pgbench_1",
                "pgbench_4",
                "pgbench_sparse_1",
                "pgbench_sparse_4"
            ]
        );
    }

    #[test]
    fn nothing_measured_is_no_success() {
        assert!(check(&Rows::default(), &options()).is_err());
    }

    #[test]
    fn a_device_that_is_none_is_named() {
        assert!(find("virtio_disk").is_ok());
        let said = find("floppy").unwrap_err().to_string();
        assert!(said.contains("floppy") && said.contains("virtio_disk"));
    }
}
