// SPDX-License-Identifier: GPL-2.0
//! Cuts while a mount replays.

use super::plan::{Plan, ReplayCut};
use super::{cycle, power, Tally};
use crate::host::Tear;
use crate::lab::Lab;
use crate::messages;
use anyhow::Result;
use bytelog_guest::proto::Cmd;
use std::thread::sleep;
use std::time::Duration;

/// The console shows lines of this level and more urgent ones: now all of them, so
/// that the beginning of a replay can be seen.
const PRINTK: &str = "/proc/sys/kernel/printk";

/// Mounts a device and cuts the power at a moment of its replay.
pub fn cut(
    lab: &mut Lab,
    plan: &Plan,
    moment: ReplayCut,
    tear: &Tear,
    tally: &mut Tally,
) -> Result<()> {
    lab.check_console()?;
    lab.call::<()>(Cmd::Write {
        path: PRINTK.into(),
        data: "7".into(),
    })?;
    let opts = cycle::options(lab, plan)?;
    let dev = lab.pmem()?[moment.device].clone();
    let request = lab.start_mount(&dev, &opts)?;
    let vm = lab.vm()?;
    let begun = loop {
        if vm.console.shows_new(messages::REPLAYING)? {
            break true;
        }
        // Nothing to replay after all.
        if vm.answered(request)? {
            break false;
        }
        sleep(Duration::from_millis(1));
    };
    power::wait(lab, begun && moment.at_flush, moment.delay, &mut tally.held)?;
    let vm = lab.vm()?;
    let over = vm.answered(request)?;
    tally.in_replay += u64::from(begun && !over);
    power::cut(lab, plan, tear, &[request], tally)?;
    Ok(())
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
