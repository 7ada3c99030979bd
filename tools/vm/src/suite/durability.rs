// SPDX-License-Identifier: GPL-2.0
//! Every fsync that returned is there after a power cut.

use super::shutdown::{at_work, Crew};
use super::Test;
use crate::channel::Acks;
use crate::cuts::replayed;
use crate::fclog;
use crate::image::Image;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "cut-loses-nothing-on",
        run: |lab| loses_nothing(lab, "on"),
    },
    Test {
        name: "cut-loses-nothing-force",
        run: |lab| loses_nothing(lab, "force"),
    },
    Test {
        name: "cut-with-full-commits-between",
        run: full_commits_between,
    },
    Test {
        name: "cut-after-freeze-and-thaw",
        run: after_freeze,
    },
    Test {
        name: "cut-after-freezing-threads",
        run: freeze_threads,
    },
    Test {
        name: "cut-then-a-read-only-mount",
        run: read_only,
    },
    Test {
        name: "oracle-sees-a-log-cut-at-its-first-seal",
        run: oracle_sees_loss,
    },
    Test {
        name: "stock-log-is-replayed-whole",
        run: stock_log,
    },
];

/// How often threads are frozen, and the steps between, all threads together.
const FREEZES: u32 = 4;
const STEPS_BETWEEN: u64 = 40;

/// More operations than are ever reached.
pub const ENDLESS: u64 = 1_000_000;

/// A log that does not fill up, however far the faster device gets.
pub const LARGE_LOG: &str = "-J size=16,fast_commit_size=8192";

/// Fresh filesystems on both pmem devices, a workload on each, and a cut.
pub fn crash(lab: &mut Lab, ext4: Ext4, opts: &str, spec: &Spec, acks: u64) -> Result<[Acks; 2]> {
    crash_of(lab, ext4, opts, spec, acks, |lab, dev| {
        lab.mkfs(dev, LARGE_LOG, "128M")
    })
}

/// The same, of filesystems that `make` makes.
pub fn crash_of(
    lab: &mut Lab,
    ext4: Ext4,
    opts: &str,
    spec: &Spec,
    acks: u64,
    make: impl Fn(&mut Lab, &Dev) -> Result<()>,
) -> Result<[Acks; 2]> {
    lab.with(ext4)?;
    let devs = lab.pmem()?;
    for dev in &devs {
        make(lab, dev)?;
        lab.mount(dev, &format!("dax=always,commit=600{opts}"))?;
    }
    let jobs = devs.map(|dev| (dev, spec.clone()));
    let all = lab.cut_during(&jobs, acks)?;
    Ok([all[0], all[1]])
}

/// The mounted device has everything that was acknowledged.
pub fn nothing_lost(lab: &mut Lab, dev: &Dev, spec: &Spec, acked: u64) -> Result<()> {
    let verdict = lab.judge(dev, spec, acked)?;
    ensure!(
        verdict.lost == 0,
        "{}: {} of {acked} fsyncs lost (the tree is state {:?}): {}",
        dev.label(),
        verdict.lost,
        verdict.state,
        verdict.diffs.join("; ")
    );
    Ok(())
}

fn loses_nothing(lab: &mut Lab, option: &str) -> Result<()> {
    let opts = format!(",dax_fc_bytelog={option}");
    let spec = Spec::new(Kind::Fast, lab.seed, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, &opts, &spec, 260)?;
    lab.with(Ext4::ByteLog)?;
    for (dev, acks) in lab.pmem()?.iter().zip(acks) {
        let (fsyncs, fast) = (acks.fsyncs_of_one(), acks.fast_of_one());
        ensure!(
            fsyncs >= 200 && fast >= 50,
            "{}: {fsyncs} fsyncs, {fast} fast commits of one transaction are too few",
            dev.label()
        );
        lab.mount(dev, &format!("dax=always{opts}"))?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}

fn full_commits_between(lab: &mut Lab) -> Result<()> {
    let opts = ",dax_fc_bytelog=on";
    let spec = Spec::new(Kind::Mixed, lab.seed + 7, ENDLESS).sync_dirs();
    let acks = crash(lab, Ext4::ByteLog, opts, &spec, 300)?;
    lab.with(Ext4::ByteLog)?;
    for (dev, acks) in lab.pmem()?.iter().zip(acks) {
        ensure!(acks.last.full - acks.first.full >= 5, "no full commits");
        lab.mount(dev, &format!("dax=always{opts}"))?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}

/// Freezing marks the journal empty, and recovery does not look for fast commits
/// in an empty one: the first commit after it has to be a full one.
fn after_freeze(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, "", "64M")?;
    lab.mount(&dev, "dax=always,commit=600,dax_fc_bytelog=on")?;
    let dir = dev.dir();
    // Something to commit in full: without that no commit is fast anyway.
    lab.must_run(&format!("touch {dir}/before"))?;
    lab.must_run("sync")?;
    lab.must_run(&format!("busybox fsfreeze --freeze {dir}"))?;
    lab.must_run(&format!("busybox fsfreeze --unfreeze {dir}"))?;
    let before = lab.stats(&dev)?;
    for name in ["first", "second"] {
        lab.must_run(&format!("touch {dir}/{name}"))?;
        lab.must_run(&format!("sync {dir}/{name}"))?;
    }
    let after = lab.stats(&dev)?;
    ensure!(
        after.full - before.full == 1 && after.fast - before.fast == 1,
        "not one full and one fast commit: {before:?}, {after:?}"
    );
    lab.cut()?;
    lab.with(Ext4::ByteLog)?;
    lab.mount(&dev, "dax=always,dax_fc_bytelog=on")?;
    for name in ["first", "second"] {
        lab.must_run(&format!("ls {dir}/{name}"))?;
    }
    lab.umount(&dir)?;
    lab.fsck_clean(&dev)
}

/// Each time it is thawed, threads that wait in an fsync or at the beginning of one go on,
/// all in one transaction with an empty journal. The cut comes right behind the last thaw.
fn freeze_threads(lab: &mut Lab) -> Result<()> {
    let devs = lab.pmem()?;
    let (calm, mapped) = (true, true);
    let started = at_work(lab, Ext4::ByteLog, &devs, Crew { calm, mapped }, 0)?;
    let requests: Vec<u64> = started.iter().map(|(request, _)| *request).collect();
    for _ in 0..FREEZES {
        for what in ["freeze", "unfreeze"] {
            for dev in &devs {
                lab.must_run(&format!("busybox fsfreeze --{what} {}", dev.dir()))?;
            }
        }
        let vm = lab.vm()?;
        let acks = vm.acks()?;
        let done = requests.iter().filter_map(|request| acks.get(request));
        let done: u64 = done.map(|acks| acks.fsyncs).sum();
        vm.wait_total(&requests, done + STEPS_BETWEEN)?;
    }
    let acks = lab.cut()?;
    lab.with(Ext4::ByteLog)?;
    for dev in &devs {
        let log = lab.mount(dev, "dax=always,dax_fc_bytelog=on")?;
        let commits = replayed(&log);
        ensure!(commits > 0, "{}: nothing replayed: {log:?}", dev.label());
        let mut steps = 0;
        for (request, thread) in started.iter().filter(|(_, thread)| thread.dev == *dev) {
            let mut thread = thread.clone();
            thread.acked = acks.get(request).map(|acks| acks.fsyncs);
            steps += thread.acked.unwrap_or(0);
            thread.judge(lab)?;
        }
        let label = dev.label();
        println!("   {label}: {steps} steps acknowledged, {commits} fast commits replayed");
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}

/// As a root is mounted first: replayed, the bit cleared, and nothing written after.
fn read_only(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Mixed, lab.seed + 9, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, ",dax_fc_bytelog=on", &spec, 60)?;
    lab.with(Ext4::ByteLog)?;
    for (dev, acks) in lab.pmem()?.iter().zip(acks) {
        let result = lab.try_mount_as(dev, "ro")?;
        ensure!(
            result.errno == 0,
            "{}: {}: {}",
            dev.label(),
            result.error,
            result.log.join(" | ")
        );
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}

/// What a reader that stops at the first seal would find is a loss that the
/// oracle must see: otherwise the tests above prove nothing.
fn oracle_sees_loss(lab: &mut Lab) -> Result<()> {
    let opts = ",dax_fc_bytelog=on";
    let spec = Spec::new(Kind::Fast, lab.seed, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, opts, &spec, 100)?[1];
    let dev = Dev {
        name: "pmem0".into(),
        kind: DeviceKind::Sync,
    };
    let image = Image::open(&dev)?;
    let area = image.fc_area(lab.journal(&dev)?)?;
    let log = fclog::read(&image, &area)?;
    let records = fclog::records(&log);
    let seals: Vec<_> = records.iter().filter(|record| record.seal).collect();
    ensure!(seals.len() >= 50, "{} sealed records", seals.len());
    let mut cut = log.clone();
    cut[seals[0].end()..].fill(0);
    fclog::write(&image, &area, &cut)?;

    lab.with(Ext4::ByteLog)?;
    ensure!(lab.dev(DeviceKind::Sync)? == dev, "devices changed places");
    lab.mount(&dev, &format!("dax=always{opts}"))?;
    let verdict = lab.judge(&dev, &spec, acks.fsyncs)?;
    ensure!(
        verdict.lost > 0,
        "all of {} fsyncs are there without their records",
        acks.fsyncs
    );
    Ok(())
}

fn stock_log(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Fast, lab.seed + 3, ENDLESS);
    let acks = crash(lab, Ext4::Stock, "", &spec, 40)?;
    lab.with(Ext4::ByteLog)?;
    let options = ["on", "force"];
    for ((dev, acks), option) in lab.pmem()?.iter().zip(acks).zip(options) {
        ensure!(
            acks.fast_of_one() >= 3,
            "{} fast commits",
            acks.fast_of_one()
        );
        lab.mount(dev, &format!("dax=always,dax_fc_bytelog={option}"))?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}
