// SPDX-License-Identifier: GPL-2.0
//! What a fast commit cannot say is committed in full, and under a reason that is true;
//! how long that lasts; and who asks what a fast commit holds.

use super::defect::{Defect, Stock, EVERY_SERIES};
use super::defects::shut_down_after;
use super::shutdown::opts;
use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};

pub const TESTS: &[Test] = &[
    Test {
        name: "rename-over-another-spelling",
        run: spelling,
    },
    Test {
        name: "dax-io-takes-no-lock",
        run: no_lock,
    },
    Test {
        name: "reasons-are-true",
        run: reasons,
    },
    Test {
        name: "large-commits-are-full",
        run: large,
    },
];

pub const DEFECTS: &[Defect] = &[Defect {
    name: "stock-defect-ineligible-without-a-transaction",
    series: EVERY_SERIES,
    run: no_transaction,
}];

const ON: &str = "dax=always,commit=600,dax_fc_bytelog=on";

fn fresh(lab: &mut Lab, ext4: Ext4, mkfs: &str) -> Result<Dev> {
    lab.with(ext4)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, mkfs, "48M")?;
    Ok(dev)
}

fn script(lab: &mut Lab, dev: &Dev, script: &str) -> Result<String> {
    lab.must_run_with("sh -e", &format!("cd {}\n{script}", dev.dir()))
}

/// Fast commits of a journal with high numbers, after a resize that had nothing to do.
fn fast_afterwards(lab: &mut Lab, ext4: Ext4) -> Result<u64> {
    let dev = fresh(lab, ext4, "")?;
    lab.number_journal(&dev, 0x8000_0010)?;
    lab.mount(&dev, opts(ext4))?;
    script(lab, &dev, "touch old\nsync")?;
    let blocks = (48 << 20) / 4096;
    let dir = dev.dir();
    lab.call::<()>(Cmd::Resize { dir, blocks })?;
    // The first commit after this is a full one, and may be the second.
    let once = "touch new\ndd if=/dev/null of=new conv=notrunc,fsync\n";
    script(lab, &dev, &once.repeat(3))?;
    let before = lab.stats(&dev)?.fast;
    script(lab, &dev, &once.repeat(5))?;
    let fast = lab.stats(&dev)?.fast - before;
    lab.umount(&dev.dir())?;
    Ok(fast)
}

fn no_transaction(lab: &mut Lab, stock: Stock) -> Result<()> {
    for ext4 in [Ext4::ByteLog, Ext4::Patched] {
        let fast = fast_afterwards(lab, ext4)?;
        ensure!(fast == 5, "{ext4:?}: {fast} fast commits of 5");
    }
    let fast = fast_afterwards(lab, Ext4::Stock)?;
    stock.expect(fast == 0, format!("{fast} fast commits of 5"))
}

/// In a directory in which the two names are one.
fn spelling(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    let dev = fresh(lab, Ext4::ByteLog, "-O casefold")?;
    lab.mount(&dev, ON)?;
    shut_down_after(
        lab,
        &dev,
        "mkdir d
         chattr +F d
         touch d/Name
         sync
         touch d/other
         dd if=/dev/null of=d/other conv=notrunc,fsync
         mv d/other d/NAME
         dd if=/dev/null of=d/NAME conv=notrunc,fsync",
        true,
    )?;
    lab.mount(&dev, ON)?;
    let listed = lab.must_run(&format!("ls {}/d", dev.dir()))?;
    lab.umount(&dev.dir())?;
    ensure!(listed.trim() == "Name", "after replay: {listed:?}");
    lab.fsck_clean(&dev)
}

/// Reads and writes, without faults, of a file whose inode is in the running transaction.
fn no_lock(lab: &mut Lab) -> Result<()> {
    let dev = fresh(lab, Ext4::ByteLog, "")?;
    lab.mount(&dev, ON)?;
    script(lab, &dev, "dd if=/dev/zero of=new bs=64k count=4")?;
    let asked = lab.count_calls("ext4:ext4_fc_backend_sync_fault", |lab| {
        script(
            lab,
            &dev,
            "dd if=new of=/dev/null bs=4k
             dd if=/dev/zero of=new bs=4k count=16 conv=notrunc",
        )
        .map(drop)
    })?;
    ensure!(asked == 0, "asked {asked} times");
    lab.umount(&dev.dir())
}

/// The count of a reason in fc_info.
fn count(lab: &mut Lab, dev: &Dev, reason: &str) -> Result<u64> {
    let path = format!("/proc/fs/ext4/{}/fc_info", dev.name);
    let info: String = lab.call(Cmd::Read { path })?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(&format!("\"{reason}\":")));
    let count = line.with_context(|| format!("no {reason:?} in {info}"))?;
    Ok(count.trim().parse()?)
}

fn reasons(lab: &mut Lab) -> Result<()> {
    const WRONG: [&str; 2] = ["Dir renamed", "Extended attributes changed"];
    // With checksums an inode's generation stays.
    let dev = fresh(lab, Ext4::ByteLog, "-O ^metadata_csum")?;
    lab.mount(&dev, ON)?;
    script(lab, &dev, "touch plain\nsync")?;
    let label = format!("tune2fs -L label {}", dev.path());
    for (reason, line) in [
        (
            "File without extents",
            "touch old\nchattr -e old\nsync\necho old >old",
        ),
        ("Inode generation changed", "chattr -v 5 plain"),
        ("Superblock changed", &label),
    ] {
        let before = count(lab, &dev, reason)?;
        script(lab, &dev, line)?;
        let after = count(lab, &dev, reason)?;
        ensure!(after > before, "{reason}: {before}, then {after}");
        for wrong in WRONG {
            let count = count(lab, &dev, wrong)?;
            ensure!(count == 0, "{reason}: {count} of {wrong:?}");
        }
    }
    lab.umount(&dev.dir())
}

/// A commit is full where that takes fewer instructions, unless a device is flushed.
fn large(lab: &mut Lab) -> Result<()> {
    const REASON: &str = "Cheaper in full";
    let files = |n: u64| format!("for i in $(seq {n}); do : >file-{n}-$i; done\nfile=file-{n}-1");
    let names = |n: u64| format!("for i in $(seq {n}); do ln old name-{n}-$i; done\nfile=old");
    lab.with(Ext4::ByteLog)?;
    for (kind, flushed) in [(DeviceKind::Sync, false), (DeviceKind::Virtio, true)] {
        let dev = lab.dev(kind)?;
        // All of it fits in the log.
        lab.mkfs(&dev, "-J size=8,fast_commit_size=2048", "48M")?;
        lab.mount(&dev, ON)?;
        script(lab, &dev, "touch old\nsync")?;
        for (what, work, full) in [
            ("140 files", files(140), false),
            ("180 files", files(180), true),
            ("400 names", names(400), false),
        ] {
            let full = u64::from(full && !flushed);
            let reason = count(lab, &dev, REASON)?;
            let before = lab.stats(&dev)?;
            let work = format!("{work}\ndd if=/dev/null of=$file conv=notrunc,fsync");
            script(lab, &dev, &work)?;
            let after = lab.stats(&dev)?;
            let found = (
                after.fast - before.fast,
                after.full - before.full,
                count(lab, &dev, REASON)? - reason,
            );
            let want = (1 - full, full, full);
            if found != want {
                let path = format!("/proc/fs/ext4/{}/fc_info", dev.name);
                let info: String = lab.call(Cmd::Read { path })?;
                bail!("{kind:?}, {what}: {found:?}, not {want:?}: {info}");
            }
        }
        lab.umount(&dev.dir())?;
        lab.fsck_clean(&dev)?;
    }
    Ok(())
}
