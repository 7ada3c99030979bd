// SPDX-License-Identifier: GPL-2.0
//! The journal on pmem, the filesystem on a disk: what is refused, what it costs,
//! and what a cut of both leaves.

use super::durability::{nothing_lost, ENDLESS};
use super::Test;
use crate::lab::{Dev, Ext4, Lab};
use crate::messages::{any, BLOCK_SIZE, IN_USE, NO_DAX_DEVICE};
use anyhow::{ensure, Context, Result};
use bytelog_guest::blocks::How;
use bytelog_guest::proto::{Cmd, DeviceKind, IoCounts};
use bytelog_guest::workload::{Kind, Spec};

pub const TESTS: &[Test] = &[
    Test {
        name: "external-journal-attaches",
        run: attaches,
    },
    Test {
        name: "external-journal-on-a-partition",
        run: partitions,
    },
    Test {
        name: "external-journal-declined",
        run: declined,
    },
    Test {
        name: "external-io-synchronous",
        run: |lab| io(lab, DeviceKind::Sync, 0),
    },
    Test {
        name: "external-io-virtio",
        run: |lab| io(lab, DeviceKind::Virtio, 1),
    },
    Test {
        name: "external-cut-loses-nothing",
        run: cuts,
    },
    Test {
        name: "external-cut-of-untorn-writes",
        run: untorn,
    },
];

/// What is said of file data on a disk.
const FLUSHED: &str = "a device that is flushed";

const SIZE: &str = "160M";
const FSYNCS: u64 = 60;

fn options(journal: &Dev) -> String {
    format!(
        "commit=600,journal_path={},dax_fc_bytelog=on",
        journal.path()
    )
}

/// A filesystem on the disk with its journal on a pmem device, both fresh.
fn fresh(lab: &mut Lab, kind: DeviceKind) -> Result<(Dev, Dev)> {
    lab.with(Ext4::ByteLog)?;
    let (disk, journal) = (lab.dev(DeviceKind::Disk)?, lab.dev(kind)?);
    lab.mkfs_external(&disk, &journal, SIZE)?;
    Ok((disk, journal))
}

fn attaches(lab: &mut Lab) -> Result<()> {
    for kind in [DeviceKind::Sync, DeviceKind::Virtio] {
        let (disk, journal) = fresh(lab, kind)?;
        let log = lab.mount(&disk, &options(&journal))?;
        ensure!(any(&log, IN_USE), "not in use: {log:?}");
        ensure!(any(&log, FLUSHED), "no word of the data: {log:?}");
        let shown = lab.shown_options(&disk.dir())?;
        ensure!(shown.contains("dax_fc_bytelog=on"), "not shown: {shown}");
        ensure!(!shown.contains("dax=always"), "DAX for files: {shown}");
        lab.umount(&disk.dir())?;
        lab.fsck_clean(&disk)?;
    }
    Ok(())
}

/// Partitions of a pmem device: one on a page's border, one beside it. The device
/// is given by its number, as fstab or the superblock may have it.
fn partitions(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let (disk, pmem) = (lab.dev(DeviceKind::Disk)?, lab.dev(DeviceKind::Sync)?);
    let script = "o\nn\np\n1\n2048\n+80M\nn\np\n2\n200001\n+80M\nw\n";
    lab.partition(&pmem, script)?;
    for (part, says) in [(1, IN_USE), (2, NO_DAX_DEVICE)] {
        let journal = Dev {
            name: format!("{}p{part}", pmem.name),
            ..pmem.clone()
        };
        lab.mkfs_external(&disk, &journal, SIZE)?;
        let numbers: String = lab.call(Cmd::Read {
            path: format!("/sys/class/block/{}/dev", journal.name),
        })?;
        let (major, minor) = numbers.trim().split_once(':').context("device number")?;
        let (major, minor) = (major.parse::<u64>()?, minor.parse::<u64>()?);
        // As new_encode_dev() of the kernel has it.
        let number = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
        let log = lab.mount(&disk, &format!("journal_dev={number},dax_fc_bytelog=on"))?;
        ensure!(any(&log, says), "partition {part}: {log:?}");
        lab.must_run(&format!("cp /init {}/file", disk.dir()))?;
        lab.must_run(&format!("sync {}/file", disk.dir()))?;
        lab.umount(&disk.dir())?;
        lab.fsck_clean(&disk)?;
    }
    lab.unpartition(&pmem)
}

/// A journal that cannot be mapped: served as stock, and said so.
fn declined(lab: &mut Lab) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let (disk, pmem) = (lab.dev(DeviceKind::Disk)?, lab.dev(DeviceKind::Sync)?);
    for (data, journal, block, says) in [
        (&pmem, &disk, 4096, NO_DAX_DEVICE),
        (&disk, &pmem, 1024, BLOCK_SIZE),
    ] {
        lab.mkfs_external_with(data, journal, SIZE, block, 64)?;
        let log = lab.mount(data, &options(journal))?;
        ensure!(any(&log, says), "no \"{says}\" in {log:?}");
        let shown = lab.shown_options(&data.dir())?;
        ensure!(!shown.contains("bytelog"), "shown as active: {shown}");
        lab.must_run(&format!("cp /init {}/file", data.dir()))?;
        lab.must_run(&format!("sync {}/file", data.dir()))?;
        lab.umount(&data.dir())?;
        lab.fsck_clean(data)?;
    }
    Ok(())
}

/// `flushes`: of the journal's device, per fast commit.
fn io(lab: &mut Lab, kind: DeviceKind, flushes: u64) -> Result<()> {
    let (disk, journal) = fresh(lab, kind)?;
    lab.mount(&disk, &options(&journal))?;
    let seed = lab.seed;
    let spec = |kind| Spec::new(kind, seed, FSYNCS);
    // No data, data that the commit describes, and data that it does not.
    let workloads = [
        (spec(Kind::Create), 0),
        (spec(Kind::Append).size(4096), 1),
        (spec(Kind::Blocks), 1),
        (spec(Kind::Blocks).how(How::Direct).prefix("direct"), 1),
    ];
    for (spec, data_flushes) in workloads {
        let sub = format!("{:?}{:?}", spec.kind, spec.how);
        let io: IoCounts = lab.measure(&disk, &sub, &spec)?;
        ensure!(
            io.full == 0 && io.fast == io.fsyncs,
            "{spec:?}: not one fast commit per fsync: {io:?}"
        );
        ensure!(io.journal_writes == 0, "{spec:?}: log writes: {io:?}");
        // Two writes within one tick of the clock: the second has nothing to log.
        ensure!(
            io.flushes <= flushes * io.fsyncs && io.flushes >= flushes * io.fsyncs * 3 / 4,
            "{spec:?}: not {flushes} flushes per fsync: {io:?}"
        );
        ensure!(
            io.data_flushes == data_flushes * io.fsyncs,
            "{spec:?}: not {data_flushes} flushes of the data per fsync: {io:?}"
        );
    }
    lab.umount(&disk.dir())
}

fn cuts(lab: &mut Lab) -> Result<()> {
    let seed = lab.seed;
    let (sync, virtio, disk) = (DeviceKind::Sync, DeviceKind::Virtio, DeviceKind::Disk);
    let jobs = [
        (disk, sync, Kind::Blocks, How::Write),
        (disk, virtio, Kind::Blocks, How::Direct),
        (disk, sync, Kind::Blocks, How::Mmap),
        (disk, virtio, Kind::Mixed, How::Write),
        // Files through DAX.
        (virtio, sync, Kind::Blocks, How::Write),
        (virtio, sync, Kind::Blocks, How::Mmap),
        (sync, virtio, Kind::Mixed, How::Write),
    ];
    for (data, journal, work, how) in jobs {
        one_cut(lab, data, journal, work, how)?;
        lab.seed += 1;
    }
    lab.seed = seed;
    Ok(())
}

/// Untorn writes need a disk that has them.
fn untorn(lab: &mut Lab) -> Result<()> {
    lab.power_off()?;
    lab.config.nvme = true;
    let outcome = one_cut(
        lab,
        DeviceKind::Nvme,
        DeviceKind::Sync,
        Kind::Blocks,
        How::Atomic,
    );
    lab.config.nvme = false;
    outcome?;
    lab.power_off()
}

fn one_cut(
    lab: &mut Lab,
    data: DeviceKind,
    journal: DeviceKind,
    work: Kind,
    how: How,
) -> Result<()> {
    lab.with(Ext4::ByteLog)?;
    let (disk, journal) = (lab.dev(data)?, lab.dev(journal)?);
    lab.mkfs_external(&disk, &journal, SIZE)?;
    let dax = match data {
        DeviceKind::Disk | DeviceKind::Nvme => "",
        DeviceKind::Sync | DeviceKind::Virtio => "dax=always,",
    };
    let options = format!("{dax}{}", options(&journal));
    lab.mount(&disk, &options)?;
    let spec = Spec::new(work, lab.seed, ENDLESS).how(how);
    let acks = lab.cut_during(&[(disk.clone(), spec.clone())], 120)?[0];
    lab.with(Ext4::ByteLog)?;
    lab.mount(&disk, &options)?;
    println!(
        "   {work:?} {how:?}, data on {}, journal on {}: {} fsyncs",
        disk.label(),
        journal.label(),
        acks.fsyncs
    );
    nothing_lost(lab, &disk, &spec, acks.fsyncs)?;
    lab.umount(&disk.dir())?;
    lab.fsck_clean(&disk)
}
