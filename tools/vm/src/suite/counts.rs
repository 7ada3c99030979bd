// SPDX-License-Identifier: GPL-2.0
//! What a fast commit costs: block writes, flushes, and room in the log.

use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::{DeviceKind, IoCounts};
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "io-synchronous-none",
        run: |lab| io(lab, DeviceKind::Sync, 0, 0),
    },
    Test {
        name: "io-virtio-flushes-only",
        run: |lab| io(lab, DeviceKind::Virtio, 1, 2),
    },
    Test {
        name: "log-holds-eight-times-more",
        run: room,
    },
];

const FSYNCS: u64 = 100;

/// `metadata` and `data`: flushes per fast commit without and with file data.
fn io(lab: &mut Lab, kind: DeviceKind, metadata: u64, data: u64) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(kind)?;
    lab.mkfs(&dev, "", "128M")?;
    lab.mount(&dev, "dax=always,commit=600,dax_fc_bytelog=on")?;
    let seed = lab.seed;
    let spec = |kind| Spec::new(kind, seed, FSYNCS);
    for spec in [spec(Kind::Create), spec(Kind::Rename), spec(Kind::Unlink)] {
        let io = measured(lab, &dev, &spec)?;
        ensure!(io.other_writes == 0, "{spec:?}: data writes: {io:?}");
        flushed(&spec, &io, metadata, metadata)?;
    }
    // Blocks are allocated, and described; each is cleared by a write of its own.
    let blocks = spec(Kind::Append).size(4096);
    let io = measured(lab, &dev, &blocks)?;
    ensure!(io.other_writes <= io.fsyncs, "data writes: {io:?}");
    flushed(&blocks, &io, data, data)?;
    // Within a block nothing is allocated: the commit describes the size only.
    let bytes = spec(Kind::Append).prefix("small");
    let io = measured(lab, &dev, &bytes)?;
    ensure!(io.other_writes <= io.fsyncs / 40 + 1, "data writes: {io:?}");
    flushed(&bytes, &io, metadata, data)?;
    lab.umount(&dev.dir())
}

/// One fast commit per fsync, and no block write to the journal.
fn measured(lab: &mut Lab, dev: &Dev, spec: &Spec) -> Result<IoCounts> {
    let sub = format!("{:?}{}", spec.kind, spec.size);
    let io = lab.measure(dev, &sub, spec)?;
    ensure!(
        io.full == 0 && io.fast == io.fsyncs,
        "{spec:?}: not one fast commit per fsync: {io:?}"
    );
    ensure!(io.journal_writes == 0, "{spec:?}: log writes: {io:?}");
    Ok(io)
}

fn flushed(spec: &Spec, io: &IoCounts, least: u64, most: u64) -> Result<()> {
    let allowed = least * io.fsyncs..=most * io.fsyncs;
    ensure!(
        allowed.contains(&io.flushes),
        "{spec:?}: expected {allowed:?} flushes: {io:?}"
    );
    Ok(())
}

/// Fast commits between two full ones, of 100-byte appends.
fn fast_per_full(lab: &mut Lab, dev: &Dev, opts: &str, fsyncs: u64) -> Result<u64> {
    lab.mkfs(dev, "", "128M")?;
    lab.mount(dev, &format!("dax=always,commit=600{opts}"))?;
    let spec = Spec::new(Kind::Append, lab.seed, fsyncs);
    let result = lab.work(dev, &spec)?;
    lab.umount(&dev.dir())?;
    let full = result.after.full - result.before.full;
    ensure!(full > 0, "no full commit in {fsyncs} fsyncs");
    Ok((result.after.fast - result.before.fast) / full)
}

fn room(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::Stock)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    let stock = fast_per_full(lab, &dev, "", 400)?;
    lab.with(Ext4::ByteLog)?;
    let ours = fast_per_full(lab, &dev, ",dax_fc_bytelog=on", 3000)?;
    println!("   fast commits per full commit: stock {stock}, ByteLog {ours}");
    ensure!(ours >= 8 * stock, "stock {stock}, ByteLog {ours}");
    Ok(())
}
