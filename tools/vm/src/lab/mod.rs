// SPDX-License-Identifier: GPL-2.0
//! What demo and tests do with a machine, in words of their own: choose an ext4,
//! make and mount filesystems, run workloads, cut the power.

mod failing;
pub mod fs;
mod log;

use crate::channel::Acks;
use crate::config::{self, VmConfig};
use crate::host::{Loss, Tear};
use crate::image::{Image, JournalMap};
use crate::vm::{Picture, Vm};
use anyhow::{ensure, Context, Result};
use bytelog_guest::oracle::{judge, Verdict};
use bytelog_guest::proto::{Cmd, DeviceKind, FcStats, IoCounts, RunResult};
use bytelog_guest::tree::Tree;
use bytelog_guest::workload::Spec;
use std::collections::HashMap;
use std::time::Duration;

pub const WORKLOAD: Duration = Duration::from_secs(240);

/// Rest between operations on the synchronous device when another runs beside
/// it: with no host to flush it would be many times as far at the cut.
const KEEP_STEP_US: u64 = 4000;

/// Times that a machine is started before it counts as broken.
const BOOTS: u32 = 4;

/// Which ext4 is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ext4 {
    /// The distribution's.
    Stock,
    /// The patched one, without a backend.
    Patched,
    /// The patched one and ext4_bytelog.
    ByteLog,
}

/// A device under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dev {
    pub name: String,
    pub kind: DeviceKind,
}

impl Dev {
    pub fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    pub fn dir(&self) -> String {
        format!("/mnt/{}", self.name)
    }

    /// The file behind the device.
    pub fn image(&self) -> &'static str {
        match self.kind {
            DeviceKind::Sync => config::SYNC_IMAGE,
            DeviceKind::Virtio => config::VIRTIO_IMAGE,
            DeviceKind::Disk => config::DISK_IMAGE,
            DeviceKind::Nvme => config::NVME_IMAGE,
        }
    }

    pub fn label(&self) -> &'static str {
        match self.kind {
            DeviceKind::Sync => "synchronous pmem",
            DeviceKind::Virtio => "virtio-pmem",
            DeviceKind::Disk => "virtio-blk",
            DeviceKind::Nvme => "NVMe",
        }
    }
}

pub struct Lab {
    pub config: VmConfig,
    kver: Option<String>,
    pub seed: u64,
    vm: Option<Vm>,
    loaded: Option<Ext4>,
    mounts: Vec<String>,
    journals: HashMap<String, JournalMap>,
    /// Journals on a device of their own, by the filesystem's.
    externals: HashMap<String, Dev>,
    /// Whether the test makes filesystems fail.
    errors_expected: bool,
}

impl Lab {
    pub fn new(config: &VmConfig, kver: Option<&str>, seed: u64) -> Self {
        Self {
            config: config.clone(),
            kver: kver.map(str::to_owned),
            seed,
            vm: None,
            loaded: None,
            mounts: Vec::new(),
            journals: HashMap::new(),
            externals: HashMap::new(),
            errors_expected: false,
        }
    }

    /// The machine, started if need be.
    pub fn vm(&mut self) -> Result<&mut Vm> {
        if self.vm.is_none() {
            // No module under test is loaded and nothing is mounted before the
            // agent is up: a machine that does not get there says nothing about
            // them. A few more tries, and not in silence.
            let mut tries = 0;
            let mut vm = loop {
                tries += 1;
                match Vm::boot(&self.config) {
                    Err(err) if tries < BOOTS => {
                        println!("   the machine did not start, trying once more: {err:#}");
                    }
                    outcome => break outcome?,
                }
            };
            if let Some(kver) = &self.kver {
                let release = &vm.hello.release;
                ensure!(release == kver, "kernel {release} booted, not {kver}");
            }
            vm.console.expect_errors(self.errors_expected);
            self.vm = Some(vm);
            self.loaded = None;
            self.mounts.clear();
        }
        self.vm.as_mut().context("no machine")
    }

    /// The machine with a certain ext4, with nothing mounted.
    pub fn with(&mut self, ext4: Ext4) -> Result<()> {
        self.vm()?;
        self.umount_all()?;
        if self.loaded == Some(ext4) {
            return Ok(());
        }
        self.unload()?;
        match ext4 {
            Ext4::Stock => self.modprobe("ext4", false)?,
            Ext4::Patched | Ext4::ByteLog => {
                self.modprobe("ext4", true)?;
                self.insmod("/bytelog/ext4.ko", "")?;
                if ext4 == Ext4::ByteLog {
                    self.insmod("/bytelog/ext4_bytelog.ko", "")?;
                }
            }
        }
        self.loaded = Some(ext4);
        Ok(())
    }

    fn unload(&mut self) -> Result<()> {
        self.loaded = None;
        let modules: String = self.call(Cmd::Read {
            path: "/proc/modules".into(),
        })?;
        for name in ["ext4_bytelog", "ext4"] {
            if modules
                .lines()
                .any(|l| l.split_whitespace().next() == Some(name))
            {
                self.rmmod(name)?;
            }
        }
        Ok(())
    }

    pub fn call<T: serde::de::DeserializeOwned>(&mut self, cmd: Cmd) -> Result<T> {
        self.vm()?.call(cmd)
    }

    pub fn insmod(&mut self, path: &str, params: &str) -> Result<()> {
        self.call(Cmd::Insmod {
            path: path.into(),
            params: params.into(),
        })
    }

    pub fn rmmod(&mut self, name: &str) -> Result<()> {
        self.call(Cmd::Rmmod { name: name.into() })
    }

    pub fn modprobe(&mut self, name: &str, deps_only: bool) -> Result<()> {
        self.call(Cmd::Modprobe {
            name: name.into(),
            deps_only,
        })
    }

    /// The device of a kind.
    pub fn dev(&mut self, kind: DeviceKind) -> Result<Dev> {
        let devices = &self.vm()?.hello.devices;
        let found = devices.iter().find(|d| d.kind == kind);
        let device = found.with_context(|| format!("no {kind:?} device in {devices:?}"))?;
        Ok(Dev {
            name: device.name.clone(),
            kind,
        })
    }

    /// Both pmem devices.
    pub fn pmem(&mut self) -> Result<[Dev; 2]> {
        Ok([self.dev(DeviceKind::Virtio)?, self.dev(DeviceKind::Sync)?])
    }

    /// Runs a program in the machine.
    pub fn run(&mut self, line: &str) -> Result<RunResult> {
        self.run_with(line, "")
    }

    pub fn run_with(&mut self, line: &str, stdin: &str) -> Result<RunResult> {
        self.call(Cmd::Run {
            argv: line.split_whitespace().map(str::to_owned).collect(),
            stdin: stdin.into(),
        })
    }

    /// Runs a program that must succeed; returns its output.
    pub fn must_run(&mut self, line: &str) -> Result<String> {
        self.must_run_with(line, "")
    }

    pub fn must_run_with(&mut self, line: &str, stdin: &str) -> Result<String> {
        let result = self.run_with(line, stdin)?;
        let (status, output) = (result.status, result.output);
        ensure!(status == 0, "{line}: exit {status}: {}", output.trim());
        Ok(output)
    }

    pub fn stats(&mut self, dev: &Dev) -> Result<FcStats> {
        self.call(Cmd::Stats {
            dev: dev.name.clone(),
        })
    }

    pub fn tree(&mut self, dir: &str) -> Result<Tree> {
        self.call(Cmd::Tree { dir: dir.into() })
    }

    /// Runs a measured workload in a directory of a mounted device.
    pub fn measure(&mut self, dev: &Dev, sub: &str, spec: &Spec) -> Result<IoCounts> {
        let cmd = Cmd::Measure {
            spec: spec.clone(),
            dir: format!("{}/{sub}", dev.dir()),
            dev: dev.name.clone(),
            journal: match self.externals.get(&dev.name) {
                Some(_) => vec![(0, u64::MAX)],
                None => self.journal(dev)?.sectors(),
            },
            journal_dev: self.externals.get(&dev.name).map(|dev| dev.name.clone()),
        };
        self.vm()?.call_for(cmd, WORKLOAD)
    }

    /// Starts a workload on each device, waits until each has acknowledged
    /// `acks` fsyncs, and cuts the power with all of them running.
    pub fn cut_during(&mut self, jobs: &[(Dev, Spec)], acks: u64) -> Result<Vec<Acks>> {
        let mut ids = Vec::new();
        for (dev, spec) in jobs {
            let mut spec = spec.clone();
            if jobs.len() > 1 && dev.kind == DeviceKind::Sync {
                spec.pause_us = KEEP_STEP_US;
            }
            let cmd = Cmd::Workload {
                spec,
                dir: format!("{}/work", dev.dir()),
                dev: dev.name.clone(),
            };
            ids.push(self.vm()?.start(cmd)?);
        }
        for id in &ids {
            self.vm()?.wait_acks(*id, acks, WORKLOAD)?;
        }
        let all = self.cut()?;
        ids.iter()
            .map(|id| all.get(id).copied().context("no acknowledgement"))
            .collect()
    }

    /// Cuts the power.
    pub fn cut(&mut self) -> Result<HashMap<u64, Acks>> {
        self.mounts.clear();
        self.loaded = None;
        self.vm.take().context("no machine to cut")?.cut(self.seed)
    }

    /// The same, with stores that no flush covered surviving as `tear` says.
    pub fn cut_tearing(&mut self, tear: &Tear) -> Result<(HashMap<u64, Acks>, Loss)> {
        self.mounts.clear();
        self.loaded = None;
        self.vm
            .take()
            .context("no machine to cut")?
            .cut_tearing(tear)
    }

    /// What a cut would leave now; see [`Vm::picture`].
    pub fn picture(&mut self, tear: &Tear, sync_bytes: u64) -> Result<Picture> {
        self.vm()?.picture(tear, sync_bytes)
    }

    /// Puts a picture in place of what is on the pmem devices, of which nothing is
    /// mounted; the machine forgets what it knew of them.
    pub fn develop(&mut self, picture: &Picture) -> Result<()> {
        for dev in self.pmem()? {
            self.forget_cache(&dev)?;
            let bytes = match dev.kind {
                DeviceKind::Virtio => &picture.virtio.bytes,
                _ => &picture.sync,
            };
            Image::open(&dev)?.write(0, bytes)?;
            self.forget_cache(&dev)?;
        }
        self.vm()?.host()?.all_durable(config::VIRTIO_IMAGE)
    }

    /// Goes on with another machine, made of the same devices if their sizes agree.
    pub fn reconfigure(&mut self, config: VmConfig) -> Result<()> {
        self.power_off()?;
        self.config = config;
        Ok(())
    }

    /// Runs a workload to its end on a mounted device.
    pub fn work(&mut self, dev: &Dev, spec: &Spec) -> Result<bytelog_guest::proto::WorkloadResult> {
        let cmd = Cmd::Workload {
            spec: spec.clone(),
            dir: format!("{}/work", dev.dir()),
            dev: dev.name.clone(),
        };
        self.vm()?.call_for(cmd, WORKLOAD)
    }

    /// Compares a mounted device with what was acknowledged on it.
    pub fn judge(&mut self, dev: &Dev, spec: &Spec, acked: u64) -> Result<Verdict> {
        let tree = self.tree(&format!("{}/work", dev.dir()))?;
        judge(spec, acked, &tree)
    }

    /// Switches the machine off, if there is one.
    pub fn power_off(&mut self) -> Result<()> {
        self.check_leaks()?;
        self.mounts.clear();
        self.loaded = None;
        match self.vm.take() {
            Some(vm) => vm.power_off(),
            None => Ok(()),
        }
    }

    /// Ends the machine in whatever state it is.
    pub fn abandon(&mut self) {
        self.mounts.clear();
        self.loaded = None;
        self.vm = None;
    }
}
