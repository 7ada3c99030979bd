// SPDX-License-Identifier: GPL-2.0
//! Faults while a filesystem is in use: fsync fails or its changes are there
//! afterwards, nothing hangs, and the kernel has nothing to complain about.

use super::Test;
use crate::config::VmConfig;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "fault-host-fails-to-flush",
        run: flush_errors,
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

fn flush_errors(lab: &mut Lab) -> Result<()> {
    let before = lab.config.clone();
    lab.reconfigure(VmConfig {
        virtio_mib: 48,
        watch_flushes: true,
        ..before.clone()
    })?;
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

fn journal_abort(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    for dev in lab.pmem()? {
        lab.mkfs(&dev, "", "64M")?;
        lab.mount(&dev, OPTS)?;
        let spec = Spec::new(Kind::Fast, lab.seed, 60);
        let fsyncs = lab.work(&dev, &spec)?.fsyncs;
        synced(lab, &dev, "before")?;
        let file = format!("{}/after", dev.dir());
        lab.must_run(&format!("touch {file}"))?;
        let trigger = format!("/sys/fs/ext4/{}/trigger_fs_error", dev.name);
        // remount-ro after an error aborts the journal as well.
        lab.must_run(&format!("mount -o remount,errors=remount-ro {}", dev.dir()))?;
        lab.must_run_with(&format!("tee {trigger}"), "1")?;
        let sync = lab.run(&format!("sync {file}"))?;
        ensure!(
            sync.status != 0,
            "{}: fsync succeeded on an aborted journal",
            dev.label()
        );
        lab.umount(&dev.dir())?;
        lab.mount(&dev, OPTS)?;
        let verdict = lab.judge(&dev, &spec, fsyncs)?;
        ensure!(verdict.lost == 0, "{}: {verdict:?}", dev.label());
        lab.must_run(&format!("ls {}/before", dev.dir()))?;
        lab.umount(&dev.dir())?;
    }
    Ok(())
}

/// The log stops with the writing and goes on with it; a cut comes after that.
fn read_only(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let spec = Spec::new(Kind::Fast, lab.seed, 60);
    let mut fsyncs = Vec::new();
    for dev in lab.pmem()? {
        lab.mkfs(&dev, "", "48M")?;
        lab.mount(&dev, OPTS)?;
        fsyncs.push(lab.work(&dev, &spec)?.fsyncs);
        lab.must_run(&format!("mount -o remount,ro {}", dev.dir()))?;
        let refused = lab.run(&format!("touch {}/refused", dev.dir()))?;
        ensure!(refused.status != 0, "{}: still writable", dev.label());
        lab.must_run(&format!("mount -o remount,rw {}", dev.dir()))?;
        let before = lab.stats(&dev)?;
        for i in 0..10 {
            synced(lab, &dev, &format!("after{i}"))?;
        }
        let now = lab.stats(&dev)?;
        ensure!(
            now.fast > before.fast,
            "{}: no fast commits: {now:?}",
            dev.label()
        );
    }
    lab.cut()?;
    lab.with(Ext4::ByteLog)?;
    for (dev, fsyncs) in lab.pmem()?.into_iter().zip(fsyncs) {
        lab.mount(&dev, OPTS)?;
        all_there(lab, &dev, &spec, fsyncs, "after9")?;
    }
    Ok(())
}
