// SPDX-License-Identifier: GPL-2.0
//! Who may touch a filesystem whose log holds ByteLog records, and who not.

use super::durability::{crash, nothing_lost, ENDLESS};
use super::Test;
use crate::image::{changed, Image, DAX_FC_BYTELOG};
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, BACKEND_NEEDED};
use anyhow::{ensure, Result};
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "crashed-on-is-closed-to-stock-tools",
        run: closed_to_stock,
    },
    Test {
        name: "crashed-force-mounts-without-option",
        run: force_without_option,
    },
];

const BYTES: u64 = 128 << 20;

fn bit(dev: &Dev) -> Result<bool> {
    Ok(Image::open(dev)?.incompat()? & DAX_FC_BYTELOG != 0)
}

/// After a crash with `on`, stock ext4 and e2fsck refuse and change nothing;
/// after replay and a clean unmount both accept.
fn closed_to_stock(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Fast, lab.seed + 1, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, ",dax_fc_bytelog=on", &spec, 60)?;
    lab.with(Ext4::Stock)?;
    for (dev, acks) in lab.pmem()?.iter().zip(acks) {
        let label = dev.label();
        ensure!(bit(dev)?, "{label}: the feature bit is not set");
        let before = Image::open(dev)?.hashes(BYTES)?;
        lab.with(Ext4::Stock)?;
        for opts in ["", "ro", "noload"] {
            let refused = lab.try_mount_as(dev, opts)?;
            ensure!(refused.errno != 0, "{label}: stock ext4 mounted ({opts})");
        }
        let fsck = lab.run(&format!("e2fsck -p {}", dev.path()))?;
        ensure!(fsck.status & 12 != 0, "{label}: e2fsck -p: {fsck:?}");
        let touched = changed(&before, &Image::open(dev)?.hashes(BYTES)?);
        ensure!(touched.is_empty(), "{label}: blocks {touched:?} changed");

        lab.with(Ext4::ByteLog)?;
        lab.mount(dev, "dax=always,dax_fc_bytelog=on")?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        ensure!(!bit(dev)?, "{label}: the feature bit stays after unmount");
        lab.fsck_clean(dev)?;
        lab.with(Ext4::Stock)?;
        lab.mount(dev, "dax=always")?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}

/// Records that no feature bit guards are replayed all the same, or the mount
/// fails; they are never skipped.
fn force_without_option(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Fast, lab.seed + 2, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, ",dax_fc_bytelog=force", &spec, 60)?;
    lab.with(Ext4::Patched)?;
    for (dev, acks) in lab.pmem()?.iter().zip(acks) {
        let label = dev.label();
        ensure!(!bit(dev)?, "{label}: force has set the feature bit");
        lab.with(Ext4::Patched)?;
        let refused = lab.try_mount(dev, "dax=always")?;
        ensure!(refused.errno != 0, "{label}: mounted without the backend");
        ensure!(any(&refused.log, BACKEND_NEEDED), "{:?}", refused.log);
        lab.with(Ext4::ByteLog)?;
        lab.mount(dev, "dax=always")?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        let shown = lab.shown_options(&dev.dir())?;
        ensure!(!shown.contains("bytelog"), "{label}: shown: {shown}");
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}
