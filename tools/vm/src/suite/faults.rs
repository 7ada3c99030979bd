// SPDX-License-Identifier: GPL-2.0
//! Faults while a filesystem is in use: fsync fails or its changes are there
//! afterwards, nothing hangs, and the kernel has nothing to complain about.

use super::shutdown::{at_work, ended, Crew};
use super::Test;
use crate::config::VmConfig;
use crate::cuts::replayed;
use crate::host::Tear;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::{Kind, Spec};
use std::thread::sleep;
use std::time::Duration;

pub const TESTS: &[Test] = &[
    Test {
        name: "fault-host-fails-to-flush",
        run: flush_errors,
    },
    Test {
        name: "fault-host-fails-one-flush",
        run: one_flush,
    },
    Test {
        name: "fault-ext4-error-aborts-the-journal",
        run: journal_abort,
    },
    Test {
        name: "fault-read-only-and-back",
        run: read_only,
    },
];

const OPTS: &str = "dax=always,commit=600,dax_fc_bytelog=on";

/// What a host answers that cannot write.
const EIO: i32 = 5;

/// Tries of a remount.
const TRIES: u32 = 300;

/// A file that is synced with success, named for what comes before the fault.
fn synced(lab: &mut Lab, dev: &Dev, name: &str) -> Result<()> {
    let file = format!("{}/{name}", dev.dir());
    lab.must_run(&format!("touch {file}"))?;
    lab.must_run(&format!("sync {file}"))?;
    Ok(())
}

/// After a fault has passed: unmounted and mounted again in the same boot, the
/// workload and the file are there, and e2fsck is content.
fn all_there(lab: &mut Lab, dev: &Dev, spec: &Spec, fsyncs: u64, name: &str) -> Result<()> {
    lab.umount(&dev.dir())?;
    lab.mount(dev, OPTS)?;
    let verdict = lab.judge(dev, spec, fsyncs)?;
    ensure!(
        verdict.lost == 0,
        "{} of {fsyncs} fsyncs lost: {:?}",
        verdict.lost,
        verdict.diffs
    );
    lab.must_run(&format!("ls {}/{name}", dev.dir()))?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(dev)
}

/// Another machine, whose flushes are watched; how it was before.
fn watched(lab: &mut Lab) -> Result<VmConfig> {
    let before = lab.config.clone();
    lab.reconfigure(VmConfig {
        virtio_mib: 48,
        watch_flushes: true,
        ..before.clone()
    })?;
    Ok(before)
}

fn flush_errors(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    let before = watched(lab)?;
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Virtio)?;
    lab.mkfs(&dev, "", "48M")?;
    lab.mount(&dev, OPTS)?;
    let spec = Spec::new(Kind::Fast, lab.seed, 60);
    let fsyncs = lab.work(&dev, &spec)?.fsyncs;
    synced(lab, &dev, "before")?;

    let host = lab.vm()?.host()?;
    host.fail_with(EIO);
    let file = format!("{}/during", dev.dir());
    lab.must_run(&format!("touch {file}"))?;
    let (flushes, failed) = (host.flushes(), host.failed());
    let sync = lab.run(&format!("sync {file}"))?;
    ensure!(
        host.flushes() > flushes && host.failed() > failed,
        "the fsync asked for no flush"
    );
    ensure!(sync.status != 0, "fsync succeeded without a flush");
    host.fail_with(0);
    all_there(lab, &dev, &spec, fsyncs, "before")?;
    lab.check_console()?;
    lab.reconfigure(before)
}

/// Who is told of no error has its data, although one flush has failed: that of the data
/// before the seal, or that of the log behind it. The cut comes at once, or after another
/// fsync of the same file.
fn one_flush(lab: &mut Lab) -> Result<()> {
    let before = watched(lab)?;
    for nth in [1, 2] {
        for fsyncs in [1, 2] {
            let what = || format!("flush {nth} fails, then a cut behind {fsyncs} fsyncs");
            one_flush_fails(lab, nth, fsyncs).with_context(what)?;
        }
    }
    lab.check_console()?;
    lab.reconfigure(before)
}

fn one_flush_fails(lab: &mut Lab, nth: u64, fsyncs: usize) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Virtio)?;
    lab.mkfs(&dev, "", "48M")?;
    lab.mount(&dev, OPTS)?;
    let spec = Spec::new(Kind::Fast, lab.seed + nth, 20);
    lab.work(&dev, &spec)?;
    let file = format!("{}/appended", dev.dir());
    lab.must_run_with(&format!("tee {file}"), "before")?;
    lab.must_run(&format!("sync {file}"))?;
    let acknowledged = lab.tree(&dev.dir())?;

    let rest = "a block and a bit ".repeat(300);
    lab.must_run_with(&format!("tee -a {file}"), &rest)?;
    let appended = lab.tree(&dev.dir())?;
    let fast = lab.stats(&dev)?.fast;
    let host = lab.vm()?.host()?;
    let failed = host.failed();
    host.fail_nth(nth);
    let mut status = Vec::new();
    for _ in 0..fsyncs {
        status.push(lab.run(&format!("sync {file}"))?.status);
    }
    ensure!(host.failed() == failed + 1, "no flush failed");
    let fell_back = lab.stats(&dev)?.fast == fast;
    let fine = lab.fc_area(&dev)?.into_iter().collect();
    let torn = Tear {
        seed: lab.seed + nth,
        fine,
        nothing: false,
    };
    let mut pictures = Vec::new();
    for tear in [Tear::of_nothing(), torn] {
        pictures.push(lab.picture(&tear, 0)?);
    }
    lab.umount(&dev.dir())?;
    // What the last fsync said holds: it failed, or all is there.
    let kept = status.last() == Some(&0);
    for picture in pictures {
        lab.develop(&picture)?;
        lab.mount(&dev, OPTS)?;
        let tree = lab.tree(&dev.dir())?;
        ensure!(
            tree == appended || !kept && tree == acknowledged,
            "fsyncs returned {status:?}, {:?}: {:?} instead of {:?}",
            picture.virtio.loss,
            tree.get("appended"),
            appended.get("appended")
        );
        lab.umount(&dev.dir())?;
        lab.fsck_clean(&dev)?;
    }
    ensure!(fell_back, "a fast commit, although its flush failed");
    println!("   flush {nth} failed: the fsyncs returned {status:?}");
    Ok(())
}

fn journal_abort(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    for dev in lab.pmem()? {
        lab.mkfs(&dev, "", "64M")?;
        // remount-ro after an error aborts the journal as well.
        lab.mount(&dev, &format!("{OPTS},errors=remount-ro"))?;
        let spec = Spec::new(Kind::Fast, lab.seed, 60);
        let fsyncs = lab.work(&dev, &spec)?.fsyncs;
        synced(lab, &dev, "before")?;
        let file = format!("{}/after", dev.dir());
        lab.must_run(&format!("touch {file}"))?;
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", dev.name);
        lab.must_run_with(&format!("tee {trigger}"), "1")?;
        let sync = lab.run(&format!("sync {file}"))?;
        ensure!(
            sync.status != 0,
            "{}: fsync succeeded on an aborted journal",
            dev.label()
        );
        lab.umount(&dev.dir())?;
        let log = lab.mount(&dev, OPTS)?;
        ensure!(replayed(&log) > 0, "{}: no replay: {log:?}", dev.label());
        all_there(lab, &dev, &spec, fsyncs, "before")?;
    }
    Ok(())
}

/// Remounts a filesystem read-only while threads work on it, which a file that one of them
/// has open for writing forbids; returns how often it did.
fn remount_at_work(lab: &mut Lab, dev: &Dev) -> Result<u32> {
    for busy in 0..TRIES {
        let result = lab.run(&format!("mount -o remount,ro {}", dev.dir()))?;
        if result.status == 0 {
            return Ok(busy);
        }
        sleep(Duration::from_millis(7));
    }
    bail!("{}: a file was open {TRIES} times", dev.label())
}

/// The log stops with the writing, in the middle of the work, and goes on with it; a cut
/// comes after that.
fn read_only(lab: &mut Lab) -> Result<()> {
    let devs = lab.pmem()?;
    // A database keeps its file open, and what is mapped stays so.
    let (calm, mapped) = (true, false);
    let started = at_work(lab, Ext4::ByteLog, &devs, Crew { calm, mapped }, 0)?;
    for dev in &devs {
        let busy = remount_at_work(lab, dev)?;
        println!("   {}: {busy} times busy", dev.label());
    }
    let threads = ended(lab, started)?;
    for dev in &devs {
        let refused = lab.run(&format!("touch {}/refused", dev.dir()))?;
        ensure!(refused.status != 0, "{}: still writable", dev.label());
        lab.must_run(&format!("mount -o remount,rw {}", dev.dir()))?;
        let before = lab.stats(dev)?;
        for i in 0..10 {
            synced(lab, dev, &format!("after{i}"))?;
        }
        let now = lab.stats(dev)?;
        ensure!(
            now.fast > before.fast,
            "{}: no fast commits: {now:?}",
            dev.label()
        );
    }
    lab.cut()?;
    lab.with(Ext4::ByteLog)?;
    for dev in &devs {
        lab.mount(dev, OPTS)?;
        for thread in threads.iter().filter(|thread| thread.dev == *dev) {
            thread.judge(lab)?;
        }
        lab.must_run(&format!("ls {}/after9", dev.dir()))?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}
