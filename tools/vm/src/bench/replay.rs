// SPDX-License-Identifier: GPL-2.0
//! What it costs to replay a log after a cut: in instructions of the mount, over
//! those of a mount that has nothing to replay.

use super::machine::{Job, Machine};
use super::profile::{beyond, Symbols};
use super::rows::{Mode, Rows};
use super::tables;
use anyhow::{ensure, Result};
use bytelog_guest::load::Load;
use bytelog_trace::count::Counted as Segment;

/// Renames with an fsync each, and the logs that have room for them.
struct Log {
    name: &'static str,
    fsyncs: u64,
    /// Size of ByteLog's log and of stock's, where a rename takes a block.
    kib: u64,
    stock_kib: u64,
}

const fn log(name: &'static str, fsyncs: u64, kib: u64, stock_kib: u64) -> Log {
    Log {
        name,
        fsyncs,
        kib,
        stock_kib,
    }
}

/// Logs of one size that stock has filled, then some that ByteLog has, with as much
/// room for stock as it takes.
const LOGS: [Log; 7] = [
    log("replay_256k", 58, 256, 256),
    log("replay_1024k", 245, 1024, 1024),
    log("replay_4096k", 1000, 4096, 4096),
    log("replay_16384k", 4000, 16384, 16384),
    log("replay_65536k", 16000, 65536, 65536),
    log("replay_full_256k", 780, 256, 4096),
    log("replay_full_1024k", 3200, 1024, 16384),
];

/// The names of the logs, under which their rows are.
pub fn names() -> impl Iterator<Item = &'static str> {
    LOGS.iter().map(|log| log.name)
}

/// Replays logs of the same operations in both modes; with the first so many
/// functions of each replay.
pub fn run(machine: &mut Machine, profile: usize, rows: &mut Rows) -> Result<()> {
    for log in &LOGS {
        for mode in [Mode::StockFc, Mode::Bytelog] {
            one(machine, mode, log, profile, rows)?;
        }
    }
    tables::replay(rows, machine.place.name);
    Ok(())
}

fn one(
    machine: &mut Machine,
    mode: Mode,
    log: &Log,
    profile: usize,
    rows: &mut Rows,
) -> Result<()> {
    let Log { name, fsyncs, .. } = *log;
    let kib = match mode {
        Mode::Bytelog => log.kib,
        _ => log.stock_kib,
    };
    let journal = format!("-J size=8,fast_commit_size={kib}");
    machine.set_up(mode, &journal)?;
    let costs = machine.count(Job::new(Load::Rename, fsyncs), "")?.costs;
    let full = costs.after.full - costs.before.full;
    ensure!(full == 0, "{name} {}: {full} full commits", mode.name());
    let dir = format!("{}/rename", machine.dir());
    let replay = machine.replay(mode)?;
    // The last of the names is there: it was replayed.
    let last = format!("{dir}/name{}", fsyncs + 3);
    machine.lab.must_run(&format!("test -e {last}"))?;
    machine.lab.umount_all()?;
    let clean = machine.count_mount(mode)?;
    let place = machine.place.name;
    let instructions =
        |of: &Segment| -> u64 { of.calls.iter().map(|call| call.instructions).sum() };
    let own = instructions(&replay).saturating_sub(instructions(&clean)) as f64;
    rows.push(
        place,
        name,
        mode,
        "instr_mount",
        instructions(&replay) as f64,
    );
    rows.push(place, name, mode, "instr_replay", own);
    rows.push(place, name, mode, "fsyncs", fsyncs as f64);
    if let Some([_, after]) = costs.log {
        let part = after.used as f64 / after.capacity.max(1) as f64;
        rows.push(place, name, mode, "log_filled", part);
    }
    println!("{place}: {name} {}: {own:.0} instructions", mode.name());
    if profile > 0 {
        let symbols = Symbols::read(&mut machine.lab)?;
        let of = |segment: &Segment| symbols.profile(&segment.blocks, 1);
        let parts = beyond(of(&replay), &of(&clean));
        tables::profile(name, mode, &parts, profile);
    }
    Ok(())
}
