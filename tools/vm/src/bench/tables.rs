// SPDX-License-Identifier: GPL-2.0
//! Tables of the figures, as they are printed and as the documentation has them.

use super::profile::Part;
use super::rows::{Mode, Rows};
use bytelog_guest::load::Load;
use comfy_table::{presets, CellAlignment, Table};

/// A table with these titles.
pub fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header(header);
    table
}

/// Prints a table, of which but the first `left` columns are numbers.
pub fn print(title: &str, mut table: Table, left: usize) {
    for column in table.column_iter_mut().skip(left) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{title}\n{table}");
}

/// A number with as many places as make sense for its size.
pub fn number(value: f64) -> String {
    match value {
        v if v == v.trunc() => format!("{v:.0}"),
        v if v >= 100.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

/// A number that may not have been measured.
pub fn cell(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), number)
}

/// Instructions of all modes, with what ByteLog's and `off`'s are of stock's; then
/// what reaches the device.
pub fn costs(rows: &Rows, device: &str) {
    for (metric, title) in [
        ("instr_median", "instructions per fsync, median"),
        ("instr_mean", "instructions per fsync, mean"),
        ("instr_p99", "instructions per fsync, 99th percentile"),
    ] {
        let mut table = new(&[
            "workload",
            "full",
            "stock_fc",
            "off",
            "bytelog",
            "off/stock",
            "bytelog/stock",
        ]);
        for load in rows.workloads(device, metric) {
            let ratio = |mode| rows.ratio(device, load, mode, metric);
            let mut cells = vec![load.to_owned()];
            cells.extend(Mode::ALL.map(|mode| cell(rows.get(device, load, mode, metric))));
            for mode in [Mode::Off, Mode::Bytelog] {
                cells.push(ratio(mode).map_or("-".to_owned(), |ratio| format!("{ratio:.3}")));
            }
            table.add_row(cells);
        }
        print(&format!("{device}: {title}"), table, 1);
    }
    device_work(rows, device);
}

/// What reaches the device, stock beside ByteLog.
fn device_work(rows: &Rows, device: &str) {
    let metrics = [
        ("block_writes", "log\nwrites"),
        ("flushes", "flushes"),
        ("fences", "fences"),
        ("lines", "lines"),
        ("bytes_persisted", "bytes\nstored"),
        ("full_commits", "full\ncommits"),
    ];
    let mut header = vec!["workload", "mode"];
    header.extend(metrics.map(|(_, title)| title));
    let mut table = new(&header);
    for load in rows.workloads(device, "flushes") {
        for mode in [Mode::Full, Mode::StockFc, Mode::Bytelog] {
            let values = metrics.map(|(metric, _)| rows.get(device, load, mode, metric));
            if values.iter().any(Option::is_some) {
                let mut cells = vec![load.to_owned(), mode.name().to_owned()];
                cells.extend(values.map(cell));
                table.add_row(cells);
            }
        }
    }
    print(&format!("{device}: per fsync, mean"), table, 2);
}

/// Instructions of jobs.
pub fn jobs(rows: &Rows, device: &str, jobs: &[String]) {
    let mut table = new(&[
        "job",
        "stock_fc",
        "off",
        "bytelog",
        "off/stock",
        "bytelog/stock",
    ]);
    for job in jobs {
        let mut cells = vec![job.clone()];
        for mode in [Mode::StockFc, Mode::Off, Mode::Bytelog] {
            let value = rows.get(device, job, mode, "instr_per_op");
            cells.push(value.map_or("-".to_owned(), |value| format!("{value:.0}")));
        }
        for mode in [Mode::Off, Mode::Bytelog] {
            let ratio = rows.ratio(device, job, mode, "instr_per_op");
            cells.push(ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}")));
        }
        table.add_row(cells);
    }
    let title = format!("{device}: instructions of jobs, per operation, all that they do");
    print(&title, table, 1);
}

/// A ratio of times, with the lowest and the highest of the rounds.
pub fn spread(rows: &Rows, device: &str, job: &str, mode: Mode) -> String {
    let of = |metric| rows.get(device, job, mode, metric);
    let spread = of("seconds_ratio_low").zip(of("seconds_ratio_high"));
    match (of("seconds_ratio"), spread) {
        (Some(middle), Some((low, high))) => format!("{middle:.2} ({low:.2} to {high:.2})"),
        _ => "-".to_owned(),
    }
}

/// Ratios of times, with the lowest and the highest of the rounds.
pub fn timed(rows: &Rows, device: &str, jobs: &[String]) {
    let mut table = new(&[
        "job",
        "off/stock",
        "bytelog/stock",
        "flushes per fsync\nor transaction:\nstock_fc",
        "bytelog",
    ]);
    for job in jobs {
        let ratio = |mode: Mode| spread(rows, device, job, mode);
        let flushes = |mode| {
            let of = |metric| rows.get(device, job, mode, metric);
            cell(of("flushes_per_fsync").or(of("flushes_per_transaction")))
        };
        table.add_row([
            job.clone(),
            ratio(Mode::Off),
            ratio(Mode::Bytelog),
            flushes(Mode::StockFc),
            flushes(Mode::Bytelog),
        ]);
    }
    let title = format!("{device}: time, median (lowest to highest) of the rounds");
    print(&title, table, 1);
}

/// Instructions of replays.
pub fn replay(rows: &Rows, device: &str) {
    let mut table = new(&[
        "log",
        "fsyncs",
        "stock_fc",
        "bytelog",
        "bytelog/stock",
        "filled",
    ]);
    for log in rows.workloads(device, "instr_replay") {
        let of = |mode: Mode, metric| rows.get(device, log, mode, metric);
        let ratio = rows.ratio(device, log, Mode::Bytelog, "instr_replay");
        table.add_row([
            log.to_owned(),
            cell(of(Mode::Bytelog, "fsyncs")),
            cell(of(Mode::StockFc, "instr_replay")),
            cell(of(Mode::Bytelog, "instr_replay")),
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
            of(Mode::Bytelog, "log_filled")
                .map_or("-".to_owned(), |p| format!("{:.0} %", 100.0 * p)),
        ]);
    }
    print(&format!("{device}: instructions of a replay"), table, 1);
}

/// Commits by their size.
pub fn sizes(rows: &Rows, device: &str) {
    let mut table = new(&["TLVs", "full", "stock_fc", "bytelog", "bytelog/stock"]);
    let loads = rows.workloads(device, "instr_median").into_iter();
    for load in loads.filter(|load| load.starts_with("links_")) {
        let of = |mode: Mode| cell(rows.get(device, load, mode, "instr_median"));
        let ratio = rows.ratio(device, load, Mode::Bytelog, "instr_median");
        table.add_row([
            load.trim_start_matches("links_").to_owned(),
            of(Mode::Full),
            of(Mode::StockFc),
            of(Mode::Bytelog),
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
        ]);
    }
    let title = format!("{device}: instructions of an fsync by the size of its commit, median");
    print(&title, table, 0);
}

/// The most expensive functions.
pub fn profile(load: Load, mode: Mode, parts: &[Part], most: usize) {
    let mut table = new(&["function", "module", "instructions"]);
    let sum: f64 = parts.iter().map(|part| part.instructions).sum();
    for part in parts.iter().take(most) {
        let cells = [
            part.function.clone(),
            part.module.clone(),
            format!("{:.0}", part.instructions),
        ];
        table.add_row(cells);
    }
    let title = format!(
        "{} {}: {sum:.0} instructions per fsync, by function",
        load.name(),
        mode.name()
    );
    print(&title, table, 2);
}
