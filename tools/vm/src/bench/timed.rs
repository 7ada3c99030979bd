// SPDX-License-Identifier: GPL-2.0
//! Jobs as a whole, against stock fast commit: the instructions of all that they do,
//! where the machine counts them; and their times, in alternating rounds, in one with
//! two CPUs, which QEMU emulates: the times are of emulated code.

use super::machine::Machine;
use super::rows::{Mode, Rows};
use super::tables;
use anyhow::Result;
use bytelog_guest::database::Mode::{Delete, Wal};
use bytelog_guest::timed::Timed;

/// How many times as many operations are timed as are counted: what counts the same
/// each time need not be long, what is timed must be long beside what disturbs it.
const TIMED: u64 = 4;

/// The jobs, and their operations where they are counted.
const JOBS: [(Timed, u64); 19] = [
    (Timed::CreateUnlink { every: 2 }, 400),
    (Timed::CreateUnlink { every: 4 }, 400),
    (Timed::CreateUnlink { every: 8 }, 400),
    (Timed::CreateUnlink { every: 16 }, 400),
    (Timed::CreateUnlink { every: 32 }, 400),
    (
        Timed::RingCreateUnlink {
            every: 16,
            data_only: false,
        },
        400,
    ),
    (
        Timed::RingCreateUnlink {
            every: 16,
            data_only: true,
        },
        400,
    ),
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
    (Timed::Sqlite { mode: Wal }, 200),
    (Timed::Sqlite { mode: Delete }, 100),
];

/// The names of all jobs.
pub fn names() -> impl Iterator<Item = String> {
    JOBS.iter().map(|(job, _)| job.name())
}

/// Those of the jobs that are named, or all.
pub fn jobs(names: &[String]) -> Vec<(Timed, u64)> {
    let wanted = |job: &Timed| names.is_empty() || names.contains(&job.name());
    JOBS.into_iter().filter(|(job, _)| wanted(job)).collect()
}

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

/// Counts the instructions of the jobs of one thread, on a machine whose clock counts
/// them. Reads and writes have no part in ByteLog, and must cost the same.
pub fn count(machine: &mut Machine, jobs: &[(Timed, u64)], rows: &mut Rows) -> Result<()> {
    let place = machine.place;
    let jobs = jobs.iter();
    let jobs: Vec<_> = jobs
        .filter(|(job, _)| !matches!(job, Timed::Threads { .. }))
        .collect();
    for mode in place.job_modes() {
        machine.set_up(mode, "")?;
        for (job, ops) in &jobs {
            let io = machine.time(*job, *ops, false)?;
            let each = io.nanos as f64 / *ops as f64;
            rows.push(place.name, &job.name(), mode, "instr_per_op", each);
        }
    }
    let names: Vec<String> = jobs.iter().map(|(job, _)| job.name()).collect();
    tables::jobs(rows, &place, &names);
    Ok(())
}

/// Runs jobs in a machine in which time passes.
pub fn run(
    machine: &mut Machine,
    jobs: &[(Timed, u64)],
    rounds: u64,
    rows: &mut Rows,
) -> Result<()> {
    let modes = machine.place.job_modes();
    let apart = machine.place.journal.is_some();
    // In reads and writes the journal has no part, or little of one beside their data.
    let jobs: Vec<_> = jobs
        .iter()
        .filter(|(job, _)| !apart || job.is_of_the_journal())
        .collect();
    let all = jobs.iter().map(|&&(job, ops)| Times {
        job,
        ops: ops * TIMED,
        by_mode: modes.iter().map(|&mode| (mode, Vec::new())).collect(),
    });
    let mut all: Vec<Times> = all.collect();
    for round in 0..=rounds {
        for &mode in &modes {
            machine.set_up(mode, "")?;
            for times in &mut all {
                // The first round is not timed. Flushes are counted where one device has
                // all of them.
                let io = machine.time(times.job, times.ops, round == 0 && !apart)?;
                if round == 0 {
                    if !apart && !times.job.is_without_fsync() {
                        let flushes = io.flushes as f64 / io.fsyncs.max(1) as f64;
                        let name = times.job.name();
                        rows.push(
                            machine.place.name,
                            &name,
                            mode,
                            times.job.flushes(),
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
    let names: Vec<String> = jobs.iter().map(|(job, _)| job.name()).collect();
    tables::timed(rows, &machine.place, &names);
    Ok(())
}

/// What a mode's time in each round is of stock's in the same round, and its shortest
/// time of stock's shortest, as rows of a place and a workload.  What else the host does
/// only ever adds to a time.
pub fn push_ratios(
    rows: &mut Rows,
    [place, name]: [&str; 2],
    mode: Mode,
    nanos: &[f64],
    stock: &[f64],
) {
    let ratios = nanos.iter().zip(stock).map(|(ours, stock)| ours / stock);
    if let Some([low, middle, high]) = spread(ratios.collect()) {
        rows.push(place, name, mode, "seconds_ratio", middle);
        rows.push(place, name, mode, "seconds_ratio_low", low);
        rows.push(place, name, mode, "seconds_ratio_high", high);
    }
    let shortest = |all: &[f64]| all.iter().copied().min_by(f64::total_cmp);
    if let Some((ours, stock)) = shortest(nanos).zip(shortest(stock)) {
        rows.push(place, name, mode, "seconds_ratio_shortest", ours / stock);
    }
}

/// Times and ratios of a job.
fn push(place: &str, times: &Times, rows: &mut Rows) {
    let name = times.job.name();
    let of = |wanted| times.by_mode.iter().find(|(mode, _)| *mode == wanted);
    let Some((_, stock)) = of(Mode::StockFc) else {
        return;
    };
    for (mode, nanos) in &times.by_mode {
        push_ratios(rows, [place, &name], *mode, nanos, stock);
        if let Some([_, middle, _]) = spread(nanos.clone()) {
            rows.push(place, &name, mode, "op_nanos", middle / times.ops as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_found_by_their_names() {
        let found = jobs(&["sqlite_wal_full".to_owned(), "none".to_owned()]);
        assert_eq!(found, [(Timed::Sqlite { mode: Wal }, 200)]);
        assert_eq!(jobs(&[]).len(), JOBS.len());
    }
}
