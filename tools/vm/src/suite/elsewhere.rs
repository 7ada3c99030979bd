// SPDX-License-Identifier: GPL-2.0
//! Logs that cannot be read where they were written: on a device without DAX, and beside
//! pages that are lost.

use super::Test;
use crate::cuts::replayed;
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, BACKEND_NEEDED, NOTHING_REPLAYED};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind, Shutdown};

pub const TESTS: &[Test] = &[
    Test {
        name: "replay-on-a-disk",
        run: disk,
    },
    Test {
        name: "replay-beside-a-bad-page",
        run: bad_page,
    },
];

const SIZE: &str = "80M";

/// Several records in some of the commits, and none of them leads to a full one.
const FSYNCS: &str = "for i in $(seq 30); do echo $i > $i; touch f$i.0 f$i.1; sync $i; done
for i in $(seq 100); do touch many$i; done; sync many1";

/// A filesystem with its log on a pmem device, not unmounted. Returns its tree.
fn crashed(lab: &mut Lab, dev: &Dev) -> Result<bytelog_guest::tree::Tree> {
    lab.mkfs(dev, "", SIZE)?;
    lab.mount(dev, "commit=600,dax_fc_bytelog=on")?;
    lab.must_run(&format!("mkdir {}/d", dev.dir()))?;
    lab.must_run("sync")?;
    let full = lab.stats(dev)?.full;
    lab.must_run_with("sh -e", &format!("cd {}/d\n{FSYNCS}", dev.dir()))?;
    let stats = lab.stats(dev)?;
    ensure!(stats.full == full, "a full commit in between: {stats:?}");
    let tree = lab.tree(&dev.dir())?;
    let (dir, how) = (dev.dir(), Shutdown::NoFlush);
    lab.call::<()>(Cmd::Shutdown { dir, how })?;
    lab.umount(&dev.dir())?;
    Ok(tree)
}

/// Mounts without the option, which replays, and compares.
fn replays(lab: &mut Lab, dev: &Dev, tree: &bytelog_guest::tree::Tree) -> Result<()> {
    let log = lab.mount(dev, "commit=600")?;
    ensure!(replayed(&log) > 30, "not all replayed: {log:?}");
    let found = lab.tree(&dev.dir())?;
    ensure!(
        found == *tree,
        "{} names instead of {}",
        found.len(),
        tree.len()
    );
    lab.umount(&dev.dir())?;
    lab.fsck_clean(dev)
}

fn copy(lab: &mut Lab, from: &Dev, to: &Dev) -> Result<()> {
    lab.must_run(&format!(
        "dd if={} of={} bs=1M count=80 conv=fsync",
        from.path(),
        to.path()
    ))?;
    Ok(())
}

/// A copy of a crashed filesystem on a device without DAX. Its log is in the blocks that jbd2
/// reads. It is checked as it is where it was written.
fn disk(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    let (pmem, disk) = (lab.dev(DeviceKind::Sync)?, lab.dev(DeviceKind::Disk)?);
    let tree = crashed(lab, &pmem)?;
    copy(lab, &pmem, &disk)?;
    // With the option there would have to be new commits.
    let refused = lab.try_mount(&disk, "dax_fc_bytelog=on")?;
    ensure!(refused.errno != 0, "mounted with the option");
    ensure!(any(&refused.log, BACKEND_NEEDED), "{:?}", refused.log);
    replays(lab, &disk, &tree)?;
    // It is an ordinary filesystem now.
    let log = lab.mount(&disk, "")?;
    ensure!(replayed(&log) == 0, "replayed again: {log:?}");
    lab.umount(&disk.dir())?;

    // A byte of the first records.
    copy(lab, &pmem, &disk)?;
    let block = lab.fc_area(&pmem)?[1];
    let at = block * 4096 + 100;
    lab.must_run_with(
        &format!("dd of={} bs=1 seek={at} conv=notrunc,fsync", disk.path()),
        "\u{7f}",
    )?;
    let refused = lab.try_mount(&disk, "")?;
    ensure!(refused.errno != 0, "mounted with a damaged log");
    ensure!(any(&refused.log, NOTHING_REPLAYED), "{:?}", refused.log);

    // Where it was written it replays, too.
    replays(lab, &pmem, &tree)
}

/// A page that the driver knows to be lost, and that the log does not reach to.
fn bad_page(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    let pmem = lab.dev(DeviceKind::Sync)?;
    let tree = crashed(lab, &pmem)?;
    let last = *lab.fc_area(&pmem)?.last().context("no log")?;
    let path = format!("/sys/class/block/{}/badblocks", pmem.name);
    lab.must_run_with(&format!("tee {path}"), &format!("{} 8\n", last * 8))?;
    let log = lab.mount(&pmem, "commit=600")?;
    ensure!(replayed(&log) > 30, "not all replayed: {log:?}");
    ensure!(lab.tree(&pmem.dir())? == tree, "another tree");
    lab.umount(&pmem.dir())?;
    // The list of what is bad has no way to take something off it.
    lab.power_off()
}
