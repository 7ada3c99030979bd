// SPDX-License-Identifier: GPL-2.0
//! What it costs to replay a log after a cut: in instructions of the mount, over
//! those of a mount that has nothing to replay.

use super::machine::{Job, Machine};
use super::rows::{Mode, Rows};
use super::tables;
use anyhow::{ensure, Result};
use bytelog_guest::load::Load;

/// A log, and renames with an fsync each that stock's still has room for: one takes
/// a block there.
struct Size {
    kib: u64,
    fsyncs: u64,
}

const SIZES: [Size; 4] = [
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
];

/// Fsyncs that fill ByteLog's log of the first sizes, as far as it takes them: a
/// rename is logged in fewer than 512 bytes.
const FILLED: [(u64, u64); 3] = [(256, 480), (1024, 1980), (4096, 7980)];

/// Replays logs of the same operations in both modes, then full ones of ByteLog.
pub fn run(machine: &mut Machine, rows: &mut Rows) -> Result<()> {
    for size in &SIZES {
        for mode in [Mode::StockFc, Mode::Bytelog] {
            let name = format!("replay_{}k", size.kib);
            one(machine, mode, &name, size.kib, size.fsyncs, rows)?;
        }
    }
    for (kib, fsyncs) in &FILLED {
        let name = format!("replay_full_{kib}k");
        one(machine, Mode::Bytelog, &name, *kib, *fsyncs, rows)?;
    }
    tables::replay(rows, machine.place.name);
    Ok(())
}

fn one(
    machine: &mut Machine,
    mode: Mode,
    name: &str,
    kib: u64,
    fsyncs: u64,
    rows: &mut Rows,
) -> Result<()> {
    let journal = format!("-J size={},fast_commit_size={kib}", 8 + kib / 1024);
    machine.set_up(mode, &journal)?;
    let costs = machine.count(Job::new(Load::Rename, fsyncs), "")?.costs;
    let full = costs.after.full - costs.before.full;
    ensure!(full == 0, "{name} {}: {full} full commits", mode.name());
    let dir = format!("{}/rename", machine.dir());
    let instructions = machine.replay(mode)?;
    // The last of the names is there: it was replayed.
    let last = format!("{dir}/name{}", fsyncs + 3);
    machine.lab.must_run(&format!("test -e {last}"))?;
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
    Ok(())
}
