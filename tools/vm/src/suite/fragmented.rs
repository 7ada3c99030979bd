// SPDX-License-Identifier: GPL-2.0
//! A journal in pieces: the log goes into it, and nowhere else.

use super::durability::{nothing_lost, ENDLESS};
use super::Test;
use crate::image::{changed, Image};
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{bail, ensure, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::{Kind, Spec};
use std::collections::HashSet;
use std::fmt::Write;

pub const TESTS: &[Test] = &[Test {
    name: "fragmented-journal",
    run: fragmented,
}];

const BYTES: u64 = 64 << 20;

/// Tries that find the journal at rest.
const TRIES: u32 = 8;

/// A filesystem whose journal has every second block of a range.
pub fn make(lab: &mut Lab, dev: &Dev) -> Result<()> {
    let path = dev.path();
    // A mount would clear the inode tables at a time that nobody can tell.
    lab.must_run(&format!(
        "mke2fs -q -F -t ext4 -b 4096 -O ^has_journal -E lazy_itable_init=0 {path} 64M"
    ))?;
    // Taken in the bitmap only, while the journal is made; e2fsck gives them back.
    let mut script = String::new();
    for block in (2000..15000).step_by(2) {
        writeln!(script, "setb {block}")?;
    }
    lab.must_run_with(&format!("debugfs -w -f - {path}"), &script)?;
    lab.must_run(&format!("tune2fs -O fast_commit -J size=8 {path}"))?;
    let fsck = lab.run(&format!("e2fsck -fy {path}"))?;
    ensure!(fsck.status <= 1, "e2fsck -fy: {fsck:?}");
    lab.find_journal(dev)
}

/// Files of that name and a number, each made and synced.
fn touch(lab: &mut Lab, dev: &Dev, name: &str, count: u32) -> Result<()> {
    for i in 0..count {
        let path = format!("{}/{name}{i}", dev.dir());
        lab.must_run(&format!("touch {path}"))?;
        lab.must_run(&format!("sync {path}"))?;
    }
    Ok(())
}

/// Until fast commits alone follow a sync: what a full commit leaves dirty is written in
/// place at a time that nobody can tell.
fn settle(lab: &mut Lab, dev: &Dev) -> Result<()> {
    for i in 0..TRIES {
        lab.must_run("sync")?;
        let synced = lab.stats(dev)?;
        touch(lab, dev, &format!("settle{i}-"), 5)?;
        if lab.stats(dev)?.full == synced.full {
            return Ok(());
        }
    }
    bail!("a full commit after each of {TRIES} syncs")
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
    settle(lab, &dev)?;
    let before = Image::open(&dev)?.hashes(BYTES)?;
    let stats = lab.stats(&dev)?;
    touch(lab, &dev, "file", 60)?;
    let now = lab.stats(&dev)?;
    ensure!(
        now.full == stats.full && now.fast - stats.fast >= 60,
        "not fast commits only: {stats:?}, {now:?}"
    );
    let touched = changed(&before, &Image::open(&dev)?.hashes(BYTES)?);
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
