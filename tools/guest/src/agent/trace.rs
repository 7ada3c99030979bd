// SPDX-License-Identifier: GPL-2.0
//! Counting what reaches a device: block writes by tracepoint, flushes by probes
//! on the functions that carry them out. The disk statistics of pmem devices stay
//! at zero, so they cannot be asked.

use super::{exec, runner, stats};
use anyhow::{Context, Result};
use bytelog_guest::ops::sync;
use bytelog_guest::proto::{CountedRun, IoCounts};
use bytelog_guest::workload::Spec;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

const ROOT: &str = "/sys/kernel/tracing";
const EVENTS: &[&str] = &["block/block_bio_queue", "bytelog"];
const PROBES: &[&str] = &["nvdimm_flush", "virtio_pmem_flush"];

/// Operations that are not measured.
const WARM_UP: usize = 3;

fn put(file: &str, text: &str) -> Result<()> {
    let path = format!("{ROOT}/{file}");
    let mut file = OpenOptions::new()
        .write(true)
        .append(file == "kprobe_events")
        .open(&path)
        .with_context(|| path.clone())?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("{path}: {text}"))
}

fn set_up() -> Result<()> {
    put("tracing_on", "0")?;
    put("buffer_size_kb", "8192")?;
    let known = fs::read_to_string(format!("{ROOT}/kprobe_events"))?;
    for name in PROBES {
        if !known.contains(name) {
            // virtio_pmem_flush is only there when its module is loaded.
            let probe = put("kprobe_events", &format!("p:bytelog/{name} {name}\n"));
            if *name == "nvdimm_flush" {
                probe?;
            }
        }
    }
    for event in EVENTS {
        put(&format!("events/{event}/enable"), "1")?;
    }
    fs::write(format!("{ROOT}/trace"), "").context("clear the trace")?;
    put("tracing_on", "1")
}

fn tear_down() -> Result<()> {
    put("tracing_on", "0")?;
    for event in EVENTS {
        put(&format!("events/{event}/enable"), "0")?;
    }
    Ok(())
}

/// Where a filesystem's journal is.
pub struct Journal<'a> {
    pub dev: &'a str,
    /// (first, length), on that device.
    pub sectors: &'a [(u64, u64)],
}

/// The number of a device, as traces have it.
fn number(dev: &str) -> Result<String> {
    let rdev = fs::metadata(format!("/dev/{dev}"))?.rdev();
    Ok(format!(
        "{},{}",
        rustix::fs::major(rdev),
        rustix::fs::minor(rdev)
    ))
}

/// Runs a workload on a mounted filesystem and counts.
pub fn measure(spec: &Spec, dir: &Path, dev: &str, journal: &Journal) -> Result<IoCounts> {
    runner::prepare(spec, dir)?;
    let ops = {
        let mut gen = spec.start()?;
        let mut ops = Vec::new();
        while let Some((op, _)) = gen.step()? {
            ops.push(op);
        }
        ops
    };
    // The first fsync after a full commit may be another one.
    let (warm_up, ops) = ops.split_at(ops.len().min(WARM_UP));
    for op in warm_up {
        sync(&op.run(dir)?)?;
    }
    counting(dev, journal, || {
        for op in ops {
            op.run(dir).and_then(|path| sync(&path))?;
        }
        Ok(ops.len() as u64)
    })
}

/// Runs a program and counts.
pub fn run(argv: &[String], dev: &str, journal: &Journal) -> Result<CountedRun> {
    let mut run = None;
    let io = counting(dev, journal, || {
        run = Some(exec::run(argv, "")?);
        Ok(0)
    })?;
    let run = run.context("the program")?;
    Ok(CountedRun { run, io })
}

/// Counts what `work` sends to the devices of a filesystem; it says how many fsyncs
/// it made.
pub fn counting(
    dev: &str,
    journal: &Journal,
    work: impl FnOnce() -> Result<u64>,
) -> Result<IoCounts> {
    set_up()?;
    let before = stats::read(dev)?;
    let start = Instant::now();
    let outcome = work();
    let nanos = start.elapsed().as_nanos() as u64;
    tear_down()?;
    let fsyncs = outcome?;
    let after = stats::read(dev)?;
    let trace = fs::read_to_string(format!("{ROOT}/trace"))?;
    let pmem = journal.dev.starts_with("pmem");
    let (data, log) = (number(dev)?, number(journal.dev)?);
    let mut counts = count(&trace, &data, &log, pmem, journal.sectors);
    counts.fsyncs = fsyncs;
    counts.fast = after.fast - before.fast;
    counts.full = after.full - before.full;
    counts.nanos = nanos;
    Ok(counts)
}

/// `pmem`: whether that is what the journal is on, where flushes are calls and not
/// requests.
fn count(
    trace: &str,
    dev: &str,
    journal_dev: &str,
    pmem: bool,
    journal: &[(u64, u64)],
) -> IoCounts {
    let mut counts = IoCounts::default();
    let (mut virtio, mut disk) = (0, 0);
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        if let Some((_, bio)) = line.split_once("block_bio_queue: ") {
            // "259,0 WFS 1234 + 8 [comm]"
            let fields: Vec<&str> = bio.split_whitespace().collect();
            let [bio_dev, flags, sector, "+", len, ..] = fields[..] else {
                continue;
            };
            // Before the operation's letter a flush, behind it FUA, which is a flush
            // for a disk that does not know it.
            let flushes = flags.matches('F').count() as u64;
            if bio_dev == journal_dev {
                disk += flushes;
            } else if bio_dev == dev {
                counts.data_flushes += flushes;
            }
            let (Ok(sector), Ok(len)) = (sector.parse::<u64>(), len.parse::<u64>()) else {
                continue;
            };
            if (bio_dev != dev && bio_dev != journal_dev) || len == 0 || !flags.contains('W') {
                continue;
            }
            let inside = |&(first, n): &(u64, u64)| (first..first + n).contains(&sector);
            if bio_dev == journal_dev && journal.iter().any(inside) {
                counts.journal_writes += 1;
            } else {
                counts.other_writes += 1;
            }
        } else if line.contains(": (virtio_pmem_flush+") {
            virtio += 1;
        } else if line.contains(": (nvdimm_flush+") {
            counts.nvdimm_flushes += 1;
        }
    }
    // Behind virtio-pmem one flush passes nvdimm_flush more than once; what
    // counts is what the host is asked.
    counts.flushes = if virtio > 0 {
        virtio
    } else if pmem {
        counts.nvdimm_flushes
    } else {
        disk
    };
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_writes_and_flushes() {
        let trace = "\
# tracer: nop
  a-1 [000] ..... 1.0: block_bio_queue: 259,0 FWFS 800 + 8 [a]
  a-1 [000] ..... 1.1: nvdimm_flush: (nvdimm_flush+0x0/0x40 [libnvdimm])
  a-1 [000] ..... 1.2: block_bio_queue: 259,0 W 8000 + 8 [a]
  a-1 [000] ..... 1.2: block_bio_queue: 259,0 R 8000 + 8 [a]
  a-1 [000] ..... 1.3: block_bio_queue: 259,0 FWS 18446744073709551615 + 0 [a]
  a-1 [000] ..... 1.4: block_bio_queue: 7,0 W 800 + 8 [a]
";
        let counts = count(trace, "259,0", "259,0", true, &[(792, 16)]);
        assert_eq!((counts.journal_writes, counts.other_writes), (1, 1));
        assert_eq!((counts.flushes, counts.data_flushes), (1, 0));
        // The journal on the other device.
        let counts = count(trace, "259,0", "7,0", true, &[(0, 8000)]);
        assert_eq!((counts.journal_writes, counts.other_writes), (1, 2));
        assert_eq!((counts.flushes, counts.data_flushes), (1, 3));
        // A disk.
        let counts = count(trace, "259,0", "259,0", false, &[(792, 16)]);
        assert_eq!((counts.flushes, counts.data_flushes), (3, 0));
    }
}
