// SPDX-License-Identifier: GPL-2.0
//! A machine whose instructions are counted, and fresh filesystems in it.

use super::place::Place;
use super::rows::Mode;
use crate::config::VmConfig;
use crate::lab::{Dev, Ext4, Lab, WORKLOAD};
use anyhow::{ensure, Context, Result};
use bytelog_guest::load::{Load, BATCH};
use bytelog_guest::proto::{Cmd, Costs, DeviceKind, IoCounts, MountArgs};
use bytelog_guest::timed::Timed;
use bytelog_trace::count::{Block, Cost, Counted as Segment, Reader};
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
    /// Fsyncs between looks at the counters; 0: there are none.
    pub look_every: u64,
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
            look_every: 0,
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

/// What all machines are made of.
pub struct Base {
    pub config: VmConfig,
    /// QEMU's plugin that counts.
    pub plugin: String,
    pub kver: Option<String>,
    pub seed: u64,
}

/// A running machine for one place.
pub struct Machine {
    pub lab: Lab,
    pub place: Place,
    pub dev: Dev,
    journal: Option<Dev>,
    /// Where it counts.
    reader: Option<Reader>,
}

impl Machine {
    /// Boots one that counts.
    pub fn counting(base: &Base, place: Place) -> Result<Self> {
        let config = place.counting(&base.config, &base.plugin, COUNTS);
        let mut machine = Self::boot(base, &config, place)?;
        machine.reader = Some(Reader::open(Path::new(COUNTS))?);
        Ok(machine)
    }

    /// Boots one with two CPUs, in which time passes.
    pub fn timing(base: &Base, place: Place) -> Result<Self> {
        Self::boot(base, &place.timing(&base.config), place)
    }

    /// Boots one whose clock counts instructions, and nothing else does.
    pub fn clocked(base: &Base, place: Place) -> Result<Self> {
        let config = VmConfig {
            cpus: 1,
            icount: Some(0),
            ..place.timing(&base.config)
        };
        Self::boot(base, &config, place)
    }

    fn boot(base: &Base, config: &VmConfig, place: Place) -> Result<Self> {
        let mut lab = Lab::new(config, base.kver.as_deref(), base.seed);
        let dev = lab.dev(place.data)?;
        let journal = place.journal.map(|kind| lab.dev(kind)).transpose()?;
        Ok(Self {
            lab,
            place,
            dev,
            journal,
            reader: None,
        })
    }

    /// What has been counted since the last call.
    pub fn segment(&mut self) -> Result<Segment> {
        let reader = self.reader.as_mut().context("not a machine that counts")?;
        reader.next_segment()
    }

    /// The ext4 for a mode.
    pub fn load(&mut self, mode: Mode) -> Result<()> {
        self.lab.with(match mode {
            Mode::Full | Mode::StockFc | Mode::Inside => Ext4::Stock,
            Mode::Off | Mode::Bytelog => Ext4::ByteLog,
        })
    }

    /// Makes and mounts a filesystem for a mode, with further options for mke2fs.
    pub fn set_up(&mut self, mode: Mode, mkfs: &str) -> Result<()> {
        self.load(mode)?;
        let features = match mode {
            Mode::Full => "-O ^fast_commit",
            _ => "",
        };
        if self.place.data == DeviceKind::Disk {
            match self.journal_of(mode).cloned() {
                Some(journal) => {
                    self.lab.mkfs_external(&self.dev, &journal, DISK_SIZE)?;
                }
                None => {
                    let mkfs = format!("{FIXED} {features} {mkfs}");
                    self.lab.mkfs(&self.dev, &mkfs, DISK_SIZE)?;
                }
            }
        } else {
            let mkfs = format!("-N 16384 {FIXED} {features} {mkfs}");
            self.lab.mkfs(&self.dev, &mkfs, SIZE)?;
        }
        let options = self.options(mode);
        self.lab.mount(&self.dev, &options)?;
        Ok(())
    }

    /// The device of its own that the journal is on in a mode.
    fn journal_of(&self, mode: Mode) -> Option<&Dev> {
        self.journal.as_ref().filter(|_| mode != Mode::Inside)
    }

    /// What a filesystem is mounted with.
    fn options(&self, mode: Mode) -> String {
        let mut options = "commit=600".to_owned();
        if self.place.data != DeviceKind::Disk {
            options.push_str(",dax=always");
        }
        if let Some(journal) = self.journal_of(mode) {
            options.push_str(&format!(",journal_path={}", journal.path()));
        }
        if mode == Mode::Bytelog {
            options.push_str(",dax_fc_bytelog=on");
        }
        options
    }

    /// Where the filesystem is mounted.
    pub fn dir(&self) -> String {
        self.dev.dir()
    }

    /// The filesystem's device, and where on it the journal is, in sectors.
    pub fn data_and_journal(&self) -> Result<(String, Vec<(u64, u64)>)> {
        let journal = self.lab.journal(&self.dev)?.sectors();
        Ok((self.dev.name.clone(), journal))
    }

    fn dir_of(&self, load: Load, sub: &str) -> String {
        format!("{}/{}{sub}", self.dev.dir(), load.name())
    }

    /// Runs a job on the mounted filesystem, in a directory of its own, and counts.
    pub fn count(&mut self, job: Job, sub: &str) -> Result<Counted> {
        let cmd = Cmd::Cost {
            load: job.load,
            dir: self.dir_of(job.load, sub),
            dev: self.dev.name.clone(),
            fsyncs: job.fsyncs,
            batch: job.batch,
            look_every: job.look_every,
        };
        let costs: Costs = self.lab.vm()?.call_for(cmd, WORKLOAD)?;
        let counted = self.segment()?;
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

    /// Cuts the power, boots the next machine and mounts what is left; returns what
    /// the mount cost.
    pub fn replay(&mut self, mode: Mode) -> Result<Segment> {
        self.lab.cut()?;
        self.load(mode)?;
        self.reader = Some(Reader::open(Path::new(COUNTS))?);
        self.count_mount(mode)
    }

    /// Mounts what is there; returns what the call cost.
    pub fn count_mount(&mut self, mode: Mode) -> Result<Segment> {
        let args = MountArgs {
            dev: self.dev.path(),
            dir: self.dev.dir(),
            opts: self.options(mode),
            counted: true,
            ..MountArgs::default()
        };
        let result = self.lab.try_mount_args(args)?;
        ensure!(
            result.errno == 0,
            "mount: {}: {:?}",
            result.error,
            result.log
        );
        self.segment()
    }

    /// Runs a job that is timed, or counted, as a whole.
    pub fn time(&mut self, job: Timed, ops: u64, count: bool) -> Result<IoCounts> {
        let journal = count.then(|| self.lab.journal(&self.dev).map(|map| map.sectors()));
        let cmd = Cmd::Timed {
            job,
            dir: format!("{}/{}", self.dev.dir(), job.name()),
            dev: self.dev.name.clone(),
            ops,
            count: journal.transpose()?,
        };
        let io = self.lab.vm()?.call_for(cmd, WORKLOAD)?;
        // The next one starts with room.
        self.lab
            .must_run(&format!("rm -r {}/{}", self.dev.dir(), job.name()))?;
        Ok(io)
    }

    /// Runs a load on the filesystem of a mode and counts what reaches the devices.
    pub fn count_io(&mut self, mode: Mode, load: Load, fsyncs: u64) -> Result<IoCounts> {
        let apart = self.journal_of(mode).map(|dev| dev.name.clone());
        let cmd = Cmd::CostIo {
            load,
            dir: self.dir_of(load, "-io"),
            dev: self.dev.name.clone(),
            fsyncs,
            journal: match apart {
                Some(_) => vec![(0, u64::MAX)],
                None => self.lab.journal(&self.dev)?.sectors(),
            },
            journal_dev: apart,
        };
        self.lab.vm()?.call_for(cmd, WORKLOAD)
    }
}
