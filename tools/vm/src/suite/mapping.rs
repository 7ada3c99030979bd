// SPDX-License-Identifier: GPL-2.0
//! Where the log is mapped: not beyond its device, and not where it cannot be had any
//! more.

use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, IN_USE, NOT_USED};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};

pub const TESTS: &[Test] = &[
    Test {
        name: "external-journal-beyond-the-device",
        run: device,
    },
    Test {
        name: "external-journal-beyond-the-partition",
        run: partition,
    },
    Test {
        name: "external-journal-poisoned-while-mounted",
        run: poisoned,
    },
];

/// What is said of it.
const BEYOND: &str = "on the journal's device, which ends at";

/// Mounts the filesystem whose journal ends nowhere: as without the option, saying so.
fn refused(lab: &mut Lab, disk: &Dev, journal: &Dev) -> Result<()> {
    let options = format!("journal_path={},dax_fc_bytelog=on", journal.path());
    let log = lab.mount(disk, &options)?;
    ensure!(any(&log, BEYOND), "no \"{BEYOND}\" in {log:?}");
    ensure!(
        any(&log, NOT_USED[0]) && !any(&log, IN_USE),
        "used: {log:?}"
    );
    let shown = lab.shown_options(&disk.dir())?;
    ensure!(!shown.contains("bytelog"), "shown as active: {shown}");
    // No fsync: ext4's own fast commits would go where the device has no blocks.
    lab.umount(&disk.dir())
}

/// A superblock that claims more blocks than the device has: its area, at the end,
/// would be memory that is none of the device's.
fn device(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let (disk, pmem) = (lab.dev(DeviceKind::Disk)?, lab.dev(DeviceKind::Sync)?);
    let sectors: String = lab.call(Cmd::Read {
        path: format!("/sys/class/block/{}/size", pmem.name),
    })?;
    let blocks = sectors.trim().parse::<u64>()? / 8 + 4096;
    lab.must_run(&format!(
        "mke2fs -q -F -b 4096 -O journal_dev -E lazy_journal_init=1 {} {blocks}",
        pmem.path()
    ))?;
    lab.must_run(&format!(
        "mke2fs -q -F -t ext4 -b 4096 -O fast_commit -N 4096 -J device={} {} 64M",
        pmem.path(),
        disk.path()
    ))?;
    refused(lab, &disk, &pmem)
}

/// A partition that has become smaller: behind it is another's data.
fn partition(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let (disk, pmem) = (lab.dev(DeviceKind::Disk)?, lab.dev(DeviceKind::Sync)?);
    let journal = Dev {
        name: format!("{}p1", pmem.name),
        ..pmem.clone()
    };
    for mib in [80, 40] {
        let script = format!("o\nn\np\n1\n2048\n+{mib}M\nw\n");
        lab.partition(&pmem, &script)?;
        if mib == 80 {
            lab.mkfs_external(&disk, &journal, "64M")?;
        }
    }
    refused(lab, &disk, &journal)?;
    lab.unpartition(&pmem)
}

/// A counter of the module's.
fn counter(lab: &mut Lab, dev: &Dev, name: &str) -> Result<u64> {
    let text: String = lab.call(Cmd::Read {
        path: format!("/sys/kernel/debug/ext4_bytelog/{}/{name}", dev.name),
    })?;
    text.trim().parse().context(text)
}

/// Makes a file and syncs it; how many fast commits that took, and errors of the device.
fn synced(lab: &mut Lab, disk: &Dev, name: &str) -> Result<(u64, u64)> {
    let before = (
        counter(lab, disk, "commits")?,
        counter(lab, disk, "device_errors")?,
    );
    let path = format!("{}/{name}", disk.dir());
    lab.must_run(&format!("touch {path}"))?;
    lab.must_run(&format!("sync {path}"))?;
    Ok((
        counter(lab, disk, "commits")? - before.0,
        counter(lab, disk, "device_errors")? - before.1,
    ))
}

/// Pages of the log that the driver learns to be bad when they have been mapped: they
/// are not touched any more, and ext4 commits in full.
fn poisoned(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let (disk, pmem) = (lab.dev(DeviceKind::Disk)?, lab.dev(DeviceKind::Sync)?);
    lab.mkfs_external(&disk, &pmem, "64M")?;
    let options = format!("commit=600,journal_path={},dax_fc_bytelog=on", pmem.path());
    lab.mount(&disk, &options)?;
    lab.must_run("sync")?;
    synced(lab, &disk, "first")?;
    let good = synced(lab, &disk, "good")?;
    ensure!(good == (1, 0), "(commits, errors) of a good log: {good:?}");
    // The area is the journal's end.
    let last = *lab.journal(&pmem)?.blocks.last().context("no journal")?;
    let bad = format!("{} {}\n", (last - 255) * 8, 256 * 8);
    let path = format!("/sys/class/block/{}/badblocks", pmem.name);
    lab.must_run_with(&format!("tee {path}"), &bad)?;
    let errors = synced(lab, &disk, "bad")?;
    ensure!(
        errors == (0, 1),
        "(commits, errors) of a bad one: {errors:?}"
    );
    lab.must_run(&format!("ls {}/bad", disk.dir()))?;
    lab.umount(&disk.dir())?;
    // The list of what is bad has no way to take something off it.
    lab.power_off()
}
