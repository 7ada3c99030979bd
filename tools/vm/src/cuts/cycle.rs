// SPDX-License-Identifier: GPL-2.0
//! One seed: fresh filesystems, threads and a database on both pmem devices, a cut,
//! perhaps more of them in replay, a whole replay, and the oracle.

use super::plan::{Layout, Mode, Plan};
use super::power::FS_MIB;
use super::threads::{Thread, Work};
use super::{power, replay, Lost, Tally};
use crate::host::Tear;
use crate::lab::fs::accepted;
use crate::lab::{Dev, Lab};
use anyhow::{anyhow, Context, Result};
use bytelog_guest::proto::{DeviceKind, MountResult};
use std::collections::HashSet;

/// Sizes of a block in bytes, and of a journal on a device of its own.
const BLOCK: u64 = 4096;
const JOURNAL_MIB: u64 = 16;

pub fn run(lab: &mut Lab, seed: u64, mode: Mode) -> Result<Tally> {
    let mut plan = Plan::new(seed, mode);
    let mut tally = Tally::default();
    let threads = cut(lab, &mut plan, &mut tally)?;
    replay::cut(lab, &mut plan, &mut tally)?;
    lab.with(plan.ext4)?;
    for dev in devices(lab, &plan)? {
        let opts = options(lab, &plan)?;
        let log = mounted(&dev, lab.try_mount(&dev, &opts)?)?;
        tally.replayed += replay::count(&log);
        for thread in threads.iter().filter(|thread| thread.dev == dev) {
            thread.judge(lab)?;
        }
        lab.umount(&dev.dir())?;
        clean(&dev, lab.fsck_findings(&dev)?)?;
    }
    lab.check_console()?;
    Ok(tally)
}

/// What the kernel logged of the mount after a cut. One that it refuses is a loss; of a
/// machine without an answer nobody knows.
fn mounted(dev: &Dev, result: MountResult) -> Result<Vec<String>> {
    let log = accepted(result).with_context(|| format!("mount {}", dev.label()));
    log.context(Lost)
}

/// The same of what e2fsck found.
fn clean(dev: &Dev, findings: Option<String>) -> Result<()> {
    match findings {
        None => Ok(()),
        Some(said) => Err(anyhow!("e2fsck of {}: {said}", dev.label()).context(Lost)),
    }
}

/// Runs the threads and cuts the power.
fn cut(lab: &mut Lab, plan: &mut Plan, tally: &mut Tally) -> Result<Vec<Thread>> {
    lab.with(plan.ext4)?;
    let mut threads = Vec::new();
    let opts = options(lab, plan)?;
    for (device, dev) in (0..).zip(devices(lab, plan)?) {
        let size = format!("{FS_MIB}M");
        match plan.layout {
            Layout::Internal => {
                lab.mkfs(&dev, plan.mkfs, &size)?;
                if let Some(number) = plan.number {
                    lab.number_journal(&dev, number)?;
                }
            }
            Layout::External { journal, .. } => {
                let journal = lab.dev(journal)?;
                lab.mkfs_external_with(&dev, &journal, &size, BLOCK, JOURNAL_MIB)?;
            }
        }
        lab.mount(&dev, &opts)?;
        for thread in 0..plan.threads {
            let work = Work::Files(plan.job(device, thread));
            threads.push(Thread::new(&dev, &format!("thread{thread}"), work));
        }
        let work = Work::Database(plan.database(device));
        threads.push(Thread::new(&dev, "database", work));
    }
    let mut requests = Vec::new();
    for thread in &threads {
        requests.push(thread.start(lab)?);
    }
    lab.vm()?.wait_total(&requests, plan.acks)?;
    let tear = tear(lab, plan)?;
    power::wait(lab, plan.at_flush, plan.delay, &mut tally.held)?;
    let acks = power::cut(lab, plan, &tear, &requests, tally)?;
    for (thread, request) in threads.iter_mut().zip(&requests) {
        thread.acked = acks.get(request).map(|acks| acks.fsyncs);
        let acked = thread.acked.unwrap_or(0);
        match thread.work {
            Work::Files(_) => tally.steps += acked,
            Work::Database(_) => tally.transactions += acked,
        }
    }
    power::keep()?;
    Ok(threads)
}

/// What survives of virtio-pmem at the next cut.
pub fn tear(lab: &mut Lab, plan: &mut Plan) -> Result<Tear> {
    let dev = lab.dev(DeviceKind::Virtio)?;
    let fine = match plan.layout {
        Layout::External {
            journal: DeviceKind::Sync,
            ..
        } => HashSet::new(),
        _ => lab.fc_area(&dev)?.into_iter().collect(),
    };
    Ok(Tear {
        seed: plan.tears.u64(..),
        fine,
        nothing: false,
    })
}

/// The devices with a filesystem.
fn devices(lab: &mut Lab, plan: &Plan) -> Result<Vec<Dev>> {
    Ok(match plan.layout {
        Layout::Internal => lab.pmem()?.into(),
        Layout::External { data, .. } => vec![lab.dev(data)?],
    })
}

/// What they are mounted with. On a disk sizes are in the order of the writes
/// only without delayed allocation.
pub fn options(lab: &mut Lab, plan: &Plan) -> Result<String> {
    let files = if plan.layout.on_disk() {
        "nodelalloc"
    } else {
        "dax=always"
    };
    Ok(match plan.layout {
        Layout::Internal => format!("{files},{}", plan.opts),
        Layout::External { journal, .. } => {
            let journal = lab.dev(journal)?.path();
            format!("{files},{},journal_path={journal}", plan.opts)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_mount_and_what_e2fsck_finds_are_losses() {
        let refused = MountResult {
            errno: 117,
            error: "Structure needs cleaning".into(),
            log: vec!["why".into()],
        };
        let dev = Dev {
            name: "pmem0".into(),
            kind: DeviceKind::Virtio,
        };
        assert!(mounted(&dev, refused).unwrap_err().is::<Lost>());
        let found = Some("wrong".into());
        assert!(clean(&dev, found).unwrap_err().is::<Lost>());
        clean(&dev, None).unwrap();
    }
}
