// SPDX-License-Identifier: GPL-2.0
//! The mount option: what it accepts, what it says, and what /proc/mounts shows.

use super::Test;
use crate::image::{Image, DAX_FC_BYTELOG};
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{self, any};
use anyhow::{ensure, Result};
use bytelog_guest::proto::{DeviceKind, MountArgs};

pub const TESTS: &[Test] = &[
    Test {
        name: "mount-on-force-off",
        run: values,
    },
    Test {
        name: "mount-without-fast-commit",
        run: |lab| declined(lab, &NO_FAST_COMMIT),
    },
    Test {
        name: "mount-without-dax-device",
        run: |lab| declined(lab, &NO_DAX),
    },
    Test {
        name: "mount-dax-never",
        run: |lab| declined(lab, &DAX_NEVER),
    },
    Test {
        name: "mount-block-size-1k",
        run: |lab| declined(lab, &BLOCK_SIZE),
    },
    Test {
        name: "mount-bigalloc",
        run: |lab| declined(lab, &BIGALLOC),
    },
    Test {
        name: "mount-area-too-small",
        run: |lab| declined(lab, &TOO_SMALL),
    },
    Test {
        name: "mount-module-missing",
        run: |lab| declined(lab, &NO_MODULE),
    },
    Test {
        name: "mount-wrong-value",
        run: wrong_value,
    },
    Test {
        name: "mount-remount",
        run: remount,
    },
    Test {
        name: "mount-read-only-noload-second-place",
        run: read_only,
    },
    Test {
        name: "mount-bit-set-on-clean-filesystem",
        run: bit_on_clean,
    },
];

/// A case where ByteLog cannot be used: one line says why, and the mount works
/// as stock.
struct Case {
    ext4: Ext4,
    kind: DeviceKind,
    mkfs: &'static str,
    opts: &'static str,
    says: &'static str,
}

const PLAIN: Case = Case {
    ext4: Ext4::ByteLog,
    kind: DeviceKind::Sync,
    mkfs: "-b 4096 -O fast_commit",
    opts: "",
    says: "",
};
const NO_FAST_COMMIT: Case = Case {
    mkfs: "-b 4096 -O ^fast_commit",
    says: messages::NO_FAST_COMMIT,
    ..PLAIN
};
const NO_DAX: Case = Case {
    kind: DeviceKind::Disk,
    says: messages::NO_DAX_DEVICE,
    ..PLAIN
};
const DAX_NEVER: Case = Case {
    opts: "dax=never,",
    says: messages::DAX_NEVER,
    ..PLAIN
};
const BLOCK_SIZE: Case = Case {
    mkfs: "-b 1024 -O fast_commit",
    says: messages::BLOCK_SIZE,
    ..PLAIN
};
const BIGALLOC: Case = Case {
    mkfs: "-b 4096 -O fast_commit,bigalloc",
    says: messages::BIGALLOC,
    ..PLAIN
};
const TOO_SMALL: Case = Case {
    mkfs: "-b 4096 -O fast_commit -J size=8,fast_commit_size=8",
    says: messages::AREA_TOO_SMALL,
    ..PLAIN
};
const NO_MODULE: Case = Case {
    ext4: Ext4::Patched,
    says: messages::MODULE_MISSING,
    ..PLAIN
};

fn declined(lab: &mut Lab, case: &Case) -> Result<()> {
    lab.with(case.ext4)?;
    let dev = lab.dev(case.kind)?;
    for option in ["on", "force"] {
        let path = dev.path();
        lab.must_run(&format!("mke2fs -q -F -t ext4 {} {path} 48M", case.mkfs))?;
        let log = lab.mount(&dev, &format!("{}dax_fc_bytelog={option}", case.opts))?;
        ensure!(any(&log, case.says), "no \"{}\" in {log:?}", case.says);
        ensure!(!any(&log, messages::IN_USE), "in use all the same: {log:?}");
        let shown = lab.shown_options(&dev.dir())?;
        ensure!(!shown.contains("bytelog"), "shown as active: {shown}");
        usable(lab, &dev)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(&dev)?;
    }
    Ok(())
}

/// A file can be written and synced.
fn usable(lab: &mut Lab, dev: &Dev) -> Result<()> {
    let file = format!("{}/usable", dev.dir());
    lab.must_run(&format!("cp /init {file}"))?;
    lab.must_run(&format!("sync {file}"))?;
    lab.must_run(&format!("cmp /init {file}"))?;
    Ok(())
}

fn has_bit(dev: &Dev) -> Result<bool> {
    Ok(Image::open(dev)?.incompat()? & DAX_FC_BYTELOG != 0)
}

fn fresh(lab: &mut Lab) -> Result<Dev> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, "", "64M")?;
    Ok(dev)
}

fn values(lab: &mut Lab) -> Result<()> {
    let dev = fresh(lab)?;
    for (option, in_use, mark) in [
        ("off", false, false),
        ("on", true, true),
        ("force", true, false),
    ] {
        let log = lab.mount(&dev, &format!("dax=always,dax_fc_bytelog={option}"))?;
        ensure!(any(&log, messages::IN_USE) == in_use, "{option}: {log:?}");
        let warned = any(&log, messages::FORCE_WARNING);
        ensure!(warned == (option == "force"), "{option}: {log:?}");
        let shown = lab.shown_options(&dev.dir())?;
        let active = shown.contains(&format!("dax_fc_bytelog={option}"));
        ensure!(active == in_use, "{option}: shown: {shown}");
        usable(lab, &dev)?;
        ensure!(lab.is_marked(&dev)? == mark, "{option}: mark while mounted");
        ensure!(!has_bit(&dev)?, "{option}: feature bit while mounted");
        lab.umount(&dev.dir())?;
        ensure!(!lab.is_marked(&dev)?, "{option}: mark after unmount");
        lab.fsck_clean(&dev)?;
    }
    Ok(())
}

fn wrong_value(lab: &mut Lab) -> Result<()> {
    let dev = fresh(lab)?;
    for opts in ["dax_fc_bytelog=maybe", "dax_fc_bytelog=", "dax_fc_bytelog"] {
        let result = lab.try_mount(&dev, opts)?;
        ensure!(result.errno == 22, "{opts}: {result:?}");
        ensure!(
            any(&result.log, messages::WRONG_VALUE),
            "{opts}: {result:?}"
        );
    }
    Ok(())
}

fn remount(lab: &mut Lab) -> Result<()> {
    let dev = fresh(lab)?;
    let change = |lab: &mut Lab, opts: &str, read_only: bool| {
        lab.try_mount_args(MountArgs {
            dev: dev.path(),
            dir: dev.dir(),
            opts: opts.into(),
            read_only,
            remount: true,
            ..MountArgs::default()
        })
    };
    lab.mount(&dev, "dax=always,dax_fc_bytelog=on")?;
    for option in ["off", "force"] {
        let refused = change(lab, &format!("dax_fc_bytelog={option}"), false)?;
        ensure!(refused.errno != 0, "changed to {option} by a remount");
        ensure!(any(&refused.log, messages::REMOUNT), "{refused:?}");
    }
    for opts in ["commit=30", "commit=20,dax_fc_bytelog=on"] {
        let fine = change(lab, opts, false)?;
        ensure!(fine.errno == 0, "{opts}: {fine:?}");
    }
    usable(lab, &dev)?;
    // Read-only: nothing is dirty, and the mark goes; back again, it returns.
    let fine = change(lab, "", true)?;
    ensure!(fine.errno == 0, "read-only: {fine:?}");
    ensure!(!lab.is_marked(&dev)?, "mark on a read-only remount");
    let fine = change(lab, "", false)?;
    ensure!(fine.errno == 0, "read-write: {fine:?}");
    let file = format!("{}/later", dev.dir());
    lab.must_run(&format!("touch {file}"))?;
    lab.must_run(&format!("sync {file}"))?;
    ensure!(lab.is_marked(&dev)?, "no mark after the way back");
    let shown = lab.shown_options(&dev.dir())?;
    ensure!(shown.contains("dax_fc_bytelog=on"), "shown: {shown}");
    lab.umount(&dev.dir())?;

    // Without the option at first, it cannot come later.
    lab.mount(&dev, "dax=always")?;
    let refused = change(lab, "dax_fc_bytelog=on", false)?;
    ensure!(refused.errno != 0, "switched on by a remount");
    ensure!(any(&refused.log, messages::REMOUNT), "{refused:?}");
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)
}

fn read_only(lab: &mut Lab) -> Result<()> {
    let dev = fresh(lab)?;
    for opts in ["", "noload,"] {
        let args = MountArgs {
            dev: dev.path(),
            dir: dev.dir(),
            opts: format!("{opts}dax_fc_bytelog=on"),
            read_only: true,
            ..MountArgs::default()
        };
        let result = lab.try_mount_args(args)?;
        ensure!(result.errno == 0, "read-only, {opts}: {result:?}");
        lab.must_run(&format!("ls {}", dev.dir()))?;
        ensure!(!lab.is_marked(&dev)?, "mark on a read-only mount");
        lab.umount(&dev.dir())?;
    }
    lab.mount(&dev, "dax=always,dax_fc_bytelog=on")?;
    usable(lab, &dev)?;
    let second = "/mnt/second".to_owned();
    let result = lab.try_mount_args(MountArgs {
        dev: dev.path(),
        dir: second.clone(),
        opts: "dax=always,dax_fc_bytelog=on".into(),
        ..MountArgs::default()
    })?;
    ensure!(result.errno == 0, "second place: {result:?}");
    lab.umount(&dev.dir())?;
    lab.must_run(&format!("cmp /init {second}/usable"))?;
    lab.umount(&second)?;
    lab.fsck_clean(&dev)
}

/// A bit that was set on a clean filesystem stays, and asks for the backend.
fn bit_on_clean(lab: &mut Lab) -> Result<()> {
    let dev = fresh(lab)?;
    let incompat = Image::open(&dev)?.incompat()? | DAX_FC_BYTELOG;
    let set = format!("ssv feature_incompat {incompat:#x}\n");
    lab.must_run_with(&format!("debugfs -w -f - {}", dev.path()), &set)?;
    lab.forget_cache(&dev)?;
    ensure!(has_bit(&dev)?, "debugfs has not set the bit");
    for opts in ["dax=always,dax_fc_bytelog=on", "dax=always"] {
        lab.mount(&dev, opts)?;
        usable(lab, &dev)?;
        lab.must_run(&format!("rm {}/usable", dev.dir()))?;
        lab.umount(&dev.dir())?;
        ensure!(has_bit(&dev)?, "{opts}: the bit is gone after unmount");
    }
    lab.with(Ext4::Patched)?;
    let refused = lab.try_mount(&dev, "dax=always,dax_fc_bytelog=on")?;
    ensure!(refused.errno != 0, "mounted without the backend");
    ensure!(any(&refused.log, messages::BACKEND_NEEDED), "{refused:?}");
    lab.with(Ext4::Stock)?;
    let refused = lab.try_mount(&dev, "")?;
    ensure!(refused.errno != 0, "stock ext4 mounted");
    Ok(())
}
