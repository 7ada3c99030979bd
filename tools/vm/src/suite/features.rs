// SPDX-License-Identifier: GPL-2.0
//! What ext4's fast commits cannot replay of features that a filesystem may have: shown
//! on stock, and that ByteLog commits it in full. Journals with high numbers.

use super::defect::{Defect, Stock, EVERY_SERIES};
use super::defects::shut_down_after;
use super::durability::{crash_of, nothing_lost, ENDLESS, LARGE_LOG};
use super::Test;
use crate::image::Image;
use crate::lab::{Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::DeviceKind;
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[Test {
    name: "cut-loses-nothing-high-numbers",
    run: high_numbers,
}];

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "stock-defect-file-without-extents",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, &NO_EXTENTS),
    },
    Defect {
        name: "stock-defect-data-that-leave-the-inode",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, &INLINE_DATA),
    },
    Defect {
        name: "stock-defect-quota-usage",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, &QUOTA),
    },
    Defect {
        name: "stock-defect-zeroed-for-want-of-a-block",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, &NO_BLOCK),
    },
];

/// Files that are synced in a fast commit, on stock at least, and what must be there
/// after a mount that replays it.
struct Case {
    mkfs: &'static str,
    mount: &'static str,
    script: &'static str,
    /// Succeeds if all that was synced is there.
    check: &'static str,
    /// Part of what becomes of it on stock.
    stock: &'static str,
}

/// Step 34 of the hook patch.
const NO_EXTENTS: Case = Case {
    mkfs: "",
    mount: "dax=always,",
    script: "dd if=/dev/zero of=new bs=4k count=3
        sync
        chattr -e new
        sync
        for i in 1 2 3 4 5; do yes $i | dd of=new bs=4k count=1 seek=$i conv=notrunc; done
        dd if=/dev/null of=new conv=notrunc,fsync
        touch new-2
        dd if=/dev/null of=new-2 conv=notrunc,fsync",
    check: "for i in 1 2 3 4 5; do dd if=new bs=4k count=1 skip=$i | grep -q ^$i; done",
    stock: "kernel BUG at",
};

/// Step 34, too. There is no DAX of files that may be in their inodes.
const INLINE_DATA: Case = Case {
    mkfs: "-I 256 -O inline_data",
    mount: "",
    script: "echo short >new
        sync
        yes long | dd of=new bs=4k count=4 conv=notrunc,fsync
        touch new-2
        dd if=/dev/null of=new-2 conv=notrunc,fsync",
    check: "[ $(stat -c %s new) = 16384 ] && ! grep -q short new",
    stock: "the mount fails: Structure needs cleaning",
};

/// Step 37.
const QUOTA: Case = Case {
    mkfs: "-O quota",
    mount: "dax=always,",
    script: "touch old
        sync
        dd if=/dev/zero of=new bs=4k count=100 conv=fsync",
    check: "[ $(stat -c %s new) = 409600 ]",
    stock: "QUOTA WARNING",
};

/// Step 35. The root of the tree is full, and so is the filesystem: the extent from
/// block 8 on cannot be split.
const NO_BLOCK: Case = Case {
    mkfs: "-m 0",
    mount: "dax=always,",
    script: "for i in 0 2 4; do dd if=/dev/zero of=new bs=4k count=1 seek=$i conv=notrunc; done
        fallocate -o 32768 -l 262144 new
        echo 0 >/sys/fs/ext4/$(basename $(mount | grep \" $PWD \" | cut -d' ' -f1))/reserved_clusters
        dd if=/dev/zero of=full bs=64k || true
        dd if=/dev/zero of=full-2 bs=4k || true
        sync
        for i in 40 42; do
            yes $i | dd of=new bs=4k count=1 seek=$i conv=notrunc,fsync
        done",
    check: "for i in 40 42; do dd if=new bs=4k count=1 skip=$i | grep -q ^$i; done",
    stock: "the mount fails: No space left",
};

/// What is wrong after replay, or nothing.
fn outcome(lab: &mut Lab, ext4: Ext4, case: &Case) -> Result<String> {
    let dev = lab.dev(DeviceKind::Sync)?;
    let option = match ext4 {
        Ext4::ByteLog => ",dax_fc_bytelog=on",
        _ => "",
    };
    let opts = format!("{}commit=600{option}", case.mount);
    lab.with(ext4)?;
    lab.mkfs(&dev, case.mkfs, "48M")?;
    // In some kernels it is built in. Without it the mount fails.
    let _ = lab.modprobe("quota_v2", false);
    lab.mount(&dev, &opts)?;
    shut_down_after(lab, &dev, case.script, ext4 == Ext4::Stock)?;
    let result = lab.try_mount(&dev, &opts)?;
    if result.errno != 0 {
        return Ok(format!("the mount fails: {}", result.error));
    }
    let script = format!("cd {}\n{}", dev.dir(), case.check);
    let there = lab.run_with("sh -e", &script)?;
    lab.umount(&dev.dir())?;
    let fsck = lab.run(&format!("e2fsck -fn {}", dev.path()))?;
    Ok(match (there.status, fsck.status) {
        (0, 0) if !fsck.output.contains("WARNING") => String::new(),
        (0, _) => format!("e2fsck: {}", fsck.output.trim()),
        _ => "what was synced is not there".to_owned(),
    })
}

fn not_ours(lab: &mut Lab, stock: Stock, case: &Case) -> Result<()> {
    // A shutdown aborts the journal.
    lab.expect_errors();
    let ours = outcome(lab, Ext4::ByteLog, case)?;
    ensure!(ours.is_empty(), "ByteLog: {ours}");
    lab.check_console()?;
    let seen = outcome(lab, Ext4::Stock, case)
        .unwrap_or_else(|err| format!("{err:#}\n{}", lab.console_tail(200)));
    let known = seen.is_empty() || seen.contains(case.stock);
    ensure!(known, "stock fails otherwise: {seen}");
    let defective = !seen.is_empty();
    stock.expect(defective, if defective { case.stock } else { "fine" })?;
    // What stock has made of it is nobody's business.
    lab.abandon();
    Ok(())
}

/// Where counting wraps, as a number and as a difference of numbers. e2fsck gives a
/// journal that it makes anew a random number.
fn high_numbers(lab: &mut Lab) -> Result<()> {
    for first in [0x7fff_fff0, 0x9000_0000, 0xffff_fff0] {
        let opts = ",dax_fc_bytelog=on";
        let spec = Spec::new(Kind::Mixed, lab.seed + u64::from(first), ENDLESS).sync_dirs();
        let acks = crash_of(lab, Ext4::ByteLog, opts, &spec, 120, |lab, dev| {
            lab.mkfs(dev, LARGE_LOG, "128M")?;
            lab.number_journal(dev, first)
        })?;
        lab.with(Ext4::ByteLog)?;
        for (dev, acks) in lab.pmem()?.iter().zip(acks) {
            let full = acks.last.full - acks.first.full;
            ensure!(full >= 5, "{full} full commits");
            let number = Image::open(dev)?.journal_number(lab.journal(dev)?)?;
            // The superblock is written now and then.
            ensure!(number.wrapping_sub(first) < 1000, "number {number:#x}");
            lab.mount(dev, &format!("dax=always{opts}"))?;
            nothing_lost(lab, dev, &spec, acks.fsyncs)?;
            lab.umount(&dev.dir())?;
            lab.fsck_clean(dev)?;
        }
    }
    Ok(())
}
