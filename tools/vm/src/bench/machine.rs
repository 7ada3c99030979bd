// SPDX-License-Identifier: GPL-2.0
//! A machine whose instructions are counted, and fresh filesystems in it.

use super::place::Place;
use super::rows::Mode;
use crate::config::VmConfig;
use crate::lab::{Dev, Ext4, Lab, WORKLOAD};
use anyhow::{ensure, Result};
use bytelog_guest::load::{Load, BATCH};
use bytelog_guest::proto::{Cmd, Costs, DeviceKind, IoCounts};
use bytelog_trace::count::{Block, Cost, Reader};
use std::path::Path;

/// The counter's file, in the working directory.
const COUNTS: &str = "counts.json";

/// Nothing in a filesystem may depend on chance.
const FIXED: &str = "-U 7f2c3a10-5d4e-4b6f-8a90-1b2c3d4e5f60 \
     -E lazy_itable_init=0,hash_seed=0f1e2d3c-4b5a-4697-8788-96a5b4c3d2e1";

/// Size of a filesystem on pmem, and on the disk.
const SIZE: &str = "256M";
const DISK_SIZE: &str = "160M";

/// What is run and counted.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    pub load: Load,
    pub fsyncs: u64,
    /// Files or names of a batch.
    pub batch: u64,
}

impl Job {
    /// A load with so many fsyncs, or fewer where each is of many files.
    pub fn new(load: Load, fsyncs: u64) -> Self {
        let fsyncs = match load {
            // So that the files fit.
            Load::Batch => fsyncs.div_ceil(BATCH / 4),
            _ => fsyncs,
        };
        Self {
            load,
            fsyncs,
            batch: BATCH,
        }
    }
}

/// What a job cost.
#[derive(Debug, Default)]
pub struct Counted {
    pub calls: Vec<Cost>,
    pub blocks: Vec<Block>,
    pub costs: Costs,
}

/// A running machine for one place.
pub struct Machine {
    pub lab: Lab,
    pub place: Place,
    dev: Dev,
    journal: Option<Dev>,
    reader: Reader,
}

impl Machine {
    /// Boots it.
    pub fn boot(
        base: &VmConfig,
        plugin: &str,
        kver: Option<&str>,
        seed: u64,
        place: Place,
    ) -> Result<Self> {
        let mut lab = Lab::new(&place.machine(base, plugin, COUNTS), kver, seed);
        let dev = lab.dev(place.data)?;
        let journal = place.journal.map(|kind| lab.dev(kind)).transpose()?;
        Ok(Self {
            lab,
            place,
            dev,
            journal,
            reader: Reader::open(Path::new(COUNTS))?,
        })
    }

    /// Makes and mounts a filesystem for a mode, with further options for mke2fs.
    pub fn set_up(&mut self, mode: Mode, mkfs: &str) -> Result<()> {
        self.lab.with(match mode {
            Mode::Full | Mode::StockFc => Ext4::Stock,
            Mode::Off | Mode::Bytelog => Ext4::ByteLog,
        })?;
        let features = match mode {
            Mode::Full => "-O ^fast_commit",
            _ => "",
        };
        let mut options = "commit=600".to_owned();
        if self.place.data == DeviceKind::Disk {
            match &self.journal {
                Some(journal) => {
                    self.lab.mkfs_external(&self.dev, journal, DISK_SIZE)?;
                    options.push_str(&format!(",journal_path={}", journal.path()));
                }
                None => {
                    let mkfs = format!("{FIXED} {features} {mkfs}");
                    self.lab.mkfs(&self.dev, &mkfs, DISK_SIZE)?;
                }
            }
        } else {
            let mkfs = format!("-N 16384 {FIXED} {features} {mkfs}");
            self.lab.mkfs(&self.dev, &mkfs, SIZE)?;
            options.push_str(",dax=always");
        }
        if mode == Mode::Bytelog {
            options.push_str(",dax_fc_bytelog=on");
        }
        self.lab.mount(&self.dev, &options)?;
        Ok(())
    }

    fn dir(&self, load: Load, sub: &str) -> String {
        format!("{}/{}{sub}", self.dev.dir(), load.name())
    }

    /// Runs a job on the mounted filesystem, in a directory of its own, and counts.
    pub fn count(&mut self, job: Job, sub: &str) -> Result<Counted> {
        let cmd = Cmd::Cost {
            load: job.load,
            dir: self.dir(job.load, sub),
            dev: self.dev.name.clone(),
            fsyncs: job.fsyncs,
            batch: job.batch,
        };
        let costs: Costs = self.lab.vm()?.call_for(cmd, WORKLOAD)?;
        let counted = self.reader.next_segment()?;
        ensure!(
            counted.calls.len() == costs.nanos.len(),
            "{} fsyncs, {} counted",
            costs.nanos.len(),
            counted.calls.len()
        );
        Ok(Counted {
            calls: counted.calls,
            blocks: counted.blocks,
            costs,
        })
    }

    /// Runs a load and counts what reaches the devices.
    pub fn count_io(&mut self, load: Load, fsyncs: u64) -> Result<IoCounts> {
        let cmd = Cmd::CostIo {
            load,
            dir: self.dir(load, "-io"),
            dev: self.dev.name.clone(),
            fsyncs,
            journal: match self.journal {
                Some(_) => vec![(0, u64::MAX)],
                None => self.lab.journal(&self.dev)?.sectors(),
            },
            journal_dev: self.journal.as_ref().map(|dev| dev.name.clone()),
        };
        self.lab.vm()?.call_for(cmd, WORKLOAD)
    }
}
