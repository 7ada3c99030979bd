// SPDX-License-Identifier: GPL-2.0
//! Threads that each append to a file of their own and sync it: an fsync that waits for another
//! thread's fast commit must not take it for its own, and should find the rest in the next.

use super::defect::{Defect, Stock, EVERY_SERIES};
use super::durability::{ENDLESS, LARGE_LOG};
use super::Test;
use crate::config::VmConfig;
use crate::lab::{Dev, Ext4, Lab, WORKLOAD};
use anyhow::{ensure, Result};
use bytelog_guest::oracle::judge;
use bytelog_guest::proto::{Cmd, DeviceKind, IoCounts};
use bytelog_guest::timed::Timed;
use bytelog_guest::workload::{Kind, Spec};
use std::thread::sleep;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    Test {
        name: "threads-lose-nothing-virtio",
        run: |lab| loses_nothing(lab, DeviceKind::Virtio),
    },
    Test {
        name: "threads-lose-nothing-synchronous",
        run: |lab| loses_nothing(lab, DeviceKind::Sync),
    },
    Test {
        name: "threads-rename-beside-full-commits",
        run: names_beside_full_commits,
    },
    Test {
        name: "threads-share-flushes",
        run: share_flushes,
    },
    Test {
        name: "threads-beside-checkpoints",
        run: beside_checkpoints,
    },
];

pub const DEFECTS: &[Defect] = &[Defect {
    name: "stock-defect-threads-lose-fsyncs",
    series: EVERY_SERIES,
    run: stock_loses,
}];

const THREADS: usize = 8;

/// Files that there are to be renamed, made before.
const RENAMES: u64 = 400;

/// Fsyncs that each thread has acknowledged at the cut, at least.
const ACKS: u64 = 60;

fn job(dev: &Dev, kind: Kind, seed: u64, thread: u64) -> (Dev, Spec) {
    let ops = if kind == Kind::Rename {
        RENAMES
    } else {
        ENDLESS
    };
    let spec = Spec::new(kind, seed + thread, ops).prefix(&format!("t{thread}-"));
    (dev.clone(), spec)
}

/// Acknowledged fsyncs of all threads, and how many are missing after the cut.
fn lost(
    lab: &mut Lab,
    ext4: Ext4,
    kind: DeviceKind,
    option: &str,
    threads: [Kind; THREADS],
) -> Result<(u64, u64)> {
    let opts = format!("dax=always,commit=600{option}");
    lab.with(ext4)?;
    let dev = lab.dev(kind)?;
    lab.mkfs(&dev, LARGE_LOG, "128M")?;
    lab.mount(&dev, &opts)?;
    let jobs: Vec<_> = (0..)
        .zip(threads)
        .map(|(thread, kind)| job(&dev, kind, lab.seed, thread))
        .collect();
    let acks = lab.cut_during(&jobs, ACKS)?;

    lab.with(ext4)?;
    lab.mount(&dev, &opts)?;
    let tree = lab.tree(&format!("{}/work", dev.dir()))?;
    let (mut all, mut lost) = (0, 0);
    for ((_, spec), acks) in jobs.iter().zip(acks) {
        let mut own = tree.clone();
        own.retain(|path, _| path.starts_with(&spec.prefix));
        let verdict = judge(spec, acks.fsyncs, &own)?;
        all += acks.fsyncs;
        lost += verdict.lost;
        for diff in verdict.diffs.iter().take(3) {
            println!("   {diff}");
        }
    }
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)?;
    Ok((all, lost))
}

fn loses_nothing(lab: &mut Lab, kind: DeviceKind) -> Result<()> {
    let threads = [Kind::Append; THREADS];
    let (all, lost) = lost(lab, Ext4::ByteLog, kind, ",dax_fc_bytelog=on", threads)?;
    println!("   {all} fsyncs of {THREADS} threads");
    ensure!(lost == 0, "{lost} of {all} fsyncs lost");
    Ok(())
}

/// Names that are changed while a full commit begins belong to that one, not to the next.
fn names_beside_full_commits(lab: &mut Lab) -> Result<()> {
    let mut threads = [Kind::Rename; THREADS];
    // Directories are not for fast commits.
    threads[..2].fill(Kind::Mkdir);
    let seed = lab.seed;
    for try_ in 0..3 {
        lab.seed = seed + 100 * try_;
        let option = ",dax_fc_bytelog=on";
        let (all, lost) = lost(lab, Ext4::ByteLog, DeviceKind::Sync, option, threads)?;
        println!("   {all} fsyncs of {THREADS} threads");
        ensure!(lost == 0, "{lost} of {all} fsyncs lost");
    }
    lab.seed = seed;
    Ok(())
}

/// A flush takes this long where fsyncs are to gather for it, in microseconds: long
/// beside what a thread does between two fsyncs, on a busy host as well.
const SLOW_FLUSH: u64 = 20_000;

/// Threads that append so many blocks.
fn appends(dev: &Dev, threads: u64, ops: u64) -> (Cmd, String) {
    let job = Timed::Threads { count: threads };
    let dir = format!("{}/{}", dev.dir(), job.name());
    let cmd = Cmd::Timed {
        job,
        dir: dir.clone(),
        dev: dev.name.clone(),
        ops,
        count: None,
    };
    (cmd, dir)
}

/// Flushes that the host is asked for meanwhile.
fn flushes(lab: &mut Lab, dev: &Dev, threads: u64) -> Result<u64> {
    let (cmd, dir) = appends(dev, threads, 160);
    let host = lab.vm()?.host()?;
    let before = host.flushes();
    lab.vm()?.call_for::<IoCounts>(cmd, WORKLOAD)?;
    let flushes = host.flushes() - before;
    lab.must_run(&format!("rm -r {dir}"))?;
    Ok(flushes)
}

/// virtio-pmem whose flushes are slow.
fn slow_device(lab: &mut Lab) -> Result<Dev> {
    lab.reconfigure(VmConfig {
        virtio_mib: 48,
        watch_flushes: true,
        ..lab.config.clone()
    })?;
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Virtio)?;
    lab.mkfs(&dev, "", "48M")?;
    lab.mount(&dev, "dax=always,commit=600,dax_fc_bytelog=on")?;
    lab.vm()?.host()?.slow_by(SLOW_FLUSH);
    Ok(dev)
}

/// Left to themselves (`max_batch_time=0`), threads take turns in two groups, and a
/// commit serves half of them.
fn share_flushes(lab: &mut Lab) -> Result<()> {
    let before = lab.config.clone();
    let dev = slow_device(lab)?;
    for threads in [4, 8] {
        let gathered = flushes(lab, &dev, threads)?;
        let remount = |time| format!("mount -o remount,max_batch_time={time} {}", dev.dir());
        lab.must_run(&remount(0))?;
        let apart = flushes(lab, &dev, threads)?;
        // EXT4_DEF_MAX_BATCH_TIME.
        lab.must_run(&remount(15_000))?;
        println!("   {threads} threads: {gathered} flushes, {apart} without waiting");
        ensure!(
            5 * gathered <= 4 * apart,
            "{threads} threads: {gathered} flushes, {apart} without waiting"
        );
    }
    lab.vm()?.host()?.slow_by(0);
    lab.umount(&dev.dir())?;
    lab.check_console()?;
    lab.reconfigure(before)
}

/// Time for some fast commits, at two flushes each; in milliseconds.
const BETWEEN_CHECKPOINTS: std::ops::Range<u64> = 80..240;

/// Who locks updates and flushes the journal waits for a fast commit under way, which
/// must not wait for the lock.
fn beside_checkpoints(lab: &mut Lab) -> Result<()> {
    let before = lab.config.clone();
    let dev = slow_device(lab)?;
    let job = lab.vm()?.start(appends(&dev, 8, 960).0)?;
    let mut rng = fastrand::Rng::with_seed(lab.seed);
    let mut checkpoints = 0;
    while !lab.vm()?.answered(job)? {
        lab.call::<()>(Cmd::Checkpoint { dir: dev.dir() })?;
        checkpoints += 1;
        // The next commit is a full one; then there may be fast ones.
        sleep(Duration::from_millis(rng.u64(BETWEEN_CHECKPOINTS)));
    }
    lab.vm()?
        .finish::<IoCounts>(job, "fsyncs beside checkpoints", WORKLOAD)?;
    println!("   {checkpoints} checkpoints");
    ensure!(
        checkpoints > 10,
        "only {checkpoints} checkpoints beside fsyncs"
    );
    let stats = lab.stats(&dev)?;
    ensure!(stats.fast > 10, "hardly a fast commit: {stats:?}");
    lab.vm()?.host()?.slow_by(0);
    lab.umount(&dev.dir())?;
    lab.check_console()?;
    lab.reconfigure(before)
}

/// Stock ext4 takes it for its own, and loses fsyncs: so the tests above can
/// tell. Whether a cut meets such an fsync is a matter of luck.
fn stock_loses(lab: &mut Lab, stock: Stock) -> Result<()> {
    lab.expect_errors();
    let seed = lab.seed;
    for try_ in 0..10 {
        lab.seed = seed + 100 * try_;
        let (all, lost) = lost(
            lab,
            Ext4::Stock,
            DeviceKind::Virtio,
            "",
            [Kind::Append; THREADS],
        )?;
        println!("   stock: {lost} of {all} fsyncs of {THREADS} threads lost");
        if lost > 0 {
            lab.seed = seed;
            return stock.expect(true, "loses fsyncs");
        }
    }
    lab.seed = seed;
    stock.expect(false, "loses nothing: these tests cannot tell")
}
