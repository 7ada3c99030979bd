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
        name: "stock-defect-fsync-of-an-unlinked-file",
        run: |lab| not_ours(lab, Kind::UnlinkOpen),
    },
    Test {
        name: "stock-defect-writes-into-preallocated-blocks",
        run: |lab| not_ours(lab, Kind::Prealloc),
    },
];

const FINE: &str = "nothing wrong";

/// What a crash leads to: whether it mounts, and what is wrong then.
fn outcome(lab: &mut Lab, ext4: Ext4, opts: &str, kind: Kind) -> Result<String> {
    let spec = Spec::new(kind, lab.seed, 2000);
    let acks = crash(lab, ext4, opts, &spec, 20)?[1];
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
