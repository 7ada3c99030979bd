// SPDX-License-Identifier: GPL-2.0
//! A filesystem that is shut down while processes work on it, by its ioctl or because
//! its device is gone: they get errors and end, it can be unmounted, and the next
//! mount in the same boot has everything that was acknowledged.

use super::defect::{Defect, Stock, EVERY_SERIES};
use super::Test;
use crate::cuts::{keep, keep_as, replayed, Thread, Work};
use crate::lab::{Dev, Ext4, Lab, WORKLOAD};
use anyhow::{ensure, Context, Result};
use bytelog_guest::database::{self, Mode};
use bytelog_guest::proto::{Cmd, Hello, Shutdown};
use bytelog_guest::stress::Job;

pub const TESTS: &[Test] = &[
    Test {
        name: "fault-shutdown-ioctl",
        run: by_ioctl,
    },
    Test {
        name: "fault-pmem-driver-unbound",
        run: |lab| by_unbinding(lab, Driver::NdPmem),
    },
    Test {
        name: "fault-virtio-driver-unbound",
        run: |lab| by_unbinding(lab, Driver::VirtioPmem),
    },
];

pub const DEFECTS: &[Defect] = &[Defect {
    name: "stock-defect-unmount-of-mapped-files-without-device",
    series: EVERY_SERIES,
    run: stock_unmount,
}];

/// Options of a mount that commits only when asked to.
pub(super) fn opts(ext4: Ext4) -> &'static str {
    match ext4 {
        Ext4::ByteLog => "dax=always,commit=600,dax_fc_bytelog=on",
        Ext4::Stock | Ext4::Patched => "dax=always,commit=600",
    }
}

/// Tries to show a defect that not every shutdown meets.
const ROUNDS: u64 = 12;

/// Steps and transactions that come before.
const ACKS: u64 = 150;

/// What works on a filesystem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crew {
    /// Nothing that makes ext4 commit in full: there is a log to replay.
    pub calm: bool,
    /// Files are mapped as well.
    pub mapped: bool,
}

impl Crew {
    fn members(self, seed: u64) -> Vec<(&'static str, Work)> {
        let files = |seed, calm| {
            Work::Files(Job {
                seed,
                calm,
                aligned: false,
                mapped: self.mapped,
                member: None,
            })
        };
        let database = |seed, mode| {
            Work::Database(database::Job {
                seed,
                mode,
                page: 4096,
            })
        };
        let mut members = vec![
            ("thread0", files(seed, true)),
            ("thread1", files(seed + 1, self.calm)),
        ];
        // SQLite maps the index of its log.
        if self.mapped {
            members.push(("log", database(seed + 2, Mode::Wal)));
        }
        if !self.calm {
            members.push(("rollback", database(seed + 3, Mode::DeleteExtra)));
        }
        members
    }
}

/// Fresh filesystems, and a crew at work on each; `round` makes them others each
/// time.
pub(super) fn at_work(
    lab: &mut Lab,
    ext4: Ext4,
    devs: &[Dev],
    crew: Crew,
    round: u64,
) -> Result<Vec<(u64, Thread)>> {
    lab.with(ext4)?;
    let mut threads = Vec::new();
    for (dev, number) in devs.iter().zip(0..) {
        lab.mkfs(dev, "-J size=8,fast_commit_size=2048", "48M")?;
        lab.mount(dev, opts(ext4))?;
        let seed = (lab.seed << 16) + (round << 8) + (number << 4);
        for (name, work) in crew.members(seed) {
            threads.push(Thread::new(dev, name, work));
        }
    }
    let mut started = Vec::new();
    for thread in threads {
        started.push((thread.start_apart(lab)?, thread));
    }
    let requests: Vec<u64> = started.iter().map(|(request, _)| *request).collect();
    lab.vm()?.wait_total(&requests, ACKS)?;
    Ok(started)
}

/// Waits until all threads have failed.
pub(super) fn ended(lab: &mut Lab, started: Vec<(u64, Thread)>) -> Result<Vec<Thread>> {
    let mut threads = Vec::new();
    for (request, mut thread) in started {
        let vm = lab.vm()?;
        let what = format!("the end of the work in {}", thread.dir);
        vm.finish_failed(request, &what, WORKLOAD)?;
        thread.acked = vm.acks()?.get(&request).map(|acks| acks.fsyncs);
        threads.push(thread);
    }
    Ok(threads)
}

/// Mounts what was unmounted, and compares it with what was acknowledged. Returns
/// how many fast commits were replayed.
fn all_there(lab: &mut Lab, ext4: Ext4, dev: &Dev, threads: &[Thread]) -> Result<u64> {
    let log = lab.mount(dev, opts(ext4))?;
    for thread in threads.iter().filter(|thread| thread.dev == *dev) {
        let said = || format!("the mount said: {}", log.join(" | "));
        if let Err(err) = thread.judge(lab) {
            keep_as(lab.seed, &format!("{err:#}"))?;
            return Err(err).with_context(said);
        }
    }
    lab.umount(&dev.dir())?;
    lab.fsck_clean(dev)?;
    Ok(replayed(&log))
}

/// Says what a round came to.
fn report(what: &str, threads: &[Thread], replayed: u64) {
    let acked: u64 = threads.iter().filter_map(|thread| thread.acked).sum();
    println!("   {what}: {acked} steps acknowledged, {replayed} fast commits replayed");
}

/// Shuts both filesystems down while they are worked on, and mounts them again. Returns
/// how many fast commits were replayed of each.
fn shut_down(lab: &mut Lab, how: Shutdown, calm: bool, round: u64) -> Result<Vec<u64>> {
    let ext4 = Ext4::ByteLog;
    let devs = lab.pmem()?;
    let crew = Crew { calm, mapped: true };
    let started = at_work(lab, ext4, &devs, crew, round)?;
    for dev in &devs {
        let dir = dev.dir();
        lab.call::<()>(Cmd::Shutdown { dir, how })?;
    }
    let threads = ended(lab, started)?;
    lab.umount_all()?;
    keep()?;
    let mut replayed = Vec::new();
    for dev in &devs {
        replayed.push(all_there(lab, ext4, dev, &threads).with_context(|| format!("{how:?}"))?);
    }
    report(&format!("{how:?}"), &threads, replayed.iter().sum());
    Ok(replayed)
}

fn by_ioctl(lab: &mut Lab) -> Result<()> {
    lab.expect_errors();
    let rounds = [
        (Shutdown::Freeze, false),
        (Shutdown::Flush, true),
        (Shutdown::Flush, false),
        (Shutdown::NoFlush, true),
        (Shutdown::NoFlush, false),
    ];
    // A shutdown can come right behind a full commit: then once more.
    let more = [(Shutdown::NoFlush, true); 4];
    // Of each device, where nothing was committed at the end.
    let mut replayed = vec![0; lab.pmem()?.len()];
    for ((how, calm), round) in rounds.into_iter().chain(more).zip(0..) {
        if round >= rounds.len() as u64 && !replayed.contains(&0) {
            break;
        }
        let of_round = shut_down(lab, how, calm, round)?;
        if how == Shutdown::NoFlush {
            for (all, one) in replayed.iter_mut().zip(of_round) {
                *all += one;
            }
        }
    }
    ensure!(
        !replayed.contains(&0),
        "fast commits replayed on each device: {replayed:?}"
    );
    Ok(())
}

/// Whose device goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    NdPmem,
    VirtioPmem,
}

impl Driver {
    /// Where sysfs has the driver.
    fn dir(self) -> &'static str {
        match self {
            Self::NdPmem => "/sys/bus/nd/drivers/nd_pmem",
            Self::VirtioPmem => "/sys/bus/virtio/drivers/virtio_pmem",
        }
    }

    /// How the names of its devices begin.
    fn stem(self) -> &'static str {
        match self {
            Self::NdPmem => "namespace",
            Self::VirtioPmem => "virtio",
        }
    }

    /// The device of this driver that a block device is of, if there is one.
    fn device(self, lab: &mut Lab, dev: &Dev) -> Result<Option<String>> {
        let path = lab.must_run(&format!("readlink -f /sys/block/{}/device", dev.name))?;
        let mut parts = path.trim().split('/');
        let found = parts.find(|part| part.starts_with(self.stem()));
        Ok(found.map(str::to_owned))
    }
}

/// Takes the device away from a filesystem that is worked on, and gives it back.
fn unbound(lab: &mut Lab, driver: Driver, ext4: Ext4, crew: Crew, round: u64) -> Result<u64> {
    let (mut devs, mut devices) = (Vec::new(), Vec::new());
    for dev in lab.pmem()? {
        if let Some(device) = driver.device(lab, &dev)? {
            devs.push(dev);
            devices.push(device);
        }
    }
    ensure!(!devs.is_empty(), "{driver:?} has no device");
    let before = lab.vm()?.hello.devices.clone();
    let started = at_work(lab, ext4, &devs, crew, round)?;
    let write = |lab: &mut Lab, file: &str, device: &str| {
        lab.call::<()>(Cmd::Write {
            path: format!("{}/{file}", driver.dir()),
            data: device.to_owned(),
        })
        .with_context(|| format!("{file} {device}"))
    };
    for device in &devices {
        write(lab, "unbind", device)?;
    }
    let threads = ended(lab, started)?;
    for dev in &devs {
        let there = lab.run(&format!("ls /sys/block/{}", dev.name))?;
        ensure!(there.status != 0, "{} is still there", dev.label());
        lab.umount(&dev.dir())?;
    }
    for device in &devices {
        write(lab, "bind", device)?;
    }
    keep()?;
    let now: Hello = lab.call(Cmd::Hello)?;
    ensure!(
        now.devices == before,
        "other devices than before: {:?}",
        now.devices
    );
    let mut replayed = 0;
    for dev in &devs {
        replayed += all_there(lab, ext4, dev, &threads)?;
    }
    report(&format!("{driver:?}"), &threads, replayed);
    Ok(replayed)
}

fn by_unbinding(lab: &mut Lab, driver: Driver) -> Result<()> {
    lab.expect_errors();
    for (calm, round) in [(true, 0), (false, 1)] {
        let mapped = false;
        let crew = Crew { calm, mapped };
        unbound(lab, driver, Ext4::ByteLog, crew, round)?;
    }
    // The kernel may take virtio-pmem for synchronous from now on.
    lab.power_off()
}

/// With files that are mapped, an unmount without the device accesses memory that is
/// gone with it, and so does the end of the process that has mapped them.
fn stock_unmount(lab: &mut Lab, stock: Stock) -> Result<()> {
    const WHERE: [&str; 2] = [
        "RIP: 0010:dax_layout_busy_page_range",
        "RIP: 0010:__zap_vma_range",
    ];
    lab.expect_errors();
    for round in 0..ROUNDS {
        let (calm, mapped) = (true, true);
        let crew = Crew { calm, mapped };
        let outcome = unbound(lab, Driver::NdPmem, Ext4::Stock, crew, round);
        let said = match outcome {
            Ok(_) => continue,
            Err(_) => lab.console_tail(60),
        };
        if let Some(place) = WHERE.iter().find(|place| said.contains(**place)) {
            stock.expect(true, place)?;
            lab.abandon();
            return Ok(());
        }
        outcome?;
    }
    // Then the tests above can map files, too.
    stock.expect(false, "survives it")
}
