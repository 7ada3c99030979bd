// SPDX-License-Identifier: GPL-2.0

//! What the user sees.

use crate::checker::Counts;
use crate::explore::{Found, Report, LEVELS};
use std::fmt::Write;
use std::time::Duration;

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at != 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn row(out: &mut String, name: &str, bounds: [String; 2], workloads: u64, counts: &Counts) {
    let whole = match counts.states {
        0 => "-".into(),
        states => format!("{:.1}%", 100.0 * counts.whole_states as f64 / states as f64),
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        out,
        "{name:<10} {:>9} {:>9} {:>9} {:>9} {whole:>7} {:>12} {:>8} {:>9}",
        bounds[0],
        bounds[1],
        grouped(workloads),
        grouped(counts.states),
        grouped(counts.images),
        format!("2^{:.0}", counts.largest),
        grouped(counts.damaged),
    );
}

/// The table of figures.
pub fn table(report: &Report, time: Duration) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<10} {:>9} {:>9} {:>9} {:>9} {:>7} {:>12} {:>8} {:>9}",
        "workloads",
        "all up to",
        "else",
        "number",
        "states",
        "whole",
        "images",
        "largest",
        "damaged"
    );
    for (level, (workloads, counts)) in LEVELS.iter().zip(&report.levels) {
        let bounds = [
            grouped(level.budget.all),
            grouped(level.budget.samples.into()),
        ];
        row(&mut out, level.name, bounds, *workloads, counts);
    }
    let (workloads, counts) = report.total();
    let bounds = [String::new(), String::new()];
    row(&mut out, "together", bounds, workloads, &counts);
    let _ = writeln!(
        out,
        "{} images in {:.1} s, {} of them all that their state has; commit in flight: there in {}, \
         not there in {}",
        grouped(counts.images),
        time.as_secs_f64(),
        grouped(counts.whole_images),
        grouped(counts.kept),
        grouped(counts.lost),
    );
    out
}

/// A violation, and how to see it again.
pub fn violation(found: &Found, seed: u64) -> String {
    let v = &found.violation;
    let kind = match v.image {
        Some(_) => "an image",
        None => "the event",
    };
    format!(
        "VIOLATION of \"{}\": {}\n  {kind} behind event {} of {}\n  again: bytelog-crash run --seed {seed} \
         --only {}\n",
        v.broken.check, v.broken.what, v.event, found.trace.events.len(), found.workload,
    )
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn groups_of_three() {
        let numbers = [0, 999, 1000, 1234567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }
}
