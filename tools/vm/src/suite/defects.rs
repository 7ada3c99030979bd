// SPDX-License-Identifier: GPL-2.0
//! Defects of ext4's own fast commits, which are there on a stock mount. They
//! are kept out of the other tests; here they are shown on stock, and that
//! ByteLog does not have them.

use super::defect::{Defect, Stock, EVERY_SERIES};
use super::durability::crash;
use super::shutdown::opts;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::{Cmd, DeviceKind, Shutdown};
use bytelog_guest::workload::{Kind, Spec};

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "stock-defect-link-counts-after-mkdir",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, Kind::Mkdir, "wrong link counts"),
    },
    Defect {
        name: "stock-defect-removed-directories",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, Kind::Rmdir, "e2fsck -fn is not content"),
    },
    Defect {
        name: "stock-defect-directory-that-grows",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, Kind::Files, "e2fsck -fn is not content"),
    },
    Defect {
        name: "stock-defect-fsync-of-an-unlinked-file",
        series: EVERY_SERIES,
        run: |lab, stock| {
            not_ours(
                lab,
                stock,
                Kind::UnlinkOpen,
                "the mount fails: Structure needs cleaning",
            )
        },
    },
    Defect {
        name: "stock-defect-tmpfile-that-gets-a-name",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, Kind::Tmpfile, "missing"),
    },
    Defect {
        name: "stock-defect-writes-into-preallocated-blocks",
        series: EVERY_SERIES,
        run: |lab, stock| not_ours(lab, stock, Kind::Prealloc, "contents differ"),
    },
    Defect {
        name: "stock-defect-number-of-an-orphan-used-again",
        series: EVERY_SERIES,
        run: number_used_again,
    },
    Defect {
        name: "stock-defect-list-of-orphans",
        series: EVERY_SERIES,
        run: list_of_orphans,
    },
    Defect {
        name: "stock-defect-inode-table-of-the-filesystem-before",
        series: EVERY_SERIES,
        run: table_not_zeroed,
    },
    Defect {
        name: "stock-defect-read-only-mount-of-a-log",
        series: &["7.2"],
        run: read_only,
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
    // Not by unloading ext4: after such a replay stock complains about objects that
    // are left in one of its caches.
    if ext4 == Ext4::Stock {
        lab.power_off()?;
    }
    Ok(what)
}

/// Stock has the defect, ByteLog does not: the hook logs and replays what stock ext4
/// gets wrong.
fn not_ours(lab: &mut Lab, stock: Stock, kind: Kind, defect: &str) -> Result<()> {
    let ours = outcome(lab, Ext4::ByteLog, ",dax_fc_bytelog=on", kind)?;
    ensure!(ours == FINE, "{ours}");
    lab.expect_errors();
    let seen = outcome(lab, Ext4::Stock, "", kind)?;
    let known = seen == FINE || seen.contains(defect);
    ensure!(known, "stock fails otherwise: {seen}");
    stock.expect(seen != FINE, seen)
}

/// Runs a script that ends in a commit, a fast one perhaps, in a mounted filesystem, and
/// shuts it down: what is not in the log is lost.
pub(super) fn shut_down_after(lab: &mut Lab, dev: &Dev, script: &str, fast: bool) -> Result<()> {
    let dir = dev.dir();
    lab.must_run_with("sh -e", &format!("cd {dir}\n{script}"))?;
    ensure!(!fast || lab.stats(dev)?.fast > 0, "no fast commit");
    let how = Shutdown::NoFlush;
    lab.call::<()>(Cmd::Shutdown { dir, how })?;
    lab.umount(&dev.dir())
}

/// Has debugfs do something with a filesystem that is not mounted.
fn debugfs(lab: &mut Lab, dev: &Dev, command: &str) -> Result<String> {
    lab.must_run_with(&format!("debugfs -w -f - {}", dev.path()), command)
}

/// The xattrs, after replay, of a file that has its number from an orphan with one.
fn inherited(lab: &mut Lab, ext4: Ext4) -> Result<String> {
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.with(ext4)?;
    lab.mkfs(&dev, "", "48M")?;
    lab.mount(&dev, opts(ext4))?;
    lab.must_run(&format!("touch {}/old", dev.dir()))?;
    lab.umount(&dev.dir())?;
    debugfs(lab, &dev, "ea_set old user.kept 1")?;
    lab.mount(&dev, opts(ext4))?;
    shut_down_after(
        lab,
        &dev,
        "exec 3<old
         number=$(stat -c %i old)
         rm old
         sync
         exec 3<&-
         touch new
         [ $(stat -c %i new) = $number ]
         dd if=/dev/null of=new conv=notrunc,fsync",
        true,
    )?;
    lab.mount(&dev, opts(ext4))?;
    lab.umount(&dev.dir())?;
    debugfs(lab, &dev, "ea_list new")
}

/// Step 12 of the hook patch.
fn number_used_again(lab: &mut Lab, stock: Stock) -> Result<()> {
    const KEPT: &str = "user.kept";
    lab.expect_errors();
    let seen = inherited(lab, Ext4::Stock)?;
    let seen = format!("after replay the xattrs are {:?}", seen.trim());
    stock.expect(seen.contains(KEPT), seen)?;
    let ours = inherited(lab, Ext4::ByteLog)?;
    ensure!(!ours.contains(KEPT), "ByteLog: the xattrs are {ours:?}");
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.fsck_clean(&dev)
}

/// Mounts, looks for the file that was synced last, and has e2fsck look: how that exits.
fn replayed_and_checked(lab: &mut Lab, dev: &Dev, opts: &str) -> Result<i32> {
    lab.mount(dev, opts)?;
    lab.must_run(&format!("test -e {}/new", dev.dir()))?;
    lab.umount(&dev.dir())?;
    Ok(lab.run(&format!("e2fsck -fn {}", dev.path()))?.status)
}

/// Two orphans on the list in the superblock, and a file that has the number of the
/// first on it when the log ends: what e2fsck says after replay.
fn chain(lab: &mut Lab, ext4: Ext4) -> Result<i32> {
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.with(ext4)?;
    lab.mkfs(&dev, "-O ^orphan_file", "48M")?;
    lab.mount(&dev, opts(ext4))?;
    shut_down_after(
        lab,
        &dev,
        "touch far near
         exec 3<far
         exec 4<near
         number=$(stat -c %i near)
         rm far
         rm near
         sync
         touch fast
         dd if=/dev/null of=fast conv=notrunc,fsync
         exec 4<&-
         touch new
         [ $(stat -c %i new) = $number ]
         dd if=/dev/null of=new conv=notrunc,fsync",
        true,
    )?;
    replayed_and_checked(lab, &dev, opts(ext4))
}

/// Step 27 of the hook patch.
fn list_of_orphans(lab: &mut Lab, stock: Stock) -> Result<()> {
    lab.expect_errors();
    let (seen, ours) = (chain(lab, Ext4::Stock)?, chain(lab, Ext4::ByteLog)?);
    ensure!(ours == 0, "ByteLog: e2fsck -fn: exit {ours}");
    stock.expect(seen != 0, format!("e2fsck -fn: exit {seen}"))
}

/// New inodes where another filesystem had some, in a table that has not been zeroed:
/// what e2fsck says after replay.
fn second_filesystem(lab: &mut Lab, ext4: Ext4) -> Result<i32> {
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.with(ext4)?;
    lab.mkfs(&dev, "", "48M")?;
    lab.mount(&dev, opts(ext4))?;
    let old = "for i in $(seq 40); do dd if=/dev/zero of=old$i bs=64k count=2; done";
    lab.must_run_with("sh -e", &format!("cd {}\n{old}", dev.dir()))?;
    lab.umount(&dev.dir())?;
    lab.mkfs(&dev, "-E lazy_itable_init=1,nodiscard", "48M")?;
    lab.mount(&dev, &format!("{},noinit_itable", opts(ext4)))?;
    // The first block of the table is full then, and the second has not been written.
    shut_down_after(
        lab,
        &dev,
        "touch 1 2 3
         dd if=/dev/zero of=large bs=64k count=200
         [ $(stat -c %i large) = 16 ]
         sync
         touch short
         rm short
         touch new
         dd if=/dev/null of=new conv=notrunc,fsync",
        true,
    )?;
    replayed_and_checked(lab, &dev, &format!("{},noinit_itable", opts(ext4)))
}

/// Step 30 of the hook patch.
fn table_not_zeroed(lab: &mut Lab, stock: Stock) -> Result<()> {
    lab.expect_errors();
    let seen = second_filesystem(lab, Ext4::Stock)?;
    let ours = second_filesystem(lab, Ext4::ByteLog)?;
    ensure!(ours == 0, "ByteLog: e2fsck -fn: exit {ours}");
    stock.expect(seen != 0, format!("e2fsck -fn: exit {seen}"))
}

/// Mounts a log read-only; returns the error, and has looked for what was synced if
/// there is none.
fn mounted_read_only(lab: &mut Lab, ext4: Ext4) -> Result<i32> {
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.with(ext4)?;
    lab.mkfs(&dev, "", "48M")?;
    lab.mount(&dev, opts(ext4))?;
    shut_down_after(
        lab,
        &dev,
        "touch old\nsync\ntouch new\ndd if=/dev/null of=new conv=notrunc,fsync",
        true,
    )?;
    let result = lab.try_mount(&dev, &format!("ro,{}", opts(ext4)))?;
    if result.errno == 0 {
        lab.must_run(&format!("test -e {}/new", dev.dir()))?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(&dev)?;
    }
    Ok(result.errno)
}

/// Step 17 of the hook patch, which 7.3 does without. Stock that has the defect warns in
/// the kernel log, too.
fn read_only(lab: &mut Lab, stock: Stock) -> Result<()> {
    const WARNING: &str = "at ext4_journal_check_start";
    lab.expect_errors();
    let ours = mounted_read_only(lab, Ext4::ByteLog)?;
    ensure!(ours == 0, "ByteLog: error {ours}");
    lab.check_console()?;
    let seen = mounted_read_only(lab, Ext4::Stock)?;
    stock.expect(seen != 0, format!("error {seen}"))?;
    if stock.has {
        let warns = lab.console_tail(200).contains(WARNING);
        ensure!(warns, "stock fails otherwise");
        lab.abandon();
    }
    Ok(())
}
