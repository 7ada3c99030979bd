// SPDX-License-Identifier: GPL-2.0
//! A device that somebody has read and keeps mapped: the kernel's copy of its log is from
//! before the commits, which reach the medium beside it, and replay must not be of the copy.

use super::Test;
use crate::cuts::replayed;
use crate::image::{Image, BLOCK};
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind, Shutdown};

pub const TESTS: &[Test] = &[Test {
    name: "fault-shutdown-of-a-mapped-device",
    run: mapped,
}];

const MIB: u64 = 80;

/// None of them leads to a full commit.
const FSYNCS: &str = "for i in $(seq 30); do echo $i > $i; sync $i; done";

/// Of a journal within the filesystem and of one on a device of its own. The mount drops
/// what is cached of the first, as it changes the size of blocks, but not of the second.
fn mapped(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    let [virtio, sync] = lab.pmem()?;
    let disk = lab.dev(DeviceKind::Disk)?;
    for (data, journal) in [(&sync, &sync), (&disk, &sync), (&disk, &virtio)] {
        one(lab, data, journal)
            .with_context(|| format!("{}, journal on {}", data.label(), journal.label()))?;
    }
    Ok(())
}

/// The log's first block, as the machine has it cached and as the medium has it.
fn opener(lab: &mut Lab, journal: &Dev) -> Result<(String, Vec<u8>)> {
    let block = *lab.fc_area(journal)?.first().context("no log")?;
    let script = format!(
        "dd if={} bs={BLOCK} skip={block} count=1 2>/dev/null | busybox md5sum",
        journal.path()
    );
    let cached = lab.must_run_with("sh -e", &script)?;
    let sum = cached.lines().last().context("no checksum")?.to_owned();
    let stored = Image::open(journal)?.read(block * BLOCK, BLOCK as usize)?;
    Ok((sum, stored))
}

fn one(lab: &mut Lab, data: &Dev, journal: &Dev) -> Result<()> {
    let mut opts = "commit=600,dax_fc_bytelog=on".to_owned();
    if data == journal {
        lab.mkfs(data, "", &format!("{MIB}M"))?;
        opts += ",dax=always";
    } else {
        lab.mkfs_external(data, journal, &format!("{MIB}M"))?;
        opts += &format!(",journal_path={}", journal.path());
    }
    lab.mount(data, &opts)?;
    // The directory is committed in full, which goes through the cache.
    lab.must_run(&format!("mkdir {}/d", data.dir()))?;
    lab.must_run("sync")?;
    lab.call::<()>(Cmd::Hold {
        path: journal.path(),
        bytes: (MIB << 20) as usize,
    })?;
    let before = opener(lab, journal)?;
    let full = lab.stats(data)?.full;
    let script = format!("cd {}/d\n{FSYNCS}", data.dir());
    lab.must_run_with("sh -e", &script)?;
    let stats = lab.stats(data)?;
    ensure!(stats.full == full, "a full commit in between: {stats:?}");
    let tree = lab.tree(&data.dir())?;
    let (dir, how) = (data.dir(), Shutdown::NoFlush);
    lab.call::<()>(Cmd::Shutdown { dir, how })?;
    lab.umount(&data.dir())?;
    // Otherwise this proves nothing.
    let after = opener(lab, journal)?;
    ensure!(before.0 == after.0, "nothing stale is cached");
    ensure!(before.1 != after.1, "no log has been written");

    let log = lab.mount(data, &opts)?;
    let commits = replayed(&log);
    let found = lab.tree(&data.dir())?;
    ensure!(
        found == tree,
        "{} names instead of {}, {commits} fast commits replayed",
        found.len(),
        tree.len()
    );
    ensure!(commits > 0, "nothing replayed: {log:?}");
    lab.umount(&data.dir())?;
    lab.call::<()>(Cmd::Release)?;
    lab.fsck_clean(data)
}
