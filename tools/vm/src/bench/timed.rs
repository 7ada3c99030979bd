// SPDX-License-Identifier: GPL-2.0
//! Jobs timed as a whole, in alternating rounds, as ratios to stock fast commit. The
//! machine has two CPUs, which QEMU emulates: the times are of emulated code.

use super::machine::Machine;
use super::rows::{Mode, Rows};
use super::tables;
use anyhow::Result;
use bytelog_guest::timed::Timed;

/// The modes that are compared.
const MODES: [Mode; 3] = [Mode::StockFc, Mode::Off, Mode::Bytelog];

/// The jobs, and their operations.
pub const JOBS: [(Timed, u64); 15] = [
    (Timed::CreateUnlink { every: 2 }, 400),
    (Timed::CreateUnlink { every: 4 }, 400),
    (Timed::CreateUnlink { every: 8 }, 400),
    (Timed::CreateUnlink { every: 16 }, 400),
    (Timed::CreateUnlink { every: 32 }, 400),
    (Timed::RandomFsync, 200),
    (Timed::RandomFdatasync, 200),
    (Timed::Write, 4000),
    (Timed::RandomWrite, 4000),
    (Timed::Read, 4000),
    (Timed::RandomRead, 4000),
    (Timed::Threads { count: 1 }, 160),
    (Timed::Threads { count: 2 }, 160),
    (Timed::Threads { count: 4 }, 160),
    (Timed::Threads { count: 8 }, 160),
];

/// Nanoseconds of a job in each round.
struct Times {
    job: Timed,
    ops: u64,
    by_mode: Vec<(Mode, Vec<f64>)>,
}

/// The middle of the values, and the lowest and the highest.
pub fn spread(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2)?;
    Some([*values.first()?, *middle, *values.last()?])
}

/// Runs all jobs in a machine.
pub fn run(machine: &mut Machine, rounds: u64, rows: &mut Rows) -> Result<()> {
    let mut all: Vec<Times> = JOBS
        .map(|(job, ops)| Times {
            job,
            ops,
            by_mode: MODES.map(|mode| (mode, Vec::new())).into(),
        })
        .into();
    for round in 0..=rounds {
        for mode in MODES {
            machine.set_up(mode, "")?;
            for times in &mut all {
                // The first round counts flushes, and is not timed.
                let io = machine.time(times.job, times.ops, round == 0)?;
                if round == 0 {
                    let flushes = io.flushes as f64 / io.fsyncs.max(1) as f64;
                    if !times.job.is_without_fsync() {
                        let name = times.job.name();
                        rows.push(
                            machine.place.name,
                            &name,
                            mode,
                            "flushes_per_fsync",
                            flushes,
                        );
                    }
                    continue;
                }
                let found = times.by_mode.iter_mut().find(|(of, _)| *of == mode);
                if let Some((_, nanos)) = found {
                    nanos.push(io.nanos as f64);
                }
            }
        }
        println!("{}: timed round {round} of {rounds}", machine.place.name);
    }
    for times in &all {
        push(machine.place.name, times, rows);
    }
    tables::timed(rows, machine.place.name, &JOBS.map(|(job, _)| job.name()));
    Ok(())
}

/// Ratios of each round to stock's time in the same round.
fn push(place: &str, times: &Times, rows: &mut Rows) {
    let name = times.job.name();
    let of = |wanted| times.by_mode.iter().find(|(mode, _)| *mode == wanted);
    let Some((_, stock)) = of(Mode::StockFc) else {
        return;
    };
    for (mode, nanos) in &times.by_mode {
        let ratios = nanos.iter().zip(stock).map(|(ours, stock)| ours / stock);
        if let Some([low, middle, high]) = spread(ratios.collect()) {
            rows.push(place, &name, mode, "seconds_ratio", middle);
            rows.push(place, &name, mode, "seconds_ratio_low", low);
            rows.push(place, &name, mode, "seconds_ratio_high", high);
        }
        if let Some([_, middle, _]) = spread(nanos.clone()) {
            rows.push(place, &name, mode, "op_nanos", middle / times.ops as f64);
        }
    }
}
