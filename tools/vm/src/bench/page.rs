// SPDX-License-Identifier: GPL-2.0
//! One page with everything in it: plots, and the targets.

use super::plot::{Curve, Plot};
use super::rows::{Mode, Rows};
use super::targets;
use anyhow::{Context, Result};
use bytelog_guest::proto::Look;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// What the page shows besides the rows.
#[derive(Default)]
pub struct Extra {
    /// Instructions of each fsync: load, mode, all of them.
    pub samples: Vec<(&'static str, Mode, Vec<u64>)>,
    /// How the log filled.
    pub levels: Vec<(Mode, Vec<Look>)>,
    /// Kernel and emulator.
    pub machine: String,
}

/// The part of the fsyncs that cost at most so much.
fn distribution(extra: &Extra, load: &str, title: &'static str) -> Plot {
    let of_load = extra.samples.iter().filter(|(name, ..)| *name == load);
    let curves = of_load.map(|(_, mode, samples)| {
        let mut sorted = samples.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1).max(1) as f64;
        let points = sorted.iter().enumerate();
        Curve {
            mode: *mode,
            points: points.map(|(i, v)| (*v as f64, i as f64 / last)).collect(),
        }
    });
    Plot {
        title,
        x: "instructions of an fsync",
        y: "part of the fsyncs",
        logarithmic: [true, false],
        curves: curves.collect(),
    }
}

/// A metric of workloads whose names end in a number, against that number.
fn against(rows: &Rows, device: &str, stem: &str, mode: Mode, metric: &str) -> Vec<(f64, f64)> {
    let names = rows.workloads(device, metric).into_iter();
    let numbered = names.filter_map(|name| Some((name, name.strip_prefix(stem)?.parse().ok()?)));
    numbered
        .filter_map(|(name, x): (&str, f64)| Some((x, rows.get(device, name, mode, metric)?)))
        .collect()
}

fn curves(modes: &[Mode], points: impl Fn(Mode) -> Vec<(f64, f64)>) -> Vec<Curve> {
    let curves = modes.iter().map(|&mode| Curve {
        mode,
        points: points(mode),
    });
    curves.filter(|curve| !curve.points.is_empty()).collect()
}

fn fill(extra: &Extra) -> [Plot; 2] {
    let of = |value: fn(&Look) -> Option<f64>| -> Vec<Curve> {
        let all = extra.levels.iter().map(|(mode, looks)| Curve {
            mode: *mode,
            points: looks
                .iter()
                .filter_map(|look| Some((look.fsyncs as f64, value(look)?)))
                .collect(),
        });
        all.filter(|curve| !curve.points.is_empty()).collect()
    };
    let filled = of(|look| {
        look.log
            .map(|log| 100.0 * log.used as f64 / log.capacity.max(1) as f64)
    });
    [
        Plot {
            title: "Log of 256 KiB: how full",
            x: "fsyncs (renames)",
            y: "% of the log",
            logarithmic: [false, false],
            curves: filled,
        },
        Plot {
            title: "Log of 256 KiB: commits in full",
            x: "fsyncs (renames)",
            y: "full commits so far",
            logarithmic: [false, false],
            curves: of(|look| Some(look.stats.full as f64)),
        },
    ]
}

fn plots(rows: &Rows, extra: &Extra) -> Vec<Plot> {
    let mut plots = vec![
        distribution(extra, "create", "Create and fsync, synchronous pmem"),
        distribution(extra, "append", "Append and fsync, synchronous pmem"),
        Plot {
            title: "An fsync by the size of its commit, synchronous pmem",
            x: "TLVs",
            y: "instructions",
            logarithmic: [true, true],
            curves: curves(&[Mode::Full, Mode::StockFc, Mode::Bytelog], |mode| {
                against(rows, "sync", "links_", mode, "instr_median")
            }),
        },
    ];
    for (device, time, flushes) in [
        (
            "virtio_disk",
            "Threads that append and fsync, virtio-pmem on a disk: time",
            "Threads that append and fsync, virtio-pmem on a disk: flushes",
        ),
        (
            "sync",
            "Threads that append and fsync, synchronous pmem: time",
            "Threads that append and fsync, synchronous pmem: flushes",
        ),
    ] {
        for (title, metric, y) in [
            (time, "op_nanos", "nanoseconds per fsync (emulated)"),
            (flushes, "flushes_per_fsync", "flushes per fsync"),
        ] {
            plots.push(Plot {
                title,
                x: "threads",
                y,
                logarithmic: [false, false],
                curves: curves(&[Mode::StockFc, Mode::Bytelog], |mode| {
                    against(rows, device, "threads_", mode, metric)
                }),
            });
        }
    }
    plots.extend(fill(extra));
    // Without a point there is no range that an axis could have.
    for plot in &mut plots {
        plot.curves.retain(|curve| !curve.points.is_empty());
    }
    plots.retain(|plot| !plot.curves.is_empty());
    plots
}

/// Writes the page.
pub fn write(path: &Path, rows: &Rows, extra: &Extra) -> Result<()> {
    let mut text = String::from(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <title>ByteLog: what an fsync costs</title>\n\
         <style>body { font: 15px sans-serif; margin: 2em auto; max-width: 840px; }\n\
         table { border-collapse: collapse; } td, th { padding: 2px 10px; text-align: left; }\n\
         tr:nth-child(even) { background: #f2f2f2; } .missed { color: #b00020; font-weight: bold; }\n\
         </style>\n<h1>What an fsync costs</h1>\n",
    );
    writeln!(text, "<p>{}</p>", extra.machine)?;
    for plot in plots(rows, extra) {
        writeln!(text, "{}", plot.svg()?)?;
    }
    text.push_str("<h2>Targets</h2>\n<table>\n<tr><th>target<th>at most<th>measured<th>\n");
    for target in targets::all(rows) {
        let (class, word) = match target.is_met() {
            Some(true) => ("met", "met"),
            Some(false) => ("missed", "not met"),
            None => ("none", "not measured"),
        };
        let value = target.value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        writeln!(
            text,
            "<tr><td>{}<td>{}<td>{value}<td class=\"{class}\">{word}",
            target.what, target.limit
        )?;
    }
    text.push_str("</table>\n</html>\n");
    fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_what_is_there() {
        let mut rows = Rows::default();
        for (size, value) in [(1, 5000.0), (4000, 900_000.0)] {
            let name = format!("links_{size}");
            rows.push("sync", &name, Mode::Bytelog, "instr_median", value);
        }
        let points = against(&rows, "sync", "links_", Mode::Bytelog, "instr_median");
        assert_eq!(points, [(1.0, 5000.0), (4000.0, 900_000.0)]);
        let extra = Extra {
            samples: vec![
                ("create", Mode::Bytelog, vec![3, 1, 2]),
                ("append", Mode::Bytelog, vec![]),
            ],
            ..Extra::default()
        };
        assert_eq!(plots(&rows, &extra).len(), 2);
    }
}
