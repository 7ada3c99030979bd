// SPDX-License-Identifier: GPL-2.0
//! What ext4's replay makes of a log, and in how many steps, whatever the log describes:
//! large files, files without extents, an area that is full, numbers of orphans.

use super::defect::{Defect, Stock, EVERY_SERIES};
use super::defects::shut_down_after;
use super::shutdown::opts;
use super::Test;
use crate::config::VmConfig;
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::any;
use anyhow::{ensure, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};

pub const TESTS: &[Test] = &[
    Test {
        name: "replay-of-a-hole",
        run: hole,
    },
    Test {
        name: "replay-of-many-extents",
        run: many_extents,
    },
    Test {
        name: "replay-of-1-tib",
        run: large,
    },
    Test {
        name: "stock-log-of-a-file-without-extents",
        run: no_extents,
    },
    Test {
        name: "orphan-number-of-a-new-file",
        run: orphan_number,
    },
];

pub const DEFECTS: &[Defect] = &[Defect {
    name: "stock-defect-area-filled-to-its-end",
    series: EVERY_SERIES,
    run: area_filled,
}];

/// What every step of replay through a file calls.
const STEP: &str = "ext4:ext4_find_extent";
const ON: &str = "dax=always,commit=600,dax_fc_bytelog=on";

/// A new filesystem with ByteLog, mounted.
fn fresh(lab: &mut Lab, mkfs: &str, size: &str) -> Result<Dev> {
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, mkfs, size)?;
    lab.mount(&dev, ON)?;
    Ok(dev)
}

/// What a program says of a file, of a mounted device.
fn stat(lab: &mut Lab, dev: &Dev, format: &str, file: &str) -> Result<String> {
    let said = lab.must_run(&format!("stat -c {format} {}/{file}", dev.dir()))?;
    Ok(said.trim().to_owned())
}

/// Mounts a log and looks for what stat(1) had said of a file; e2fsck is content, too.
/// How many steps the mount took.
fn replayed(lab: &mut Lab, dev: &Dev, file: &str, before: &str) -> Result<u64> {
    let steps = lab.count_calls(STEP, |lab| lab.mount(dev, ON).map(drop))?;
    let after = stat(lab, dev, "%s:%b", file)?;
    lab.umount(&dev.dir())?;
    ensure!(
        after == before,
        "{file}: {after} after replay, not {before}"
    );
    lab.fsck_clean(dev)?;
    Ok(steps)
}

/// Sparse files whose last block is the 65,536th, and the last that a file can have.
fn hole(lab: &mut Lab) -> Result<()> {
    // A shutdown aborts the journal.
    lab.expect_errors();
    for last in [0xffff_u64, 0xffff_fffe] {
        let dev = fresh(lab, "", "48M")?;
        let mut script = String::new();
        for seek in [last, last / 2, 0, last - 9] {
            script +=
                &format!("dd if=/dev/zero of=new bs=4k count=1 seek={seek} conv=notrunc,fsync\n");
        }
        shut_down_after(lab, &dev, &script, true)?;
        let size = (last + 1) * 4096;
        let steps = replayed(lab, &dev, "new", &format!("{size}:32"))?;
        println!("   last block {last}: {steps} steps");
        ensure!(steps < 500, "{steps} steps");
    }
    Ok(())
}

/// A log of many INODEs of a file of many extents.
fn many_extents(lab: &mut Lab) -> Result<()> {
    const EXTENTS: u64 = 300;
    const FSYNCS: u64 = 20;
    lab.expect_errors();
    let dev = fresh(lab, "", "48M")?;
    let script = format!(
        "for i in $(seq {EXTENTS}); do
             dd if=/dev/zero of=new bs=4k count=1 seek=$((i * 2)) conv=notrunc
         done
         sync"
    );
    lab.must_run_with("sh -e", &format!("cd {}\n{script}", dev.dir()))?;
    let before = stat(lab, &dev, "%s:%b", "new")?;
    let script = format!(
        "for i in $(seq {FSYNCS}); do
             touch new
             dd if=/dev/null of=new conv=notrunc,fsync
         done"
    );
    shut_down_after(lab, &dev, &script, true)?;
    let steps = replayed(lab, &dev, "new", &before)?;
    println!("   {EXTENTS} extents, {FSYNCS} INODEs: {steps} steps");
    ensure!(steps < 4 * EXTENTS, "{steps} steps");
    Ok(())
}

/// A file that has so many blocks.
fn large(lab: &mut Lab) -> Result<()> {
    let before = lab.config.clone();
    lab.reconfigure(VmConfig {
        disk_mib: 1100 << 10,
        ..before.clone()
    })?;
    let outcome = one_tib(lab);
    // Other tests follow, whatever this came to.
    lab.reconfigure(before).and(outcome)
}

fn one_tib(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    let (disk, journal) = (lab.dev(DeviceKind::Disk)?, lab.dev(DeviceKind::Sync)?);
    lab.mkfs_external(&disk, &journal, "1080G")?;
    let opts = format!(
        "commit=600,journal_path={},dax_fc_bytelog=on",
        journal.path()
    );
    lab.mount(&disk, &opts)?;
    let path = format!("{}/new", disk.dir());
    lab.must_run(&format!("touch {path}"))?;
    let len = (1 << 40) + (1 << 20);
    lab.call::<()>(Cmd::Preallocate { path, len })?;
    lab.must_run("sync")?;
    let blocks = stat(lab, &disk, "%b", "new")?;
    shut_down_after(
        lab,
        &disk,
        "chmod 600 new\ndd if=/dev/null of=new conv=notrunc,fsync",
        true,
    )?;
    lab.mount(&disk, &opts)?;
    let after = stat(lab, &disk, "%a:%b", "new")?;
    println!("   {after}");
    ensure!(
        after == format!("600:{blocks}"),
        "{after} after replay, not 600:{blocks}"
    );
    lab.umount(&disk.dir())
}

/// A log that stock ext4 has written, and stops at itself.
fn no_extents(lab: &mut Lab) -> Result<()> {
    const REFUSED: &str = "has no extents";
    lab.expect_errors();
    lab.with(Ext4::Stock)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, "", "48M")?;
    lab.mount(&dev, opts(Ext4::Stock))?;
    shut_down_after(
        lab,
        &dev,
        "touch new
         chattr -e new
         sync
         for i in 1 2 3 4 5; do
             dd if=/dev/zero of=new bs=4k count=1 seek=$i conv=notrunc,fsync
         done",
        true,
    )?;
    lab.with(Ext4::ByteLog)?;
    for opts in [opts(Ext4::Patched), ON] {
        let result = lab.try_mount(&dev, opts)?;
        ensure!(result.errno != 0, "{opts}: it is mounted");
        ensure!(any(&result.log, REFUSED), "{opts}: {:?}", result.log);
    }
    let fsck = lab.run(&format!("e2fsck -fy {}", dev.path()))?;
    println!(
        "   e2fsck -fy: exit {}, {}",
        fsck.status,
        fsck.output.trim()
    );
    lab.mount(&dev, ON)?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)?;
    // The mounts that failed have left nothing in the caches of ext4.
    lab.with(Ext4::Patched)
}

/// Fast commits of a block each, as many as the area has blocks; how a mount ends then.
fn filled(lab: &mut Lab, ext4: Ext4) -> Result<String> {
    lab.with(ext4)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, "-J size=4,fast_commit_size=512", "48M")?;
    let blocks = lab.fc_area(&dev)?.len() as u64;
    let opts = opts(Ext4::Patched);
    lab.mount(&dev, opts)?;
    let script = format!(
        "touch old
         sync
         for i in $(seq {blocks}); do
             touch new-$i
             dd if=/dev/null of=new-$i conv=notrunc,fsync
         done"
    );
    lab.must_run_with("sh -e", &format!("cd {}\n{script}", dev.dir()))?;
    let fast = lab.stats(&dev)?.fast;
    ensure!(fast == blocks, "{fast} fast commits in {blocks} blocks");
    shut_down_after(lab, &dev, ":", true)?;
    let result = lab.try_mount(&dev, opts)?;
    if result.errno != 0 {
        return Ok(result.error);
    }
    let listed = lab.must_run(&format!("ls {}", dev.dir()))?;
    let count = listed
        .split_whitespace()
        .filter(|name| name.starts_with("new-"));
    let count = count.count() as u64;
    ensure!(count == blocks, "{count} files of {blocks}");
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)?;
    Ok(String::new())
}

fn area_filled(lab: &mut Lab, stock: Stock) -> Result<()> {
    lab.expect_errors();
    let ours = filled(lab, Ext4::Patched)?;
    ensure!(ours.is_empty(), "patched: {ours}");
    let seen = filled(lab, Ext4::Stock)?;
    // Not by unloading ext4: after such a mount stock leaves objects in one of its caches.
    lab.power_off()?;
    let said = if seen.is_empty() { "fine" } else { &seen };
    stock.expect(!seen.is_empty(), said)
}

/// A new file with blocks behind its end, whose number the file of orphans has.
fn orphan_number(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    let dev = fresh(lab, "-O orphan_file", "48M")?;
    let script = "touch old
         sync
         exec 3<old
         number=$(stat -c %i old)
         rm old
         sync
         exec 3<&-
         echo new >new
         [ $(stat -c %i new) = $number ]";
    lab.must_run_with("sh -e", &format!("cd {}\n{script}", dev.dir()))?;
    let path = format!("{}/new", dev.dir());
    lab.call::<()>(Cmd::Preallocate { path, len: 1 << 16 })?;
    let before = stat(lab, &dev, "%s:%b", "new")?;
    ensure!(before == "4:128", "{before}");
    shut_down_after(lab, &dev, "dd if=/dev/null of=new conv=notrunc,fsync", true)?;
    replayed(lab, &dev, "new", &before).map(drop)
}
