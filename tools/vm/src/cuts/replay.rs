// SPDX-License-Identifier: GPL-2.0
//! Cuts while a mount replays.

use super::plan::{Plan, ReplayCut};
use super::{cycle, power, Tally};
use crate::lab::Lab;
use crate::messages;
use anyhow::{Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind};
use std::thread::sleep;
use std::time::Duration;

/// The console shows lines of this level and more urgent ones: now all of them, so
/// that the beginning of a replay can be seen.
const PRINTK: &str = "/proc/sys/kernel/printk";

/// Cuts the power in replay as often as the seed says, each time of the same
/// filesystem's log if there is still one.
pub fn cut(lab: &mut Lab, plan: &mut Plan, tally: &mut Tally) -> Result<()> {
    let mut device = plan.replay_device;
    let mut cut_before = None;
    for moment in plan.replay_cuts.clone() {
        let tear = cycle::tear(lab, plan)?;
        lab.check_console()?;
        lab.call::<()>(Cmd::Write {
            path: PRINTK.into(),
            data: "7".into(),
        })?;
        let mount = begin(lab, plan, device)?;
        device = mount.device;
        let hit = mount.replays && meet(lab, &mount, moment, tally)?;
        tally.in_replay += u64::from(hit);
        tally.again += u64::from(hit && cut_before == Some(device));
        if hit {
            cut_before = Some(device);
        }
        power::cut(lab, plan, &tear, &mount.requests, tally)?;
        power::keep()?;
    }
    Ok(())
}

/// A mount that has begun to replay, or there is nothing to replay on any device.
struct Mount {
    replays: bool,
    device: usize,
    /// Its own is the last.
    requests: Vec<u64>,
}

/// Mounts one of the pmem devices, and the other one if that has nothing to replay.
fn begin(lab: &mut Lab, plan: &Plan, first: usize) -> Result<Mount> {
    let opts = cycle::options(lab, plan)?;
    let devices = lab.pmem()?;
    let mut mount = Mount {
        replays: false,
        device: first,
        requests: Vec::new(),
    };
    for device in [first, devices.len() - 1 - first] {
        let request = lab.start_mount(&devices[device], &opts)?;
        mount.requests.push(request);
        let vm = lab.vm()?;
        loop {
            // In this order: what it has said before its end is seen.
            let over = vm.answered(request)?;
            mount.replays = vm.console.shows_new(messages::REPLAYING)?;
            if over || mount.replays {
                break;
            }
            sleep(Duration::from_millis(1));
        }
        if mount.replays {
            mount.device = device;
            break;
        }
    }
    Ok(mount)
}

/// Waits for the moment of the cut. True if the mount is still going on.
fn meet(lab: &mut Lab, mount: &Mount, moment: ReplayCut, tally: &mut Tally) -> Result<bool> {
    // The host is not asked to flush the other device: its replay would be over.
    let flushed = lab.pmem()?[mount.device].kind == DeviceKind::Virtio;
    power::wait(
        lab,
        moment.at_flush && flushed,
        moment.delay,
        &mut tally.held,
    )?;
    let request = mount.requests.last().context("no mount")?;
    Ok(!lab.vm()?.answered(*request)?)
}

/// Fast commits that a mount has replayed, by its log: "replaying N fast commits".
pub fn count(log: &[String]) -> u64 {
    let lines = log.iter().filter_map(|line| {
        let (_, rest) = line.split_once(messages::REPLAYING)?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    lines.sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn counts_fast_commits() {
        let log = ["pmem1: replaying 12 fast commits of transaction 3", "other"];
        assert_eq!(super::count(&log.map(String::from)), 12);
    }
}
