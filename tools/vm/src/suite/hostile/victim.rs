// SPDX-License-Identifier: GPL-2.0
//! A crashed filesystem whose log is replaced again and again, and what is asked of
//! each mount of it.

use crate::cuts;
use crate::fclog::{self, Record};
use crate::image::{changed, Image, BLOCK};
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, NOTHING_REPLAYED, UNKNOWN_FEATURES};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::MountResult;
use bytelog_guest::workload::Spec;
use std::collections::BTreeMap;
use std::process::Command;

const ON: &str = "dax=always,dax_fc_bytelog=on";

/// Filesystems that are small, so that they are soon put back.
const SMALL: &str = "48M";
const SMALL_BYTES: u64 = 48 << 20;
const SMALL_LOG: &str = "-J size=4,fast_commit_size=512";

pub struct Victim {
    pub dev: Dev,
    pub image: Image,
    pub area: Vec<u64>,
    pub log: Vec<u8>,
    pub records: Vec<Record>,
    spec: Spec,
    acked: u64,
    pristine: Vec<u8>,
    hashes: Vec<u64>,
    /// The workload's state after so many fast commits.
    states: BTreeMap<u64, u64>,
}

impl Victim {
    /// Takes what a cut has left.
    fn new(lab: &Lab, dev: Dev, spec: &Spec, acked: u64) -> Result<Self> {
        let image = Image::open(&dev)?;
        let area = image.fc_area(lab.journal(&dev)?)?;
        let log = fclog::read(&image, &area)?;
        Ok(Self {
            pristine: image.read(0, SMALL_BYTES as usize)?,
            hashes: image.hashes(SMALL_BYTES)?,
            records: fclog::records(&log),
            spec: spec.clone(),
            states: BTreeMap::new(),
            acked,
            dev,
            image,
            area,
            log,
        })
    }

    /// Small filesystems, a workload on each until it has this many acknowledgements,
    /// and a cut.
    pub fn crash(lab: &mut Lab, devs: &[Dev], spec: &Spec, acks: u64) -> Result<Vec<Self>> {
        lab.with(Ext4::ByteLog)?;
        for dev in devs {
            lab.mkfs(dev, SMALL_LOG, SMALL)?;
            lab.mount(dev, &format!("{ON},commit=600"))?;
        }
        let jobs: Vec<_> = devs.iter().map(|dev| (dev.clone(), spec.clone())).collect();
        let acks = lab.cut_during(&jobs, acks)?;
        lab.with(Ext4::ByteLog)?;
        devs.iter()
            .zip(acks)
            .map(|(dev, acks)| Self::new(lab, dev.clone(), spec, acks.fsyncs))
            .collect()
    }

    /// A small filesystem on a synchronous device as a cut would leave it behind the last
    /// step of a workload: what has been stored there is durable. Cheaper than a cut.
    pub fn as_after_a_cut(lab: &mut Lab, dev: Dev, spec: &Spec) -> Result<Self> {
        lab.with(Ext4::ByteLog)?;
        lab.mkfs(&dev, SMALL_LOG, SMALL)?;
        lab.mount(&dev, &format!("{ON},commit=600"))?;
        lab.work(&dev, spec)?;
        let victim = Self::new(lab, dev, spec, spec.ops)?;
        lab.umount(&victim.dev.dir())?;
        Ok(victim)
    }

    /// Fast commits of the log as the cut left it.
    pub fn commits(&self) -> u64 {
        self.records.iter().filter(|record| record.seal).count() as u64
    }

    /// Puts the crashed filesystem back, with another log.
    pub fn put(&self, lab: &mut Lab, log: &[u8]) -> Result<()> {
        for block in changed(&self.hashes, &self.image.hashes(SMALL_BYTES)?) {
            let at = block * BLOCK;
            let data = &self.pristine[at as usize..(at + BLOCK) as usize];
            self.image.write(at, data)?;
        }
        fclog::write(&self.image, &self.area, log)?;
        lab.forget_cache(&self.dev)
    }

    /// The same, and tries to mount it.
    pub fn mount(&self, lab: &mut Lab, log: &[u8]) -> Result<MountResult> {
        self.put(lab, log)?;
        self.try_mount(lab)
    }

    pub fn try_mount(&self, lab: &mut Lab) -> Result<MountResult> {
        lab.try_mount(&self.dev, ON)
    }

    /// Of a mount that has worked: the kernel says that it has replayed `commits` fast
    /// commits, the tree is what it always is after so many, and e2fsck is content
    /// with what the mount leaves. `log` is what the kernel said; of a version 1 log it
    /// counts one.
    pub fn replayed(
        &mut self,
        lab: &mut Lab,
        commits: u64,
        v1: bool,
        log: &[String],
    ) -> Result<()> {
        let told = if v1 { commits.min(1) } else { commits };
        let said = cuts::replayed(log);
        ensure!(said == told, "{said} replayed, not {told}: {log:?}");
        let verdict = lab.judge(&self.dev, &self.spec, self.acked)?;
        let state = verdict
            .state
            .with_context(|| format!("a state that never was: {}", verdict.diffs.join("; ")))?;
        let usual = *self.states.entry(commits).or_insert(state);
        ensure!(
            state == usual,
            "state {state} after {commits} fast commits, and {usual} another time"
        );
        lab.umount(&self.dev.dir())?;
        ensure!(self.sound()?, "e2fsck is not content");
        Ok(())
    }

    /// Of all mounts so far: with nothing replayed, and with all, and what that leaves
    /// are not the same. Otherwise the count of fast commits says nothing.
    pub fn states_differ(&self) -> Result<()> {
        let [none, all] = [0, self.commits()].map(|commits| self.states.get(&commits));
        ensure!(
            none.is_some() && none < all,
            "{}: state {none:?} without the log, {all:?} with it",
            self.dev.label()
        );
        Ok(())
    }

    /// Whether e2fsck is content. It runs on the host, which is faster than in the
    /// machine; the device is not mounted.
    pub fn sound(&self) -> Result<bool> {
        let mut e2fsck = Command::new("e2fsck");
        let output = e2fsck.args(["-fn", self.dev.image()]).output();
        let status = output.context("e2fsck")?.status;
        Ok(status.code().context("e2fsck was killed")? == 0)
    }
}

/// A refusal has a reason, and it is the module's: ext4 itself says no more than that
/// the journal could not be loaded.
pub fn refused(result: &MountResult) -> Result<()> {
    ensure!(result.errno != 0, "mounted: {:?}", result.log);
    ensure!(
        any(&result.log, NOTHING_REPLAYED) || any(&result.log, UNKNOWN_FEATURES),
        "refused without a reason: {:?}",
        result.log
    );
    Ok(())
}
