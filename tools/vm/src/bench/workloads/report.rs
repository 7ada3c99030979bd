// SPDX-License-Identifier: GPL-2.0
//! What is said of the workloads: tables, the mean of all, and what must hold.

use super::workload::Workload;
use super::MODES;
use crate::bench::rows::{Mode, Rows};
use crate::bench::tables;
use anyhow::{ensure, Context, Result};
use std::collections::HashMap;
use std::path::Path;

/// What part of a workload's commits has to be fast.
const FAST: f64 = 0.99;

/// What an fsync may cost at most, as a part of stock's, in the mean of the workloads.
const RATIO: f64 = 0.25;

/// What there is of each workload and mode.
const METRICS: [&str; 6] = [
    "fsyncs",
    "fast",
    "full",
    "instr_mean",
    "instr_p99",
    "log_bytes",
];

/// Why commits were full, by workload and mode.
pub type Reasons = HashMap<(&'static str, Mode), Vec<(String, u64)>>;

/// Prints the tables of a device and the summary.
pub fn print(rows: &Rows, device: &str, workloads: &[Workload], reasons: &Reasons) {
    costs(rows, device, workloads);
    why(rows, device, workloads, reasons);
    println!("\n{}", Summary::new(rows, device, workloads).text(device));
}

fn costs(rows: &Rows, device: &str, workloads: &[Workload]) {
    let mut table = tables::new(&[
        "workload",
        "mode",
        "fsyncs",
        "fast",
        "full",
        "fast, %",
        "instructions,\nmean",
        "p99",
        "mean,\nof stock's",
        "log bytes",
    ]);
    for name in workloads.iter().map(Workload::name) {
        for mode in MODES {
            let of = |metric| rows.get(device, name, mode, metric);
            let share =
                fast_share(rows, device, name, mode).map(|share| format!("{:.1}", 100.0 * share));
            let whole = |metric| of(metric).map(|value| format!("{value:.0}"));
            let ratio = match mode {
                Mode::StockFc => Some(String::new()),
                _ => rows
                    .ratio(device, name, mode, "instr_mean")
                    .map(|ratio| format!("{ratio:.3}")),
            };
            let mut cells = vec![name.to_owned(), mode.name().to_owned()];
            let values = [
                whole("fsyncs"),
                whole("fast"),
                whole("full"),
                share,
                whole("instr_mean"),
                whole("instr_p99"),
                ratio,
                whole("log_bytes"),
            ];
            cells.extend(values.map(|value| value.unwrap_or("-".to_owned())));
            table.add_row(cells);
        }
    }
    let title = format!("{device}: fsyncs of each workload and what one costs, mean");
    tables::print(&title, table, 2);
}

fn why(rows: &Rows, device: &str, workloads: &[Workload], reasons: &Reasons) {
    let mut table = tables::new(&["workload", "mode", "full", "why, by fc_info"]);
    for name in workloads.iter().map(Workload::name) {
        for mode in MODES {
            let full = rows.get(device, name, mode, "full").unwrap_or(0.0);
            let none = Vec::new();
            let said = reasons.get(&(name, mode)).unwrap_or(&none);
            if full > 0.0 || !said.is_empty() {
                let why = reason_text(full as u64, said);
                table.add_row([name, mode.name(), &format!("{full:.0}"), &why]);
            }
        }
    }
    tables::print(&format!("{device}: full commits"), table, 4);
}

/// The reasons and how often each was given; one commit can have several.
fn reason_text(full: u64, reasons: &[(String, u64)]) -> String {
    let mut words: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{reason}: {count}"))
        .collect();
    let told = reasons.iter().map(|(_, count)| count).sum();
    if full > told {
        words.push(format!("no reason given: {}", full - told));
    }
    words.join("\n")
}

/// The part of the commits that is fast; 1 where there are none.
fn fast_share(rows: &Rows, device: &str, workload: &str, mode: Mode) -> Option<f64> {
    let of = |metric| rows.get(device, workload, mode, metric);
    let (fast, full) = (of("fast")?, of("full")?);
    Some(share(fast, full))
}

fn share(fast: f64, full: f64) -> f64 {
    match fast + full {
        0.0 => 1.0,
        all => fast / all,
    }
}

/// All workloads of a device together.
#[derive(Debug, PartialEq)]
struct Summary {
    /// Those that were measured in both modes.
    workloads: usize,
    /// Of ByteLog's instructions per fsync, as a part of stock's: the mean.
    ratio: f64,
    /// ByteLog's commits.
    fast: f64,
    full: f64,
}

impl Summary {
    fn new(rows: &Rows, device: &str, workloads: &[Workload]) -> Self {
        let ratios = workloads
            .iter()
            .filter_map(|w| rows.ratio(device, w.name(), Mode::Bytelog, "instr_mean"));
        let ratios: Vec<f64> = ratios.collect();
        let sum = |metric| -> f64 {
            let of = |w: &Workload| rows.get(device, w.name(), Mode::Bytelog, metric);
            workloads.iter().filter_map(of).sum()
        };
        Self {
            workloads: ratios.len(),
            ratio: ratios.iter().sum::<f64>() / ratios.len().max(1) as f64,
            fast: sum("fast"),
            full: sum("full"),
        }
    }

    fn text(&self, device: &str) -> String {
        format!(
            "{device}: instructions per fsync, bytelog / stock_fc, mean of {} workloads: {:.3}; \
             {:.1} % of {} commits are fast",
            self.workloads,
            self.ratio,
            100.0 * share(self.fast, self.full),
            self.fast + self.full
        )
    }
}

/// What was asked for and not measured.
pub fn missing(rows: &Rows, devices: &[&str], workloads: &[Workload]) -> Vec<String> {
    let mut texts = Vec::new();
    for device in devices {
        for name in workloads.iter().map(Workload::name) {
            for mode in MODES {
                let there = |metric: &&str| rows.get(device, name, mode, metric).is_some();
                if !METRICS.iter().all(there) {
                    texts.push(format!("{device}: {name} {}: not measured", mode.name()));
                }
            }
        }
    }
    texts
}

/// The limits that are not kept.
pub fn broken(rows: &Rows, devices: &[&str], workloads: &[Workload]) -> Vec<String> {
    let mut texts = Vec::new();
    for device in devices {
        for name in workloads.iter().map(Workload::name) {
            let full = |mode| rows.get(device, name, mode, "full");
            if let Some(share) = fast_share(rows, device, name, Mode::Bytelog) {
                if share < FAST {
                    texts.push(format!(
                        "{device}: {name}: {:.1} % of the commits are fast, not {:.0} %",
                        100.0 * share,
                        100.0 * FAST
                    ));
                }
            }
            if let (Some(stock), Some(ours)) = (full(Mode::StockFc), full(Mode::Bytelog)) {
                if ours > stock {
                    texts.push(format!(
                        "{device}: {name}: {ours} full commits, of stock {stock}"
                    ));
                }
            }
        }
        let ratio = Summary::new(rows, device, workloads).ratio;
        if ratio > RATIO {
            texts.push(format!(
                "{device}: an fsync costs {ratio:.3} of stock's, not {RATIO} at most"
            ));
        }
    }
    texts
}

/// Reads workloads.json back: figures that cannot be right if nothing was measured.
pub fn check_smoke(path: &Path, workloads: &[Workload]) -> Result<()> {
    let mut rows = Rows::default();
    rows.add_file(path)?;
    for name in workloads.iter().map(Workload::name) {
        let of = |mode: Mode, metric: &str| {
            let value = rows.get("sync", name, mode, metric);
            value.with_context(|| format!("no {metric} of {name} in mode {}", mode.name()))
        };
        for mode in MODES {
            let commits = of(mode, "fast")? + of(mode, "full")?;
            let fsyncs = of(mode, "fsyncs")?;
            ensure!(
                fsyncs > 0.0 && commits > 0.0,
                "{name} {}: {fsyncs} fsyncs, {commits} commits",
                mode.name()
            );
            ensure!(
                of(mode, "instr_mean")? > 1000.0 && of(mode, "instr_p99")? > 1000.0,
                "{name} {}: an fsync of so few instructions",
                mode.name()
            );
        }
        ensure!(
            of(Mode::StockFc, "fsyncs")? == of(Mode::Bytelog, "fsyncs")?,
            "{name}: the modes do not do the same"
        );
    }
    // What has always been fast.
    let log = |mode, metric| rows.get("sync", "append_log", mode, metric).unwrap_or(0.0);
    ensure!(
        log(Mode::Bytelog, "fast") >= log(Mode::Bytelog, "fsyncs")
            && log(Mode::Bytelog, "full") == 0.0,
        "append_log: not every commit is fast"
    );
    ensure!(
        log(Mode::Bytelog, "instr_mean") < log(Mode::StockFc, "instr_mean"),
        "append_log: ByteLog is not cheaper than stock"
    );
    let bytes = MODES.map(|mode| log(mode, "log_bytes"));
    ensure!(
        bytes[0] >= 4096.0 && (64.0..4096.0).contains(&bytes[1]),
        "append_log: {bytes:?} bytes of log"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::workload;
    use super::*;

    fn two() -> Vec<Workload> {
        let all = workload::ALL.into_iter();
        all.filter(|w| ["editor", "maildir"].contains(&w.name()))
            .collect()
    }

    fn put(rows: &mut Rows, name: &str, mode: Mode, [fast, full, mean]: [f64; 3]) {
        for (metric, value) in METRICS.iter().zip([200.0, fast, full, mean, mean, 100.0]) {
            rows.push("sync", name, mode, metric, value);
        }
    }

    /// Two workloads that keep every limit.
    fn good() -> Rows {
        let mut rows = Rows::default();
        for name in ["maildir", "editor"] {
            put(&mut rows, name, Mode::StockFc, [100.0, 100.0, 40000.0]);
            put(&mut rows, name, Mode::Bytelog, [198.0, 2.0, 8000.0]);
        }
        rows
    }

    #[test]
    fn limits() {
        assert_eq!(broken(&good(), &["sync"], &two()), Vec::<String>::new());
        let with = |figures| {
            let mut rows = Rows::default();
            put(&mut rows, "editor", Mode::StockFc, [199.0, 1.0, 40000.0]);
            put(&mut rows, "editor", Mode::Bytelog, figures);
            broken(&rows, &["sync"], &two())
        };
        assert_eq!(
            with([199.0, 2.0, 8000.0]),
            ["sync: editor: 2 full commits, of stock 1"]
        );
        assert_eq!(
            with([90.0, 1.0, 8000.0]),
            ["sync: editor: 98.9 % of the commits are fast, not 99 %"]
        );
        assert_eq!(
            with([199.0, 1.0, 10400.0]),
            ["sync: an fsync costs 0.260 of stock's, not 0.25 at most"]
        );
        // Nothing to commit.
        assert_eq!(with([0.0, 0.0, 100.0]), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_measured_is_named() {
        assert_eq!(missing(&good(), &["sync"], &two()), Vec::<String>::new());
        let mut rows = Rows::default();
        put(&mut rows, "editor", Mode::StockFc, [1.0, 1.0, 1.0]);
        put(&mut rows, "editor", Mode::Bytelog, [1.0, 1.0, 1.0]);
        put(&mut rows, "maildir", Mode::StockFc, [1.0, 1.0, 1.0]);
        rows.push("sync", "maildir", Mode::Bytelog, "fast", 1.0);
        assert_eq!(
            missing(&rows, &["sync"], &two()),
            ["sync: maildir bytelog: not measured"]
        );
        assert_eq!(missing(&rows, &["virtio_disk"], &two()).len(), 4);
    }

    #[test]
    fn the_mean_is_of_the_ratios() {
        let mut rows = good();
        let all = workload::ALL;
        put(&mut rows, "acl", Mode::StockFc, [0.0, 200.0, 100000.0]);
        put(&mut rows, "acl", Mode::Bytelog, [104.0, 96.0, 50000.0]);
        let summary = Summary::new(&rows, "sync", &all);
        assert_eq!(
            (summary.workloads, summary.fast, summary.full),
            (3, 500.0, 100.0)
        );
        assert!((summary.ratio - 0.3).abs() < 1e-9);
        assert_eq!(
            summary.text("sync"),
            "sync: instructions per fsync, bytelog / stock_fc, mean of 3 workloads: 0.300; \
             83.3 % of 600 commits are fast"
        );
    }

    #[test]
    fn reasons_and_the_rest() {
        let reasons = [("Dir renamed".to_owned(), 2), ("Resize".to_owned(), 1)];
        assert_eq!(reason_text(3, &reasons), "Dir renamed: 2\nResize: 1");
        assert_eq!(
            reason_text(5, &reasons),
            "Dir renamed: 2\nResize: 1\nno reason given: 2"
        );
    }

    #[test]
    fn an_empty_run_fails() {
        let path = format!("bytelog-workloads-{}", std::process::id());
        let path = std::env::temp_dir().join(path);
        Rows::default().write(&path).unwrap();
        let outcome = check_smoke(&path, &two());
        std::fs::remove_file(&path).unwrap();
        assert!(outcome.is_err());
    }
}
