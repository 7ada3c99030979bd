// SPDX-License-Identifier: GPL-2.0
//! Allocations that fail at a mount: attaching, reading the log, replay.

use super::{each, mount_args, prepared, MOUNTS};
use crate::cuts::replayed;
use crate::image::Image;
use crate::lab::{Dev, Lab};
use crate::messages::{any, NOT_USED};
use anyhow::{ensure, Context, Result};
use bytelog_guest::proto::{Attempt, Call, Cmd, DeviceKind, Shutdown};
use bytelog_guest::workload::{Kind, Spec};

/// Bytes of a device that the filesystem is on.
const BYTES: usize = 24 << 20;

/// How many mounts may fail one after the other before one is made that must work.
const FAILURES: u32 = 16;

/// What a mount of which an allocation fails came to.
struct Mounted {
    attempt: Attempt,
    /// Whether the filesystem is mounted now.
    now: bool,
}

/// A mount works with ByteLog, or says why it does without; or it fails, and a later
/// one without a failure works with ByteLog.
fn mounted(lab: &mut Lab, dev: &Dev, opts: &str, nth: u32) -> Result<Mounted> {
    let attempt = lab.attempt(nth, Call::Mount(mount_args(dev, opts)))?;
    let now = attempt.error.is_none() || nth % FAILURES == 0;
    if now && attempt.error.is_some() {
        lab.mount(dev, opts).context("the mount after it")?;
    }
    if now {
        let shown = lab.shown_options(&dev.dir())?;
        let declined =
            attempt.error.is_none() && NOT_USED.iter().any(|phrase| any(&attempt.log, phrase));
        ensure!(
            shown.contains("bytelog") != declined,
            "shown: {shown}; said: {:?}",
            attempt.log
        );
    }
    Ok(Mounted { attempt, now })
}

/// A clean filesystem.
pub fn of_clean(lab: &mut Lab) -> Result<()> {
    for (opts, which) in MOUNTS {
        let dev = prepared(lab, DeviceKind::Sync)?;
        each(opts, which, lab.seed, |nth| {
            let Mounted { attempt, now } = mounted(lab, &dev, opts, nth)?;
            if now {
                lab.umount(&dev.dir())?;
            }
            Ok(attempt)
        })?;
        lab.fsck_clean(&dev)?;
    }
    // What leaks is found now.
    lab.power_off()
}

/// A filesystem whose log is to be replayed, each time the same.
struct Crashed {
    dev: Dev,
    bytes: Vec<u8>,
    spec: Spec,
    fsyncs: u64,
}

impl Crashed {
    fn new(lab: &mut Lab, opts: &str) -> Result<Self> {
        let dev = prepared(lab, DeviceKind::Sync)?;
        lab.mount(&dev, opts)?;
        let spec = Spec::new(Kind::Fast, lab.seed, 30);
        let fsyncs = lab.work(&dev, &spec)?.fsyncs;
        let (dir, how) = (dev.dir(), Shutdown::NoFlush);
        lab.call::<()>(Cmd::Shutdown { dir, how })?;
        lab.umount(&dev.dir())?;
        let bytes = Image::open(&dev)?.read(0, BYTES)?;
        Ok(Self {
            dev,
            bytes,
            spec,
            fsyncs,
        })
    }

    /// Puts the filesystem back to what it was after the crash. What the kernel had
    /// cached of the device it has forgotten when the last user closed it.
    fn restore(&self) -> Result<()> {
        Image::open(&self.dev)?.write(0, &self.bytes)
    }

    /// Everything that was acknowledged is there.
    fn whole(&self, lab: &mut Lab) -> Result<()> {
        let verdict = lab.judge(&self.dev, &self.spec, self.fsyncs)?;
        ensure!(
            verdict.lost == 0,
            "{} of {} fsyncs lost: {:?}",
            verdict.lost,
            self.fsyncs,
            verdict.diffs
        );
        lab.umount(&self.dev.dir())?;
        lab.fsck_clean(&self.dev)
    }
}

/// A filesystem with a log to replay.
pub fn of_crashed(lab: &mut Lab) -> Result<()> {
    for (opts, which) in MOUNTS {
        let crashed = Crashed::new(lab, opts)?;
        let log = lab.mount(&crashed.dev, opts)?;
        ensure!(replayed(&log) > 0, "nothing to replay: {log:?}");
        crashed.whole(lab)?;
        crashed.restore()?;
        each(opts, which, lab.seed, |nth| {
            let Mounted { attempt, now } = mounted(lab, &crashed.dev, opts, nth)?;
            // A replay that has failed is gone on with, as after a cut.
            if now {
                crashed.whole(lab).with_context(|| format!("{attempt:?}"))?;
                crashed.restore()?;
            }
            Ok(attempt)
        })?;
    }
    lab.power_off()
}
