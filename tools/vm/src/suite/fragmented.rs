// SPDX-License-Identifier: GPL-2.0
//! A journal in pieces: the log goes into it, and nowhere else.

use super::durability::{nothing_lost, ENDLESS};
use super::Test;
use crate::image::{changed, Image};
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};
use bytelog_guest::workload::{Kind, Spec};
use std::collections::HashSet;
use std::fmt::Write;

pub const TESTS: &[Test] = &[Test {
    name: "fragmented-journal",
    run: fragmented,
}];

const BYTES: u64 = 64 << 20;

/// Interval of the periodic write-back; 0 for none.
const FLUSHER: &str = "/proc/sys/vm/dirty_writeback_centisecs";

/// A filesystem whose journal has every second block of a range.
pub fn make(lab: &mut Lab, dev: &Dev) -> Result<()> {
    let path = dev.path();
    lab.must_run(&format!(
        "mke2fs -q -F -t ext4 -b 4096 -O ^has_journal {path} 64M"
    ))?;
    // Taken in the bitmap only, while the journal is made; e2fsck gives them back.
    let mut script = String::new();
    for block in (2000..15000).step_by(2) {
        writeln!(script, "setb {block}")?;
    }
    let taken = lab.run_with(&format!("debugfs -w -f - {path}"), &script)?;
    ensure!(taken.status == 0, "debugfs: {}", taken.output);
    lab.must_run(&format!("tune2fs -O fast_commit -J size=8 {path}"))?;
    let fsck = lab.run(&format!("e2fsck -fy {path}"))?;
    ensure!(fsck.status <= 1, "e2fsck -fy: {fsck:?}");
    lab.find_journal(dev)
}

fn fragmented(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    make(lab, &dev)?;
    let journal: HashSet<u64> = lab.journal(&dev)?.blocks.iter().copied().collect();
    let pieces = lab.journal(&dev)?.sectors().len();
    ensure!(pieces > 100, "the journal has only {pieces} pieces");
    lab.mount(&dev, "dax=always,commit=600,dax_fc_bytelog=on")?;
    // The first operations may bring a full commit.
    lab.measure(&dev, "warm-up", &Spec::new(Kind::Create, 1, 5))?;
    // What full commits have left dirty is not written back meanwhile.
    lab.must_run("sync")?;
    let flusher = lab.call::<String>(Cmd::Read {
        path: FLUSHER.into(),
    })?;
    lab.call::<()>(Cmd::Write {
        path: FLUSHER.into(),
        data: "0".into(),
    })?;
    lab.measure(&dev, "after-sync", &Spec::new(Kind::Create, 2, 5))?;
    let before = Image::open(&dev)?.hashes(BYTES)?;
    let stats = lab.stats(&dev)?;
    for i in 0..60 {
        let path = format!("{}/file{i}", dev.dir());
        lab.must_run(&format!("touch {path}"))?;
        lab.must_run(&format!("sync {path}"))?;
    }
    let now = lab.stats(&dev)?;
    ensure!(
        now.full == stats.full && now.fast - stats.fast >= 60,
        "not fast commits only: {stats:?}, {now:?}"
    );
    let touched = changed(&before, &Image::open(&dev)?.hashes(BYTES)?);
    lab.call::<()>(Cmd::Write {
        path: FLUSHER.into(),
        data: flusher.trim().into(),
    })?;
    ensure!(!touched.is_empty(), "the log is nowhere in the image");
    let outside: Vec<_> = touched.iter().filter(|b| !journal.contains(b)).collect();
    ensure!(
        outside.is_empty(),
        "blocks outside the journal: {outside:?}"
    );

    let spec = Spec::new(Kind::Fast, lab.seed, ENDLESS);
    let acks = lab.cut_during(&[(dev.clone(), spec.clone())], 100)?[0];
    lab.with(Ext4::ByteLog)?;
    lab.mount(&dev, "dax=always,dax_fc_bytelog=on")?;
    nothing_lost(lab, &dev, &spec, acks.fsyncs)?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)
}
