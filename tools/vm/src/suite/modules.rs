// SPDX-License-Identifier: GPL-2.0
//! The modules themselves: in use, unloaded, loaded again, and no memory left.

use super::Test;
use crate::lab::{Ext4, Lab};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "rmmod-of-a-used-module-is-refused",
        run: in_use,
    },
    Test {
        name: "fifty-mounts-leave-no-memory-behind",
        run: cycles,
    },
];

const OPTS: &str = "dax=always,commit=600,dax_fc_bytelog=on";

fn in_use(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, "", "64M")?;
    lab.mount(&dev, OPTS)?;
    ensure!(lab.rmmod("ext4_bytelog").is_err(), "unloaded while in use");
    lab.work(&dev, &Spec::new(Kind::Files, lab.seed, 20))?;
    lab.umount(&dev.dir())?;
    lab.rmmod("ext4_bytelog")?;
    lab.insmod("/bytelog/ext4_bytelog.ko", "")?;
    lab.mount(&dev, OPTS)?;
    let shown = lab.shown_options(&dev.dir())?;
    ensure!(shown.contains("dax_fc_bytelog=on"), "shown: {shown}");
    lab.umount(&dev.dir())?;
    // Both out and in again.
    lab.rmmod("ext4_bytelog")?;
    lab.rmmod("ext4")?;
    lab.insmod("/bytelog/ext4.ko", "")?;
    lab.insmod("/bytelog/ext4_bytelog.ko", "")?;
    lab.mount(&dev, OPTS)?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)
}

/// KiB of memory that the kernel holds and could not give back.
fn held(lab: &mut Lab) -> Result<i64> {
    lab.call::<()>(Cmd::Write {
        path: "/proc/sys/vm/drop_caches".into(),
        data: "3".into(),
    })?;
    let text: String = lab.call(Cmd::Read {
        path: "/proc/meminfo".into(),
    })?;
    ["SUnreclaim:", "VmallocUsed:", "Percpu:"]
        .iter()
        .map(|key| {
            let line = text.lines().find(|line| line.starts_with(key));
            let field = line.and_then(|line| line.split_whitespace().nth(1));
            Ok(field.with_context(|| format!("no {key}"))?.parse::<i64>()?)
        })
        .sum()
}

/// KiB more after 50 mounts.
const LIMIT: i64 = 256;

/// A machine that has done nothing yet takes more memory the first time. A leak goes on.
const ROUNDS: u32 = 3;

fn cycles(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, "", "64M")?;
    let cycle = |lab: &mut Lab| -> Result<()> {
        lab.mount(&dev, OPTS)?;
        let file = format!("{}/file", dev.dir());
        lab.must_run(&format!("touch {file}"))?;
        lab.must_run(&format!("sync {file}"))?;
        lab.umount(&dev.dir())
    };
    for _ in 0..5 {
        cycle(lab)?;
    }
    let mut grown = i64::MAX;
    for _ in 0..ROUNDS {
        let before = held(lab)?;
        for _ in 0..50 {
            cycle(lab)?;
        }
        grown = grown.min(held(lab)? - before);
        // The log's staging buffer alone, left behind at each mount, would be more.
        if grown < LIMIT {
            break;
        }
    }
    // kmemleak has a note of its own for each object, and KASAN keeps what was freed: there
    // the amount says nothing, but they know what was left.
    if lab.check_leaks()? {
        return Ok(());
    }
    ensure!(
        grown < LIMIT,
        "{grown} KiB more after 50 mounts, {ROUNDS} times"
    );
    Ok(())
}
