// SPDX-License-Identifier: GPL-2.0
//! Tables of the figures, as they are printed and as the documentation has them.

use super::place::Place;
use super::profile::Part;
use super::rows::{Mode, Rows};
use comfy_table::{presets, CellAlignment, Table};

/// A table with these titles.
pub fn new(header: &[impl ToString]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header(header.iter().map(ToString::to_string));
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

/// The modes whose figures are compared with stock's.
fn compared(modes: &[Mode]) -> impl Iterator<Item = Mode> + '_ {
    let apart = |mode: &Mode| !matches!(mode, Mode::Full | Mode::StockFc);
    modes.iter().copied().filter(apart)
}

/// A header with a column for each mode, and one for each that is compared.
fn header(first: &str, modes: &[Mode]) -> Vec<String> {
    let mut header = vec![first.to_owned()];
    header.extend(modes.iter().map(|mode| mode.name().to_owned()));
    header.extend(ratio_titles(modes));
    header
}

fn ratio_titles(modes: &[Mode]) -> impl Iterator<Item = String> + '_ {
    compared(modes).map(|mode| format!("{}/stock", mode.name()))
}

/// Figures of a workload under such a header.
fn figures(rows: &Rows, device: &str, workload: &str, modes: &[Mode], metric: &str) -> Vec<String> {
    let value = |mode: &Mode| cell(rows.get(device, workload, *mode, metric));
    let ratio = |mode: Mode| match rows.ratio(device, workload, mode, metric) {
        Some(ratio) => format!("{ratio:.3}"),
        None => "-".to_owned(),
    };
    let mut cells = vec![workload.to_owned()];
    cells.extend(modes.iter().map(value));
    cells.extend(compared(modes).map(ratio));
    cells
}

/// Instructions of all modes of a place, with what they are of stock's; then what
/// reaches the device.
pub fn costs(rows: &Rows, place: &Place) {
    for (metric, title) in [
        ("instr_median", "instructions per fsync, median"),
        ("instr_mean", "instructions per fsync, mean"),
        ("instr_p99", "instructions per fsync, 99th percentile"),
    ] {
        let mut table = new(&header("workload", place.modes));
        for load in rows.workloads(place.name, metric) {
            table.add_row(figures(rows, place.name, load, place.modes, metric));
        }
        print(&format!("{}: {title}", place.name), table, 1);
    }
    device_work(rows, place);
}

/// What reaches the device. `off` writes what stock does.
fn device_work(rows: &Rows, place: &Place) {
    let device = place.name;
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
        for &mode in place.modes.iter().filter(|mode| **mode != Mode::Off) {
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
pub fn jobs(rows: &Rows, place: &Place, jobs: &[String]) {
    let modes = place.job_modes();
    let mut table = new(&header("job", &modes));
    for job in jobs {
        table.add_row(figures(rows, place.name, job, &modes, "instr_per_op"));
    }
    let title = format!(
        "{}: instructions of jobs, per operation, all that they do",
        place.name
    );
    print(&title, table, 1);
}

/// A ratio of times, with the lowest and the highest of the rounds; and that of the
/// shortest times.
pub fn spread(rows: &Rows, device: &str, job: &str, mode: Mode) -> String {
    let of = |metric| rows.get(device, job, mode, metric);
    let spread = of("seconds_ratio_low").zip(of("seconds_ratio_high"));
    match (of("seconds_ratio"), spread) {
        (Some(middle), Some((low, high))) => {
            let shortest = cell(of("seconds_ratio_shortest"));
            format!("{middle:.2} ({low:.2} to {high:.2}) {shortest}")
        }
        _ => "-".to_owned(),
    }
}

/// Ratios of times, with the lowest and the highest of the rounds.
pub fn timed(rows: &Rows, place: &Place, jobs: &[String]) {
    let device = place.name;
    let modes = place.job_modes();
    let mut header = vec!["job".to_owned()];
    header.extend(ratio_titles(&modes));
    header.push("flushes per fsync\nor transaction:\nstock_fc".to_owned());
    header.push(Mode::Bytelog.name().to_owned());
    let mut table = new(&header);
    for job in jobs {
        let ratio = |mode: Mode| spread(rows, device, job, mode);
        let flushes = |mode| {
            let of = |metric| rows.get(device, job, mode, metric);
            cell(of("flushes_per_fsync").or(of("flushes_per_transaction")))
        };
        let mut cells = vec![job.clone()];
        cells.extend(compared(&modes).map(ratio));
        cells.extend([Mode::StockFc, Mode::Bytelog].map(flushes));
        table.add_row(cells);
    }
    let title =
        format!("{device}: time, median (lowest to highest) of the rounds, shortest to shortest");
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
pub fn profile(what: &str, mode: Mode, parts: &[Part], most: usize) {
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
    let title = format!("{what} {}: {sum:.0} instructions, by function", mode.name());
    print(&title, table, 2);
}
