// SPDX-License-Identifier: GPL-2.0

//! `bytelog stat`: what has been counted of mounted filesystems, once.

use super::table::{count, Table};
use crate::error::Result;
use crate::report::{Name, Report};
use crate::stats::histogram::{Bucket, Histogram};
use crate::stats::sample::{Sample, Selection};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;

/// Characters of the longest bar.
const BAR: u64 = 40;

/// What `bytelog stat` tells.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Stat {
    filesystems: Vec<Sample>,
}

/// Tells about the mounts that are asked for.
pub fn stat(which: &Selection) -> Result<Stat> {
    Ok(Stat {
        filesystems: which.sample()?,
    })
}

impl Report for Stat {
    const NAME: Name = Name::Stat;

    fn text(&self) -> String {
        if self.filesystems.is_empty() {
            return "no filesystem is mounted with ByteLog\n".to_owned();
        }
        let texts: Vec<_> = self.filesystems.iter().map(text).collect();
        texts.join("\n")
    }
}

fn text(sample: &Sample) -> String {
    let mut table = Table::default();
    let counters = &sample.counters;
    let mounted = sample.mounted_on.as_deref();
    table.row("filesystem", &sample.device);
    table.row("mounted on", mounted.unwrap_or("out of sight"));
    table.row(
        "fast commits",
        format_args!(
            "{}, {} with file data, {} empty",
            counters.commits, counters.data_commits, counters.empty_commits
        ),
    );
    let records = count(counters.records, "record");
    table.row(
        "  logged",
        format_args!(
            "{records} in {}, {} of {} bytes TLVs",
            count(counters.logs, "log"),
            counters.payload_bytes,
            counters.log_bytes
        ),
    );
    let each = |bytes: u64| bytes.checked_div(counters.logged()).unwrap_or(0);
    table.row(
        "  each",
        format_args!(
            "{} bytes, {} of them TLVs",
            each(counters.log_bytes),
            each(counters.payload_bytes)
        ),
    );
    table.row("  latency", latency(&sample.commit_latency_ns));
    table.row("given up", count(counters.aborted_commits, "fast commit"));
    for (reason, times) in counters.reasons() {
        if times > 0 {
            table.row(&format!("  {times}"), reason);
        }
    }
    if let Some(ext4) = &sample.ext4 {
        table.row("ruled out by ext4", count(ext4.ineligible, "transaction"));
        for (reason, times) in &ext4.reasons {
            table.row(&format!("  {times}"), reason);
        }
    }
    if let Some(commits) = sample.full_commits {
        table.row("full commits", commits);
    }
    let log = &sample.log;
    table.row(
        "log",
        format_args!(
            "{} of {} bytes, {} %; at most {}, {} %",
            log.log_used,
            log.log_capacity,
            log.fill(),
            log.log_high_water,
            log.highest()
        ),
    );
    table.row(
        "made durable by",
        format_args!(
            "fences {}, device flushes {}, flushes of file data {}; {} bytes written back",
            counters.fences,
            counters.device_flushes,
            counters.data_flushes,
            counters.written_back_bytes
        ),
    );
    table.row(
        "replayed at mount",
        format_args!(
            "{}, {} of {} bytes",
            count(counters.replayed_commits, "fast commit"),
            count(counters.replayed_records, "record"),
            counters.replayed_bytes
        ),
    );
    table.text() + &bars(&sample.commit_latency_ns)
}

/// The quantiles that people look for.
pub(super) fn latency(histogram: &Histogram) -> String {
    let below = |permille| histogram.quantile(permille).map(limit);
    match (below(500), below(990), below(1000)) {
        (Some(half), Some(most), Some(all)) => {
            format!("half {half}, 99 % {most}, all {all}")
        }
        _ => "none yet".to_owned(),
    }
}

/// What all of a bucket are below.
pub(super) fn limit(bucket: Bucket) -> String {
    match bucket.below {
        Some(below) => format!("< {}", time(below)),
        None => format!(">= {}", time(bucket.from)),
    }
}

/// Nanoseconds in the largest unit that leaves three digits or less.
pub(super) fn time(nanos: u64) -> String {
    for (unit, name) in [(1, "ns"), (1_000, "us"), (1_000_000, "ms")] {
        if nanos / unit < 1000 {
            return format!("{} {name}", nanos / unit);
        }
    }
    format!("{} s", nanos / 1_000_000_000)
}

/// A bar for each bucket in use.
fn bars(histogram: &Histogram) -> String {
    let mut out = String::new();
    let largest = histogram.buckets.iter().map(|bucket| bucket.count).max();
    for bucket in histogram.occupied() {
        let cells = bucket.count.saturating_mul(BAR);
        let cells = cells.div_ceil(largest.unwrap_or(1).max(1));
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:>14}  {:<width$} {}",
            limit(*bucket),
            "#".repeat(cells as usize),
            bucket.count,
            width = BAR as usize
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_unit() {
        let texts = [0, 999, 1024, 65536, 1 << 20, 1 << 30].map(time);
        assert_eq!(texts, ["0 ns", "999 ns", "1 us", "65 us", "1 ms", "1 s"]);
    }
}
