// SPDX-License-Identifier: GPL-2.0
//! Journals that are longer than their device: what lies behind it is not touched.

use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, IN_USE, NOT_USED};
use anyhow::{ensure, Result};
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
        lab.run_with(&format!("busybox fdisk -u {}", pmem.path()), &script)?;
        lab.must_run(&format!("blockdev --rereadpt {}", pmem.path()))?;
        if mib == 80 {
            lab.mkfs_external(&disk, &journal, "64M")?;
        }
    }
    refused(lab, &disk, &journal)?;
    // No partitions again.
    lab.must_run(&format!(
        "dd if=/dev/zero of={} bs=4096 count=1",
        pmem.path()
    ))?;
    lab.must_run(&format!("blockdev --rereadpt {}", pmem.path()))?;
    Ok(())
}
