// SPDX-License-Identifier: GPL-2.0
//! A cut, by killing the machine or by a picture of what that would leave.

use super::plan::Plan;
use super::Tally;
use crate::channel::Acks;
use crate::config;
use crate::host::Tear;
use crate::lab::Lab;
use anyhow::{Context, Result};
use bytelog_guest::proto::Cmd;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Size of the filesystems.
pub const FS_MIB: u64 = 48;

/// For what still runs in the machine after a picture.
const STOP: Duration = Duration::from_secs(120);

/// How long a flush is waited for that the cut is to meet.
const FLUSH: Duration = Duration::from_millis(500);

/// Waits for the moment of a cut: for `delay`, and before that for a flush if it is
/// to meet one, which is held then.
pub fn wait(lab: &mut Lab, at_flush: bool, delay: Duration, held: &mut u64) -> Result<()> {
    if at_flush {
        let host = lab.vm()?.host()?;
        host.hold_next()?;
        *held += u64::from(host.holds(FLUSH)?);
    }
    sleep(delay);
    Ok(())
}

/// Cuts the power while the machine works on `requests`. Afterwards nothing is
/// mounted, and the devices are as the cut left them. Returns what had been
/// acknowledged.
pub fn cut(
    lab: &mut Lab,
    plan: &Plan,
    tear: &Tear,
    requests: &[u64],
    tally: &mut Tally,
) -> Result<HashMap<u64, Acks>> {
    let (acks, loss) = if plan.kill {
        tally.kills += 1;
        lab.cut_tearing(tear)?
    } else {
        let picture = lab.picture(tear, FS_MIB << 20)?;
        lab.call::<()>(Cmd::StressStop)?;
        for request in requests {
            let vm = lab.vm()?;
            vm.finish::<Value>(*request, "the end of what a picture was taken of", STOP)?;
        }
        lab.umount_all()?;
        lab.develop(&picture)?;
        (picture.acks, picture.virtio.loss)
    };
    tally.cuts += 1;
    tally.unflushed += loss.unflushed;
    tally.discarded += loss.discarded;
    tally.loose += loss.loose;
    tally.dropped += loss.dropped;
    lab.with(plan.ext4)?;
    Ok(acks)
}

const IMAGES: [&str; 3] = [config::VIRTIO_IMAGE, config::SYNC_IMAGE, config::DISK_IMAGE];

fn kept(image: &str) -> String {
    format!("crashed-{image}")
}

/// Keeps the filesystems as the last cut left them: replay changes the devices.
pub fn keep() -> Result<()> {
    for image in IMAGES {
        let kept = kept(image);
        let mut from = File::open(image)?.take(FS_MIB << 20);
        let mut to = File::create(&kept).with_context(|| kept.clone())?;
        std::io::copy(&mut from, &mut to)?;
    }
    Ok(())
}

/// Gives what was kept the name of its seed, for whoever looks into a loss, with what
/// was said of it.
pub fn keep_as(seed: u64, said: &str) -> Result<()> {
    std::fs::write(format!("lost-{seed}.txt"), said)?;
    for image in IMAGES {
        if Path::new(&kept(image)).exists() {
            std::fs::rename(kept(image), format!("lost-{seed}-{image}"))?;
        }
    }
    Ok(())
}
