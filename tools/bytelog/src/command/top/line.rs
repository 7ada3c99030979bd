// SPDX-License-Identifier: GPL-2.0

//! A mount's interval on a line.

use crate::command::stat::limit;
use crate::stats::interval::Interval;

/// The columns' names.
pub const COLUMNS: [&str; 9] = [
    "DEVICE",
    "COMMITS/S",
    "BYTES",
    "HALF",
    "99 %",
    "FILL",
    "GIVEN UP",
    "RULED OUT",
    "FULL",
];

/// The columns' widths.
const WIDTHS: [usize; 9] = [10, 10, 7, 10, 10, 6, 9, 10, 6];

/// The header of [`line`].
pub const HEADER: &str =
    "DEVICE      COMMITS/S   BYTES       HALF       99 %   FILL  GIVEN UP  RULED OUT   FULL  WHY";

/// What the columns have.
pub fn cells(interval: &Interval) -> [String; 9] {
    let latency = &interval.commit_latency_ns;
    let below = |permille| latency.quantile(permille).map_or("-".to_owned(), limit);
    let count = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let counters = &interval.counters;
    [
        interval.device.clone(),
        format!("{:.0}", interval.per_second(counters.commits)),
        interval.bytes_per_commit().to_string(),
        below(500),
        below(990),
        format!("{} %", interval.log.fill()),
        counters.aborted_commits.to_string(),
        count(interval.ext4.as_ref().map(|ext4| ext4.ineligible)),
        count(interval.full_commits),
    ]
}

/// Why commits of the interval were full ones, in words.
pub fn reasons(interval: &Interval) -> Vec<(String, u64)> {
    let ours = interval.counters.reasons();
    let ours = ours.map(|(reason, times)| (reason.to_owned(), times));
    let ext4 = interval.ext4.iter().flat_map(|ext4| &ext4.reasons);
    let ext4 = ext4.map(|(reason, times)| (reason.clone(), *times));
    let all = ours.into_iter().chain(ext4);
    all.filter(|(_, times)| *times > 0).collect()
}

/// Cells in their columns.
pub fn columns(cells: &[String; 9]) -> String {
    let mut out = String::new();
    for (number, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        out.push_str(&match number {
            0 => format!("{cell:<width$}"),
            _ => format!(" {cell:>width$}"),
        });
    }
    out
}

/// The interval on a line.
pub fn line(interval: &Interval) -> String {
    let why = reasons(interval);
    let why = why
        .iter()
        .map(|(reason, times)| format!("{reason} {times}"));
    let why: Vec<_> = why.collect();
    let line = format!("{}  {}", columns(&cells(interval)), why.join(", "));
    line.trim_end().to_owned()
}
