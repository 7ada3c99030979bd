// SPDX-License-Identifier: GPL-2.0
//! What ByteLog must reach, against what was measured.

use super::replay;
use super::rows::{Mode, Rows};
use super::tables::number;
use comfy_table::{presets, CellAlignment, Table};

/// A figure and its limit.
#[derive(Debug, PartialEq)]
pub struct Target {
    pub what: String,
    /// None where it was not measured in this run.
    pub value: Option<f64>,
    pub limit: f64,
}

impl Target {
    pub fn is_met(&self) -> Option<bool> {
        self.value.map(|value| value <= self.limit)
    }
}

/// Fsyncs that describe no file data, and some that do.
const METADATA: &str = "create";
const DATA: &str = "append";

/// Instructions of an fsync of each load.
const INSTRUCTIONS: [(&str, f64); 9] = [
    ("create", 5571.0),
    ("append", 5382.0),
    ("create_unlink", 5971.0),
    ("rename_dir", 8000.0),
    ("create_label", 6500.0),
    ("truncate", 6500.0),
    ("mkdir", 9000.0),
    ("symlink", 8000.0),
    ("unlinked_open", 6500.0),
];

fn synchronous(rows: &Rows) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |what: String, value, limit| targets.push(Target { what, value, limit });
    for (load, median) in [("create", 0.60), ("create_unlink", 0.60), ("append", 0.52)] {
        for (metric, name, limit) in [
            ("instr_median", "median", median),
            ("instr_mean", "mean", 0.50),
            ("instr_p99", "p99", 0.10),
        ] {
            add(
                format!("sync {load}: {name} of instructions, bytelog / stock_fc"),
                rows.ratio("sync", load, Mode::Bytelog, metric),
                limit,
            );
        }
        for (metric, name) in [("instr_median", "median"), ("instr_mean", "mean")] {
            add(
                format!("sync {load}: {name} of instructions, off / stock_fc"),
                rows.ratio("sync", load, Mode::Off, metric),
                1.01,
            );
        }
    }
    for (load, limit) in INSTRUCTIONS {
        add(
            format!("sync {load}: median of instructions"),
            rows.get("sync", load, Mode::Bytelog, "instr_median"),
            limit,
        );
    }
    add(
        "sync create: ByteLog's own instructions".to_owned(),
        rows.get("sync", METADATA, Mode::Bytelog, "instr_own"),
        1000.0,
    );
    for (load, fences) in [(METADATA, 1.0), (DATA, 2.0)] {
        for (metric, name, limit) in [
            ("block_writes", "block writes", 0.0),
            ("flushes", "flushes", 0.0),
            ("fences_median", "fences", fences),
            ("excess_bytes", "bytes written back besides the TLVs", 128.0),
        ] {
            add(
                format!("sync {load}: {name} per fast commit"),
                rows.get("sync", load, Mode::Bytelog, metric),
                limit,
            );
        }
    }
    targets
}

fn virtio(rows: &Rows) -> Vec<Target> {
    let mut targets = Vec::new();
    for device in ["virtio_mem", "virtio_disk"] {
        for (load, flushes) in [(METADATA, 1.0), (DATA, 2.0)] {
            for (metric, name, limit) in [
                ("block_writes", "block writes", 0.0),
                ("flushes", "flushes", flushes),
            ] {
                targets.push(Target {
                    what: format!("{device} {load}: {name} per fast commit"),
                    value: rows.get(device, load, Mode::Bytelog, metric),
                    limit,
                });
            }
        }
    }
    targets
}

/// Of whole jobs, replays, and the writer on this CPU.
fn others(rows: &Rows) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |what: String, value, limit| targets.push(Target { what, value, limit });
    add(
        "virtio_disk, 8 threads: flushes per fsync".to_owned(),
        rows.get(
            "virtio_disk",
            "threads_8",
            Mode::Bytelog,
            "flushes_per_fsync",
        ),
        0.5,
    );
    for log in replay::names() {
        add(
            format!("sync, {log}: instructions, bytelog / stock_fc"),
            rows.ratio("sync", log, Mode::Bytelog, "instr_replay"),
            1.0,
        );
    }
    for job in ["write", "randwrite", "read", "randread"] {
        add(
            format!("sync {job} without fsync: instructions, bytelog / stock_fc"),
            rows.ratio("sync", job, Mode::Bytelog, "instr_per_op"),
            1.02,
        );
    }
    let nanos = |bytes: u32, way| rows.get("cpu", &format!("append_{bytes}"), way, "nanos");
    for (bytes, limit) in [(256, 1.5), (4096, 1.2)] {
        let ours = nanos(bytes, "bytelog");
        add(
            format!("CPU, {bytes} bytes of TLVs: time, bytelog / floor"),
            ours.zip(nanos(bytes, "floor")).map(|(a, b)| a / b),
            limit,
        );
        add(
            format!("CPU, {bytes} bytes of TLVs: time, bytelog / pmemlog"),
            ours.zip(nanos(bytes, "pmemlog")).map(|(a, b)| a / b),
            1.0,
        );
    }
    targets
}

/// All of them.
pub fn all(rows: &Rows) -> Vec<Target> {
    let mut targets = synchronous(rows);
    targets.extend(virtio(rows));
    targets.extend(others(rows));
    targets
}

/// Prints them; false if one was missed.
pub fn print(rows: &Rows) -> bool {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header(["target", "at most", "measured", ""]);
    let targets = all(rows);
    for target in &targets {
        table.add_row([
            target.what.clone(),
            number(target.limit),
            target.value.map_or("-".to_owned(), |v| format!("{v:.3}")),
            match target.is_met() {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "not measured",
            }
            .to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let count = |met| targets.iter().filter(|t| t.is_met() == met).count();
    println!(
        "\nTargets\n{table}\n{} met, {} not met, {} not measured",
        count(Some(true)),
        count(Some(false)),
        count(None)
    );
    count(Some(false)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_compared() {
        let mut rows = Rows::default();
        rows.push("sync", "create", Mode::StockFc, "instr_median", 100.0);
        rows.push("sync", "create", Mode::Bytelog, "instr_median", 61.0);
        rows.push("sync", "create", Mode::Bytelog, "flushes", 0.0);
        let targets = all(&rows);
        let find = |what: &str| targets.iter().find(|t| t.what.starts_with(what)).unwrap();
        assert_eq!(find("sync create: median").is_met(), Some(false));
        assert_eq!(find("sync create: flushes").is_met(), Some(true));
        assert_eq!(find("virtio_mem").is_met(), None);
        assert!(!print(&rows));
    }
}
