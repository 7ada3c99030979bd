// SPDX-License-Identifier: GPL-2.0
//! Defects of ext4's own fast commits, which are there on a stock mount. They
//! are kept out of the other tests; here they are shown on stock, and that
//! ByteLog does not have them.

use super::durability::crash;
use super::Test;
use crate::lab::{Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "stock-defect-link-counts-after-mkdir",
        run: |lab| not_ours(lab, Kind::Mkdir),
    },
    Test {
        name: "stock-defect-removed-directories",
        run: |lab| not_ours(lab, Kind::Rmdir),
    },
    Test {
        name: "stock-defect-directory-that-grows",
        run: |lab| not_ours(lab, Kind::Files),
    },
    Test {
        name: "stock-defect-fsync-of-an-unlinked-file",
        run: |lab| not_ours(lab, Kind::UnlinkOpen),
    },
    Test {
        name: "stock-defect-writes-into-preallocated-blocks",
        run: |lab| not_ours(lab, Kind::Prealloc),
    },
];

const FINE: &str = "nothing wrong";

/// 230 bytes in front of a name.
const LONG: &str = match core::str::from_utf8(&[b'n'; 230]) {
    Ok(name) => name,
    Err(_) => "",
};

/// What a crash leads to: whether it mounts, and what is wrong then.
fn outcome(lab: &mut Lab, ext4: Ext4, opts: &str, kind: Kind) -> Result<String> {
    let ops = if kind == Kind::Rmdir { 400 } else { 2000 };
    // Names so long that a directory of some 15 files grows.
    let (name, acks) = match kind {
        Kind::Files => (LONG, 60),
        _ => ("", 20),
    };
    let spec = Spec::new(kind, lab.seed, ops).prefix(name);
    let acks = crash(lab, ext4, opts, &spec, acks)?[1];
    lab.with(ext4)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    let result = lab.try_mount(&dev, &format!("dax=always{opts}"))?;
    if result.errno != 0 {
        lab.power_off()?;
        return Ok(format!("the mount fails: {}", result.error));
    }
    let verdict = lab.judge(&dev, &spec, acks.fsyncs)?;
    let what = match verdict.diffs.first() {
        None => FINE.to_owned(),
        Some(diff) if diff.contains("links") => "wrong link counts".to_owned(),
        Some(diff) => diff.clone(),
    };
    lab.umount(&dev.dir())?;
    let fsck = lab.run(&format!("e2fsck -fn {}", dev.path()))?;
    let what = match fsck.status {
        0 => what,
        _ if what == FINE => "e2fsck -fn is not content".to_owned(),
        _ => what,
    };
    // Not by unloading ext4: after such a replay it complains about objects that
    // are left in one of its caches.
    lab.power_off()?;
    Ok(what)
}

/// Stock has the defect, ByteLog has not: the module commits in full what ext4
/// cannot replay, and the hook patch tracks what ext4 forgets to.
fn not_ours(lab: &mut Lab, kind: Kind) -> Result<()> {
    let stock = outcome(lab, Ext4::Stock, "", kind)?;
    let ours = outcome(lab, Ext4::ByteLog, ",dax_fc_bytelog=on", kind)?;
    println!("   stock: {stock}; ByteLog: {ours}");
    ensure!(stock != FINE, "stock has the defect no more");
    ensure!(ours == FINE, "{ours}");
    Ok(())
}
