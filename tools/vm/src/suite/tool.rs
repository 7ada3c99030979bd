// SPDX-License-Identifier: GPL-2.0
//! The `bytelog` command on real devices: after a cut its export is replayed by
//! everything that knows nothing of ByteLog, and nothing that was acknowledged is
//! missing.

use super::durability::{nothing_lost, ENDLESS, LARGE_LOG};
use super::fragmented;
use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::{DeviceKind, SHELL_RC};
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "export-after-cut",
        run: after_cut,
    },
    Test {
        name: "export-of-fragmented-and-external-journals",
        run: odd_journals,
    },
    Test {
        name: "map-of-a-mounted-filesystem",
        run: mounted_map,
    },
    Test {
        name: "shell-takes-mke2fs-of-e2fsprogs",
        run: shell,
    },
];

/// The copy of a filesystem that e2fsck and fuse2fs look at.
const COPY: &str = "/tmp/copy.img";

/// The mount option that leaves inode tables as mke2fs has left them.
const KEEP_TABLES: &str = "noinit_itable";

/// Files of the filesystem that was on the device before.
const OLDER: u64 = 100;

/// A filesystem with a job, to be cut, exported and looked at.
pub struct Case {
    dev: Dev,
    spec: Spec,
    /// Options of the command and of the mount for a journal on another device.
    journal: [String; 2],
    acked: u64,
}

impl Case {
    fn new(dev: Dev, spec: Spec) -> Self {
        Self {
            dev,
            spec,
            journal: Default::default(),
            acked: 0,
        }
    }

    /// One that has been cut.
    pub fn acknowledged(dev: Dev, spec: Spec, fsyncs: u64) -> Self {
        Self {
            acked: fsyncs,
            ..Self::new(dev, spec)
        }
    }
}

/// Cuts the power with all workloads running, and boots with stock ext4.
fn cut(lab: &mut Lab, cases: &mut [Case], acks: u64) -> Result<()> {
    for case in cases.iter() {
        let dax = match case.dev.kind {
            DeviceKind::Sync | DeviceKind::Virtio => "dax=always,",
            DeviceKind::Disk | DeviceKind::Nvme => "",
        };
        let options = format!("{dax}commit=600,dax_fc_bytelog=on{}", case.journal[1]);
        lab.mount(&case.dev, &options)?;
    }
    refused_while_mounted(lab, &cases[0])?;
    let jobs: Vec<_> = cases
        .iter()
        .map(|c| (c.dev.clone(), c.spec.clone()))
        .collect();
    for (case, acks) in cases.iter_mut().zip(lab.cut_during(&jobs, acks)?) {
        case.acked = acks.fsyncs;
    }
    lab.with(Ext4::Stock)
}

fn refused_while_mounted(lab: &mut Lab, case: &Case) -> Result<()> {
    let path = case.dev.path();
    lab.must_run(&format!("bytelog info {path}"))?;
    for command in ["export", "disable", "fsck"] {
        let result = lab.run(&format!("bytelog {command} {path}"))?;
        ensure!(
            result.status == 8 && result.output.contains("unmount"),
            "{command} on a mounted device: {result:?}"
        );
    }
    Ok(())
}

/// Exports in place; a stock kernel replays it.
pub fn stock_replays(lab: &mut Lab, case: &Case) -> Result<()> {
    let path = case.dev.path();
    let [with_journal, mount_journal] = &case.journal;
    let mount = mount_journal.trim_start_matches(',');
    let refused = lab.try_mount(&case.dev, mount)?;
    ensure!(refused.errno != 0, "stock ext4 mounted before the export");
    let verdict = lab.must_run(&format!("bytelog verify {with_journal} {path}"))?;
    println!(
        "   {}: {} fsyncs; {}",
        case.dev.label(),
        case.acked,
        last_line(&verdict)
    );
    let done = lab.must_run(&format!("bytelog export {with_journal} {path}"))?;
    for line in done.lines() {
        println!("   {line}");
    }
    lab.mount(&case.dev, mount)?;
    nothing_lost(lab, &case.dev, &case.spec, case.acked)?;
    lab.umount(&case.dev.dir())?;
    lab.fsck_clean(&case.dev)
}

/// Exports a copy; e2fsck replays it, and fuse2fs mounts it.
fn e2fsprogs_replay(lab: &mut Lab, case: &Case) -> Result<()> {
    lab.must_run(&format!("bytelog export --to {COPY} {}", case.dev.path()))?;
    let fsck = lab.run(&format!("e2fsck -fy {COPY}"))?;
    ensure!(fsck.status <= 1, "e2fsck -fy: {fsck:?}");
    let copy = Dev {
        name: "copy".into(),
        kind: case.dev.kind,
    };
    lab.must_run(&format!("mkdir -p {}", copy.dir()))?;
    lab.must_run(&format!("fuse2fs -o ro {COPY} {}", copy.dir()))?;
    nothing_lost(lab, &copy, &case.spec, case.acked)?;
    lab.umount(&copy.dir())?;
    lab.must_run(&format!("rm {COPY}"))?;
    Ok(())
}

fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default()
}

fn after_cut(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let [virtio, sync] = lab.pmem()?;
    for dev in [&virtio, &sync] {
        lab.mkfs(dev, LARGE_LOG, "128M")?;
    }
    let mixed = Spec::new(Kind::Mixed, lab.seed + 11, ENDLESS).sync_dirs();
    let mut cases = [
        // One transaction with many fast commits, and many full commits between.
        Case::new(virtio, Spec::new(Kind::Files, lab.seed + 10, ENDLESS)),
        Case::new(sync, mixed),
    ];
    cut(lab, &mut cases, 200)?;
    for case in &cases {
        e2fsprogs_replay(lab, case)?;
        stock_replays(lab, case)?;
    }
    Ok(())
}

/// Leaves inodes with extents in what will be the inode tables of [`fragmented::make`],
/// which mke2fs does not clear: stock replay would take their extents over.
fn older_files(lab: &mut Lab, dev: &Dev) -> Result<()> {
    fragmented::make(lab, dev)?;
    lab.mount(dev, KEEP_TABLES)?;
    // Longer than what comes after them.
    let files = (0..OLDER).map(|i| {
        let dir = dev.dir();
        format!("dd if=/dev/zero of={dir}/{i} bs=64k count=1\n")
    });
    lab.must_run_with("sh -e", &files.collect::<String>())?;
    lab.umount(&dev.dir())
}

fn odd_journals(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let [virtio, sync] = lab.pmem()?;
    let disk = lab.dev(DeviceKind::Disk)?;
    older_files(lab, &sync)?;
    fragmented::make(lab, &sync)?;
    lab.mkfs_external(&disk, &virtio, "160M")?;
    let journal = virtio.path();
    let mut cases = [
        Case {
            journal: [String::new(), format!(",{KEEP_TABLES}")],
            ..Case::new(sync, Spec::new(Kind::Fast, lab.seed + 12, ENDLESS))
        },
        Case {
            journal: [
                format!("--journal {journal}"),
                format!(",journal_path={journal}"),
            ],
            ..Case::new(disk, Spec::new(Kind::Fast, lab.seed + 13, ENDLESS))
        },
    ];
    cut(lab, &mut cases, 80)?;
    for case in &cases {
        stock_replays(lab, case)?;
    }
    Ok(())
}

/// Stores through DAX pass the block device's page cache by: what is read twice from a
/// mounted device is what is there now.
fn mounted_map(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    for dev in lab.pmem()? {
        lab.mkfs(&dev, LARGE_LOG, "128M")?;
        lab.mount(&dev, "commit=600,dax_fc_bytelog=on")?;
        lab.must_run("sync")?;
        let map = format!("bytelog map {}", dev.path());
        let mut before = lab.must_run(&map)?;
        for round in 0..3 {
            let files = (0..100).map(|i| {
                let dir = dev.dir();
                format!("dd if=/dev/zero of={dir}/{round}-{i} bs=1 count=1 conv=fsync\n")
            });
            lab.must_run_with("sh -e", &files.collect::<String>())?;
            let after = lab.must_run(&map)?;
            let records = |map: &str| map.matches(|cell: char| cell.is_ascii_uppercase()).count();
            ensure!(
                records(&after) > records(&before),
                "{} fsyncs are not on the map: {after}",
                100 * (round + 1)
            );
            before = after;
        }
        lab.umount(&dev.dir())?;
    }
    Ok(())
}

/// The shell of `make vm`. busybox has a program of this name, which knows no types.
fn shell(lab: &mut Lab) -> Result<()> {
    let made = lab.run_with(
        &format!("env ENV={SHELL_RC} busybox sh -i"),
        "mke2fs -q -t ext4 -O fast_commit /tmp/shell.img 8M && dumpe2fs -h /tmp/shell.img
         rm /tmp/shell.img
         exit\n",
    )?;
    let features = made.output.contains("fast_commit") && made.output.contains("extent");
    ensure!(features, "in the shell: {}", made.output.trim());
    Ok(())
}
