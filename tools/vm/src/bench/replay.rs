// SPDX-License-Identifier: GPL-2.0
//! What it costs to replay a log after a cut: in instructions of the mount, over
//! those of a mount that has nothing to replay.

use super::machine::{Job, Machine};
use super::rows::{Mode, Rows};
use super::tables;
use anyhow::{ensure, Context, Result};
use bytelog_guest::load::Load;
use bytelog_guest::proto::LogStats;

/// A log, and renames with an fsync each that stock's still has room for: one takes
/// a block there.
struct Size {
    kib: u64,
    fsyncs: u64,
}

const SIZES: [Size; 5] = [
    Size {
        kib: 256,
        fsyncs: 58,
    },
    Size {
        kib: 1024,
        fsyncs: 245,
    },
    Size {
        kib: 4096,
        fsyncs: 1000,
    },
    Size {
        kib: 16384,
        fsyncs: 4000,
    },
    Size {
        kib: 65536,
        fsyncs: 16000,
    },
];

/// Renames with an fsync each that fill ByteLog's log of the first sizes, as far as it
/// takes them: one is logged in fewer than 512 bytes.
const FILLED: [(u64, u64); 3] = [(256, 480), (1024, 1980), (4096, 7980)];

/// Fsyncs that come before those of a job, and bytes of log that an append takes.
const WARM_UP: u64 = 3;
const APPEND: u64 = 256;

/// A log that appends fill to its last byte.
const BRIMFUL: Size = Size {
    kib: 256,
    fsyncs: (256 - 4) * 1024 / APPEND - WARM_UP,
};

/// Replays logs of the same operations in both modes, then full ones of ByteLog.
pub fn run(machine: &mut Machine, rows: &mut Rows) -> Result<()> {
    for size in &SIZES {
        for mode in [Mode::StockFc, Mode::Bytelog] {
            let name = format!("replay_{}k", size.kib);
            one(machine, mode, &name, (size, Load::Rename), rows)?;
        }
    }
    for (kib, fsyncs) in FILLED {
        let name = format!("replay_full_{kib}k");
        let job = (&Size { kib, fsyncs }, Load::Rename);
        one(machine, Mode::Bytelog, &name, job, rows)?;
    }
    let job = (&BRIMFUL, Load::Append);
    let name = format!("replay_brimful_{}k", BRIMFUL.kib);
    let log = one(machine, Mode::Bytelog, &name, job, rows)?;
    let log = log.context("no counters")?;
    ensure!(
        log.used == log.capacity,
        "{name}: {} of {} bytes",
        log.used,
        log.capacity
    );
    tables::replay(rows, machine.place.name);
    Ok(())
}

fn one(
    machine: &mut Machine,
    mode: Mode,
    name: &str,
    (size, load): (&Size, Load),
    rows: &mut Rows,
) -> Result<Option<LogStats>> {
    let Size { kib, fsyncs } = *size;
    let journal = format!("-J size={},fast_commit_size={kib}", 8 + kib / 1024);
    machine.set_up(mode, &journal)?;
    let costs = machine.count(Job::new(load, fsyncs), "")?.costs;
    let full = costs.after.full - costs.before.full;
    ensure!(full == 0, "{name} {}: {full} full commits", mode.name());
    let dir = format!("{}/{}", machine.dir(), load.name());
    let instructions = machine.replay(mode)?;
    // The last of the names, or of the blocks, is there: it was replayed.
    let last = fsyncs + WARM_UP;
    machine.lab.must_run(&match load {
        Load::Append => format!("test $(wc -c <{dir}/file) = {}", last * 4096),
        _ => format!("test -e {dir}/name{last}"),
    })?;
    machine.lab.umount_all()?;
    let clean = machine.count_mount(mode)?;
    let place = machine.place.name;
    let own = instructions.saturating_sub(clean) as f64;
    rows.push(place, name, mode, "instr_mount", instructions as f64);
    rows.push(place, name, mode, "instr_replay", own);
    rows.push(place, name, mode, "fsyncs", fsyncs as f64);
    if let Some([_, after]) = costs.log {
        let part = after.used as f64 / after.capacity.max(1) as f64;
        rows.push(place, name, mode, "log_filled", part);
    }
    println!("{place}: {name} {}: {own:.0} instructions", mode.name());
    Ok(costs.log.map(|[_, after]| after))
}
