// SPDX-License-Identifier: GPL-2.0

//! What the log writer costs on this CPU, against the least that an append of the
//! same bytes can cost, and against other ways. The file stands in for persistent
//! memory: what is measured is the CPU's part.
//!
//! The ways take turns, in rounds of a few milliseconds, and their medians are
//! compared: a bench that measures one after the other would compare what else the
//! machine did meanwhile.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod contender;
mod count;
mod pmdk;
mod pmem;
mod writer;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use comfy_table::{presets, CellAlignment, Table};
use contender::{Bench, Way};
use serde_json::{json, Value};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Bytes of TLVs in a commit.
const SIZES: [usize; 7] = [64, 256, 1024, 4096, 16384, 32768, 65536];

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Action,
    /// Directory for the files; best one in memory
    #[arg(long, default_value = "/dev/shm", global = true)]
    dir: PathBuf,
}

#[derive(Subcommand)]
enum Action {
    /// Nanoseconds of each way and size, as a table and as rows of JSON
    Time {
        /// Rounds
        #[arg(long, default_value_t = 200)]
        rounds: usize,
        /// Count instructions as well, with this valgrind
        #[arg(long)]
        valgrind: Option<PathBuf>,
        /// File for the rows
        #[arg(long)]
        out: PathBuf,
    },
    /// Some appends of one way, to be counted by callgrind
    Once {
        /// The way
        #[arg(long)]
        way: Way,
        /// Bytes of TLVs in a commit
        #[arg(long)]
        bytes: usize,
        /// Appends
        #[arg(long)]
        count: usize,
    },
}

/// Nanoseconds of one append, of each way; the median of the rounds, and the
/// quartiles around it.
fn time(bench: &mut Bench, rounds: usize) -> Result<Vec<(Way, [f64; 3])>> {
    /// Appends that are timed together, at most.
    const TOGETHER: usize = 256;
    let count = bench.most().min(TOGETHER);
    let ways: Vec<Way> = Way::ALL.into_iter().filter(|&way| bench.has(way)).collect();
    let mut nanos = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, nanos) in ways.iter().zip(&mut nanos) {
            let taken = bench.run(*way, count, |appends| {
                let start = Instant::now();
                appends().map(|()| start.elapsed())
            })?;
            nanos.push(taken.as_nanos() as f64 / count as f64);
        }
    }
    let quartiles = |mut nanos: Vec<f64>| {
        nanos.sort_by(f64::total_cmp);
        [1, 2, 3].map(|q| nanos.get(nanos.len() * q / 4).copied().unwrap_or_default())
    };
    Ok(ways
        .into_iter()
        .zip(nanos.into_iter().map(quartiles))
        .collect())
}

fn row(bytes: usize, mode: &str, metric: &str, value: f64) -> Value {
    json!({
        "device": "cpu",
        "workload": format!("append_{bytes}"),
        "mode": mode,
        "metric": metric,
        "value": value,
    })
}

/// What two ways are compared by.
trait Figure {
    fn middle(&self) -> f64;
}

impl Figure for f64 {
    fn middle(&self) -> f64 {
        *self
    }
}

impl Figure for [f64; 3] {
    fn middle(&self) -> f64 {
        self[1]
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED);
    let mut header = vec!["bytes"];
    header.extend(Way::ALL.map(Way::name));
    header.push("bytelog/floor");
    table.set_header(header);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A line of the table; what is not there was not measured.
fn add<T>(table: &mut Table, bytes: usize, values: &[(Way, T)], show: impl Fn(&T) -> String)
where
    T: Figure,
{
    let of = |wanted| values.iter().find(|(way, _)| *way == wanted);
    let mut cells = vec![bytes.to_string()];
    cells.extend(Way::ALL.map(|way| of(way).map_or("-".to_owned(), |(_, value)| show(value))));
    let figure = |way| of(way).map(|(_, value)| value.middle());
    let ratio = figure(Way::Bytelog).zip(figure(Way::Floor));
    cells.push(ratio.map_or("-".to_owned(), |(a, b)| format!("{:.2}", a / b)));
    table.add_row(cells);
}

fn time_all(dir: &Path, rounds: usize) -> Result<(Table, Vec<Value>)> {
    let mut table = table();
    let mut rows = Vec::new();
    for bytes in SIZES {
        let mut bench = Bench::new(dir, bytes)?;
        if rows.is_empty() {
            println!("lines are written back by {}", bench.instruction());
        }
        let times = time(&mut bench, rounds)?;
        for (way, [low, median, high]) in &times {
            for (metric, value) in [("nanos", median), ("nanos_q1", low), ("nanos_q3", high)] {
                rows.push(row(bytes, way.name(), metric, *value));
            }
        }
        add(&mut table, bytes, &times, |[low, median, high]| {
            format!("{median:.0} ({low:.0} to {high:.0})")
        });
    }
    Ok((table, rows))
}

fn count_all(dir: &Path, valgrind: &Path, rows: &mut Vec<Value>) -> Result<Table> {
    let mut table = table();
    for bytes in SIZES {
        let bench = Bench::new(dir, bytes)?;
        let mut counts = Vec::new();
        for way in Way::ALL.into_iter().filter(|&way| bench.has(way)) {
            let count = count::instructions(valgrind, dir, way, bytes)?;
            rows.push(row(bytes, way.name(), "instr", count));
            counts.push((way, count));
        }
        add(&mut table, bytes, &counts, |count| format!("{count:.0}"));
    }
    Ok(table)
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Action::Time {
            rounds,
            valgrind,
            out,
        } => {
            let (table, mut rows) = time_all(&cli.dir, rounds)?;
            println!("nanoseconds per append, median (quartiles) of {rounds} rounds\n{table}");
            if let Some(valgrind) = valgrind {
                let table = count_all(&cli.dir, &valgrind, &mut rows)?;
                println!("instructions per append, by callgrind\n{table}");
            }
            let text = serde_json::to_string_pretty(&rows)? + "\n";
            std::fs::write(&out, text).with_context(|| out.display().to_string())
        }
        Action::Once { way, bytes, count } => {
            let mut bench = Bench::new(&cli.dir, bytes)?;
            bench.run(way, count, |appends| appends())
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("bytelog-floor: {err:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_appends() {
        let dir = std::env::temp_dir().join(format!("bytelog-floor-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        for bytes in SIZES {
            let mut bench = Bench::new(&dir, bytes).unwrap();
            let times = time(&mut bench, 2).unwrap();
            assert!(times.len() >= 4 && times.iter().all(|(_, t)| t[1] > 0.0));
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
