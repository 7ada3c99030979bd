// SPDX-License-Identifier: GPL-2.0
//! The main job, shown: on each device, stock fast commit beside ByteLog, a
//! workload, a power cut in the middle of it, replay, and the account.

use crate::channel::Acks;
use crate::config::VmConfig;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::oracle::Verdict;
use bytelog_guest::proto::{DeviceKind, IoCounts};
use bytelog_guest::workload::{Kind, Spec};
use comfy_table::{presets, CellAlignment, Table};
use std::time::Instant;

/// Fsyncs that each device has acknowledged when the power goes, at least.
const ACKS: u64 = 400;
/// Fsyncs that are measured.
const MEASURED: u64 = 100;
/// And some before, which the guest does not count.
const WARM_UP: u64 = 3;
/// More operations than will ever be reached: the workload is running at the cut.
const ENDLESS: u64 = 1_000_000;

/// How the device of a filesystem with its journal elsewhere is called.
const ON_PMEM: &str = ", journal on pmem";

/// A filesystem's device, and where its journal is if not there.
type Place = (DeviceKind, Option<DeviceKind>);

/// What is mounted side by side, with one ext4.
struct Variant {
    name: &'static str,
    ext4: Ext4,
    option: &'static str,
    places: &'static [Place],
}

const VARIANTS: [Variant; 4] = [
    Variant {
        name: "stock",
        ext4: Ext4::Stock,
        option: "",
        places: &[
            (DeviceKind::Virtio, None),
            (DeviceKind::Sync, None),
            (DeviceKind::Disk, None),
        ],
    },
    Variant {
        name: "ByteLog",
        ext4: Ext4::ByteLog,
        option: ",dax_fc_bytelog=on",
        places: &[(DeviceKind::Virtio, None), (DeviceKind::Sync, None)],
    },
    Variant {
        name: "stock",
        ext4: Ext4::Stock,
        option: "",
        places: &[(DeviceKind::Disk, Some(DeviceKind::Sync))],
    },
    Variant {
        name: "ByteLog",
        ext4: Ext4::ByteLog,
        option: ",dax_fc_bytelog=on",
        places: &[(DeviceKind::Disk, Some(DeviceKind::Sync))],
    },
];

struct Row {
    device: String,
    variant: &'static str,
    acks: Acks,
    verdict: Verdict,
    io: IoCounts,
}

struct Demo {
    lab: Lab,
    start: Instant,
}

impl Demo {
    fn say(&self, text: &str) {
        println!("[{:5.1}s] {text}", self.start.elapsed().as_secs_f64());
    }

    /// One variant on all its devices: two boots, one cut.
    fn variant(&mut self, variant: &Variant) -> Result<Vec<Row>> {
        let name = variant.name;
        let devs = self.boot(variant)?;
        let mut measured = Vec::new();
        for (dev, journal) in &devs {
            let label = label(dev, journal.as_ref());
            match journal {
                Some(journal) => self.lab.mkfs_external(dev, journal, "")?,
                None => self.lab.mkfs(dev, "", "")?,
            }
            self.lab
                .mount(dev, &options(variant, dev, journal.as_ref()))?;
            let spec = Spec::new(Kind::Fast, self.lab.seed + 1, WARM_UP + MEASURED);
            measured.push(self.lab.measure(dev, "measured", &spec)?);
            self.say(&format!("{name}, {label}: {MEASURED} fsyncs measured"));
        }
        let spec = Spec::new(Kind::Mixed, self.lab.seed, ENDLESS);
        let jobs: Vec<(Dev, Spec)> = devs
            .iter()
            .map(|(dev, _)| (dev.clone(), spec.clone()))
            .collect();
        let acks = self.lab.cut_during(&jobs, ACKS)?;
        let counts: Vec<String> = acks.iter().map(|acks| acks.fsyncs.to_string()).collect();
        self.say(&format!(
            "{name}: power cut, filesystems busy; fsyncs acknowledged: {}",
            counts.join(", ")
        ));

        let devs = self.boot(variant)?;
        let mut rows = Vec::new();
        for (((dev, journal), acks), io) in devs.iter().zip(acks).zip(measured) {
            let label = label(dev, journal.as_ref());
            let opts = options(variant, dev, journal.as_ref());
            self.lab.mount(dev, &opts).context("mount after the cut")?;
            let verdict = self.lab.judge(dev, &spec, acks.fsyncs)?;
            self.say(&format!(
                "{name}, {label}: replayed; {} of {} fsyncs are there",
                verdict.recovered(),
                acks.fsyncs
            ));
            for diff in verdict.diffs.iter().take(10) {
                println!("         {diff}");
            }
            self.lab.umount(&dev.dir())?;
            self.lab.fsck_clean(dev)?;
            self.say(&format!(
                "{name}, {label}: unmounted, e2fsck -fn is content"
            ));
            rows.push(Row {
                device: label,
                variant: name,
                acks,
                verdict,
                io,
            });
        }
        self.lab.power_off()?;
        Ok(rows)
    }

    /// The devices of a variant, and those of their journals.
    fn boot(&mut self, variant: &Variant) -> Result<Vec<(Dev, Option<Dev>)>> {
        self.lab.with(variant.ext4)?;
        let release = self.lab.vm()?.hello.release.clone();
        self.say(&format!("{}: Linux {release} is up", variant.name));
        let places = variant.places.iter();
        places
            .map(|&(data, journal)| {
                let journal = journal.map(|kind| self.lab.dev(kind)).transpose()?;
                Ok((self.lab.dev(data)?, journal))
            })
            .collect()
    }
}

fn label(dev: &Dev, journal: Option<&Dev>) -> String {
    match (dev.kind, journal) {
        (_, Some(_)) => format!("{}{ON_PMEM}", dev.label()),
        (DeviceKind::Disk, None) => format!("{}, journal inside", dev.label()),
        _ => dev.label().to_owned(),
    }
}

fn options(variant: &Variant, dev: &Dev, journal: Option<&Dev>) -> String {
    let dax = match dev.kind {
        DeviceKind::Sync | DeviceKind::Virtio => "dax=always,",
        _ => "",
    };
    let journal = journal.map_or(String::new(), |dev| format!(",journal_path={}", dev.path()));
    format!("{dax}commit=600{journal}{}", variant.option)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_BORDERS_ONLY_CONDENSED);
    table.set_header([
        "device",
        "log",
        "acked\nfsyncs",
        "recovered",
        "lost",
        "fast\ncommits",
        "full\ncommits",
        "log writes\nper fsync",
        "data writes\nper fsync",
        "flushes\nper fsync",
        "data flushes\nper fsync",
    ]);
    for row in rows {
        let per_fsync = |n: u64| format!("{:.2}", n as f64 / row.io.fsyncs.max(1) as f64);
        let (first, last) = (row.acks.first, row.acks.last);
        table.add_row([
            row.device.clone(),
            row.variant.to_owned(),
            row.verdict.acknowledged.to_string(),
            row.verdict.recovered().to_string(),
            row.verdict.lost.to_string(),
            (last.fast - first.fast).to_string(),
            (last.full - first.full).to_string(),
            per_fsync(row.io.journal_writes),
            per_fsync(row.io.other_writes),
            per_fsync(row.io.flushes),
            match row.device.ends_with(ON_PMEM) {
                true => per_fsync(row.io.data_flushes),
                false => "-".to_owned(),
            },
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Runs the demo; false if a fsync was lost or a variant could not be run.
pub fn run(config: &VmConfig, kver: Option<&str>, seed: u64) -> Result<bool> {
    let mut demo = Demo {
        lab: Lab::new(config, kver, seed),
        start: Instant::now(),
    };
    let mut rows = Vec::new();
    let mut failed = false;
    for variant in &VARIANTS {
        match demo.variant(variant) {
            Ok(more) => rows.extend(more),
            Err(err) => {
                failed = true;
                println!("\n{}: could not be shown: {err:#}", variant.name);
                println!(
                    "The end of the kernel log:\n{}\n",
                    demo.lab.console_tail(20)
                );
                demo.lab.abandon();
            }
        }
    }
    ensure!(!rows.is_empty(), "nothing could be shown");
    let lost: u64 = rows.iter().map(|row| row.verdict.lost).sum();
    println!("\n{}", table(&rows));
    println!(
        "\nLog writes are block writes to the journal, data writes all others: on pmem they clear newly\n\
         allocated blocks. Flushes are those of the journal's device, data flushes those of the other.\n\
         All are counted over {MEASURED} fsyncs. Seed {seed}, {:.0} s.",
        demo.start.elapsed().as_secs_f64()
    );
    Ok(!failed && lost == 0)
}
