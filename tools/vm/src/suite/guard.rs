// SPDX-License-Identifier: GPL-2.0
//! Who may touch a filesystem whose log holds ByteLog records, and who not.

use super::defects::shut_down_after;
use super::durability::{crash, nothing_lost, ENDLESS};
use super::Test;
use crate::image::{changed, Image, DAX_FC_BYTELOG};
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, BACKEND_NEEDED};
use anyhow::{ensure, Result};
use bytelog_guest::proto::{DeviceKind, MountArgs};
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "crashed-on-is-closed-to-stock-tools",
        run: closed_to_stock,
    },
    Test {
        name: "backups-do-not-drop-a-log",
        run: backups,
    },
    Test {
        name: "mark-follows-the-log",
        run: follows,
    },
    Test {
        name: "tools-on-a-mounted-filesystem",
        run: mounted,
    },
    Test {
        name: "crashed-force-mounts-without-option",
        run: force_without_option,
    },
];

const BYTES: u64 = 128 << 20;
const ON: &str = "dax=always,commit=600,dax_fc_bytelog=on";
/// A new file, after a full commit.
const FSYNCED: &str = "rm -f new
     touch old
     sync
     touch new
     dd if=/dev/null of=new conv=notrunc,fsync";

/// What can be done with a crashed filesystem by those that do not look at the journal.
const HARMLESS: [&str; 3] = ["tune2fs -l", "dumpe2fs -h", "e2label"];

/// Stock e2fsck on a crashed filesystem: it refuses, and changes nothing but what the
/// superblock says of errors.
fn e2fsck_refuses(lab: &mut Lab, dev: &Dev, options: &str, first: u64) -> Result<()> {
    let before = Image::open(dev)?.hashes(BYTES)?;
    let fsck = lab.run(&format!("e2fsck {options} {}", dev.path()))?;
    let label = dev.label();
    ensure!(fsck.status & 12 != 0, "{label}: e2fsck {options}: {fsck:?}");
    let touched = changed(&before, &Image::open(dev)?.hashes(BYTES)?);
    ensure!(
        touched.iter().all(|block| *block < first),
        "{label}: e2fsck {options}: blocks {touched:?} changed"
    );
    Ok(())
}

/// After a crash with `on`, stock ext4 and e2fsck refuse and change nothing, from a backup
/// of the superblock either; after replay and a clean unmount both accept.
fn closed_to_stock(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Fast, lab.seed + 1, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, ",dax_fc_bytelog=on", &spec, 60)?;
    lab.with(Ext4::Stock)?;
    for (dev, acks) in lab.pmem()?.iter().zip(acks) {
        let label = dev.label();
        ensure!(lab.is_marked(dev)?, "{label}: the journal is not marked");
        let has_bit = Image::open(dev)?.incompat()? & DAX_FC_BYTELOG != 0;
        ensure!(!has_bit, "{label}: the feature bit is set");
        let before = Image::open(dev)?.hashes(BYTES)?;
        lab.with(Ext4::Stock)?;
        for opts in ["", "ro"] {
            let refused = lab.try_mount_as(dev, opts)?;
            ensure!(refused.errno != 0, "{label}: stock ext4 mounted ({opts})");
        }
        let mounted = lab.try_mount_as(dev, "noload")?;
        ensure!(mounted.errno == 0, "{label}: noload: {mounted:?}");
        lab.umount(&dev.dir())?;
        for tool in HARMLESS {
            lab.must_run(&format!("{tool} {}", dev.path()))?;
        }
        let touched = changed(&before, &Image::open(dev)?.hashes(BYTES)?);
        ensure!(touched.is_empty(), "{label}: blocks {touched:?} changed");
        for (options, first) in [("-fn", 0), ("-fy", 0), ("-y", 0), ("-p", 1)] {
            e2fsck_refuses(lab, dev, options, first)?;
        }

        lab.with(Ext4::ByteLog)?;
        lab.mount(dev, "dax=always,dax_fc_bytelog=on")?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        ensure!(
            !lab.is_marked(dev)?,
            "{label}: the mark stays after unmount"
        );
        lab.fsck_clean(dev)?;
        lab.with(Ext4::Stock)?;
        lab.mount(dev, "dax=always")?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}

/// Records that no mark guards are replayed all the same, or the mount
/// fails; they are never skipped.
fn force_without_option(lab: &mut Lab) -> Result<()> {
    let spec = Spec::new(Kind::Fast, lab.seed + 2, ENDLESS);
    let acks = crash(lab, Ext4::ByteLog, ",dax_fc_bytelog=force", &spec, 60)?;
    lab.with(Ext4::Patched)?;
    for (dev, acks) in lab.pmem()?.iter().zip(acks) {
        let label = dev.label();
        ensure!(
            !lab.is_marked(dev)?,
            "{label}: force has marked the journal"
        );
        lab.with(Ext4::Patched)?;
        let refused = lab.try_mount(dev, "dax=always")?;
        ensure!(refused.errno != 0, "{label}: mounted without the backend");
        ensure!(any(&refused.log, BACKEND_NEEDED), "{:?}", refused.log);
        lab.with(Ext4::ByteLog)?;
        lab.mount(dev, "dax=always")?;
        nothing_lost(lab, dev, &spec, acks.fsyncs)?;
        let shown = lab.shown_options(&dev.dir())?;
        ensure!(!shown.contains("bytelog"), "{label}: shown: {shown}");
        lab.umount(&dev.dir())?;
        lab.fsck_clean(dev)?;
    }
    Ok(())
}

/// e2fsck that begins with a backup of the superblock meets the same journal.
fn backups(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    lab.mkfs(&dev, "-g 4096", "48M")?;
    lab.mount(&dev, ON)?;
    shut_down_after(lab, &dev, FSYNCED, true)?;
    ensure!(lab.is_marked(&dev)?, "the journal is not marked");
    e2fsck_refuses(lab, &dev, "-b 4096 -B 4096 -fy", 0)?;
    // e2fsck falls back by itself where the first one is gone.
    let sb = Image::open(&dev)?.read(0, 4096)?;
    Image::open(&dev)?.write(0, &[0; 4096])?;
    lab.forget_cache(&dev)?;
    let fsck = lab.run(&format!("e2fsck -fy {}", dev.path()))?;
    ensure!(fsck.status & 12 != 0, "without a superblock: {fsck:?}");
    Image::open(&dev)?.write(0, &sb)?;
    lab.forget_cache(&dev)?;
    lab.mount(&dev, ON)?;
    lab.must_run(&format!("test -e {}/new", dev.dir()))?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)
}

/// The mark is there as long as a log is that it guards, in a journal of either kind.
fn follows(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    let (dev, disk) = (lab.dev(DeviceKind::Sync)?, lab.dev(DeviceKind::Disk)?);
    lab.mkfs(&dev, "", "48M")?;
    follow(lab, &dev, &dev, "dax=always,commit=600")?;
    lab.mkfs_external(&disk, &dev, "48M")?;
    let opts = format!("commit=600,journal_path={}", dev.path());
    follow(lab, &disk, &dev, &opts)
}

fn follow(lab: &mut Lab, dev: &Dev, journal: &Dev, opts: &str) -> Result<()> {
    let on = format!("{opts},dax_fc_bytelog=on");
    let expect = |lab: &mut Lab, mark: bool, when: &str| {
        let found = lab.is_marked(journal)?;
        ensure!(found == mark, "{}: mark {found} {when}", dev.label());
        Ok(())
    };
    lab.mount(dev, &on)?;
    // An empty journal needs none.
    expect(lab, false, "before the first commit")?;
    lab.must_run_with("sh -e", &format!("cd {}\n{FSYNCED}", dev.dir()))?;
    expect(lab, true, "behind a fast commit")?;
    lab.must_run(&format!("fsfreeze --freeze {}", dev.dir()))?;
    expect(lab, false, "while frozen")?;
    lab.must_run(&format!("fsfreeze --unfreeze {}", dev.dir()))?;
    lab.must_run_with("sh -e", &format!("cd {}\n{FSYNCED}", dev.dir()))?;
    expect(lab, true, "after thawing")?;
    lab.umount(&dev.dir())?;
    expect(lab, false, "after the unmount")?;

    // A crash, and a mount that logs conventionally.
    for after in ["off", "on", "ro"] {
        lab.mount(dev, &on)?;
        shut_down_after(lab, dev, FSYNCED, true)?;
        expect(lab, true, "after a crash")?;
        if after == "ro" {
            let args = MountArgs {
                dev: dev.path(),
                dir: dev.dir(),
                opts: opts.into(),
                read_only: true,
                ..MountArgs::default()
            };
            let mounted = lab.try_mount_args(args)?;
            ensure!(mounted.errno == 0, "read-only: {mounted:?}");
        } else {
            lab.mount(dev, &format!("{opts},dax_fc_bytelog={after}"))?;
        }
        if after != "on" {
            expect(lab, false, "after the replay, without ByteLog")?;
        }
        lab.must_run(&format!("test -e {}/new", dev.dir()))?;
        lab.umount(&dev.dir())?;
        expect(lab, false, "after replay and unmount")?;
    }
    // Nobody replays it without the backend.
    lab.mount(dev, &on)?;
    shut_down_after(lab, dev, FSYNCED, true)?;
    lab.with(Ext4::Patched)?;
    let refused = lab.try_mount(dev, opts)?;
    ensure!(refused.errno != 0, "mounted without the backend");
    ensure!(any(&refused.log, BACKEND_NEEDED), "{:?}", refused.log);
    expect(lab, true, "after a mount that failed")?;
    lab.with(Ext4::ByteLog)?;
    lab.mount(dev, opts)?;
    lab.umount(&dev.dir())
}

/// What works while the filesystem is in use, and is still there after a crash.
fn mounted(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    lab.with(Ext4::ByteLog)?;
    let dev = lab.dev(DeviceKind::Sync)?;
    // With room to grow.
    lab.mkfs(&dev, "-g 4096", "48M")?;
    lab.mount(&dev, ON)?;
    lab.must_run_with("sh -e", &format!("cd {}\n{FSYNCED}", dev.dir()))?;
    ensure!(lab.is_marked(&dev)?, "the journal is not marked");
    for tool in HARMLESS {
        lab.must_run(&format!("{tool} {}", dev.path()))?;
    }
    lab.must_run(&format!("tune2fs -L grown -m 3 {}", dev.path()))?;
    lab.must_run(&format!("resize2fs {} 96M", dev.path()))?;
    shut_down_after(lab, &dev, FSYNCED, true)?;
    lab.mount(&dev, ON)?;
    let shown = lab.must_run(&format!("dumpe2fs -h {}", dev.path()))?;
    for line in ["grown", "24576"] {
        ensure!(shown.contains(line), "no {line}: {shown}");
    }
    lab.must_run(&format!("test -e {}/new", dev.dir()))?;
    lab.umount(&dev.dir())?;
    lab.fsck_clean(&dev)
}
