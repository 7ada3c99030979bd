// SPDX-License-Identifier: GPL-2.0
//! Allocations that fail where a mounted filesystem changes its state.

use super::{create, each, mount_args, prepared, synced, Which, FORCE, ON};
use crate::lab::{Dev, Lab};
use anyhow::{ensure, Result};
use bytelog_guest::proto::{Attempt, Call, Cmd, DeviceKind, MountArgs, Shutdown};

/// A filesystem in use, with files whose fsync was acknowledged.
struct Site {
    dev: Dev,
    files: u32,
}

impl Site {
    fn new(lab: &mut Lab) -> Result<Self> {
        let dev = prepared(lab, DeviceKind::Sync)?;
        lab.mount(&dev, ON)?;
        Ok(Self { dev, files: 0 })
    }

    /// A further file.
    fn add(&mut self, lab: &mut Lab) -> Result<()> {
        synced(lab, &self.dev, create(format!("file{}", self.files)))?;
        self.files += 1;
        Ok(())
    }

    /// A file, and another one whose fsync is a fast commit: the first may have been a
    /// full one.
    fn add_fast(&mut self, lab: &mut Lab) -> Result<()> {
        self.add(lab)?;
        let before = lab.stats(&self.dev)?;
        self.add(lab)?;
        let now = lab.stats(&self.dev)?;
        ensure!(now.fast > before.fast, "no fast commit: {now:?}");
        Ok(())
    }

    /// All files are there.
    fn check(&self, lab: &mut Lab) -> Result<()> {
        let tree = lab.tree(&self.dev.dir())?;
        let lost = (0..self.files)
            .map(|number| format!("file{number}"))
            .find(|path| !tree.contains_key(path));
        ensure!(lost.is_none(), "{lost:?} is lost");
        Ok(())
    }

    /// The same after a crash.
    fn crash(&self, lab: &mut Lab) -> Result<()> {
        let (dir, how) = (self.dev.dir(), Shutdown::NoFlush);
        lab.call::<()>(Cmd::Shutdown { dir, how })?;
        lab.umount(&self.dev.dir())?;
        lab.mount(&self.dev, ON)?;
        self.check(lab)
    }

    /// The same, and e2fsck is content.
    fn leave(self, lab: &mut Lab) -> Result<()> {
        self.crash(lab)?;
        lab.umount(&self.dev.dir())?;
        lab.fsck_clean(&self.dev)?;
        lab.power_off()
    }

    fn remount(&self, lab: &mut Lab, nth: u32, read_only: bool, opts: &str) -> Result<Attempt> {
        let args = MountArgs {
            remount: true,
            read_only,
            ..mount_args(&self.dev, opts)
        };
        lab.attempt(nth, Call::Mount(args))
    }

    /// The options that are shown say so, and a file can be made, or not.
    fn expect(&self, lab: &mut Lab, read_only: bool) -> Result<()> {
        let shown = lab.shown_options(&self.dev.dir())?;
        let is = shown.split(',').any(|option| option == "ro");
        ensure!(is == read_only, "shown: {shown}");
        let made = lab.run(&format!("touch {}/other", self.dev.dir()))?;
        ensure!((made.status != 0) == read_only, "{made:?}");
        Ok(())
    }
}

/// An unmount works, or the filesystem stays and can be unmounted again.
pub fn unmount(lab: &mut Lab) -> Result<()> {
    let mut site = Site::new(lab)?;
    each("unmount", Which::Each, lab.seed, |nth| {
        site.add_fast(lab)?;
        let dir = site.dev.dir();
        let attempt = lab.attempt(nth, Call::Umount { dir: dir.clone() })?;
        if attempt.error.is_some() {
            lab.umount(&dir)?;
        }
        lab.mount(&site.dev, ON)?;
        site.check(lab)?;
        Ok(attempt)
    })?;
    site.leave(lab)
}

/// A remount changes what it is asked to, or nothing. The option of ByteLog it never
/// changes.
pub fn remount(lab: &mut Lab) -> Result<()> {
    let mut site = Site::new(lab)?;
    for opts in [FORCE, "dax_fc_bytelog=off"] {
        each(opts, Which::Each, lab.seed, |nth| {
            let attempt = site.remount(lab, nth, false, opts)?;
            ensure!(attempt.error.is_some(), "{opts}: accepted");
            let shown = lab.shown_options(&site.dev.dir())?;
            ensure!(shown.contains("dax_fc_bytelog=on"), "shown: {shown}");
            Ok(attempt)
        })?;
    }
    for (what, read_only) in [("read-only", true), ("writable", false)] {
        each(what, Which::Each, lab.seed, |nth| {
            if site.remount(lab, 0, !read_only, "")?.error.is_none() && read_only {
                site.add_fast(lab)?;
            }
            site.expect(lab, !read_only)?;
            let attempt = site.remount(lab, nth, read_only, "")?;
            site.expect(lab, read_only == attempt.error.is_none())?;
            Ok(attempt)
        })?;
    }
    site.add_fast(lab)?;
    site.leave(lab)
}

/// A filesystem is frozen or not, and thawed or not; fast commits go on, and lose
/// nothing.
pub fn freeze(lab: &mut Lab) -> Result<()> {
    let mut site = Site::new(lab)?;
    let dir = site.dev.dir();
    let (freeze, thaw) = (Call::Freeze { dir: dir.clone() }, Call::Thaw { dir });
    each("freeze", Which::Each, lab.seed, |nth| {
        site.add_fast(lab)?;
        let attempt = lab.attempt(nth, freeze.clone())?;
        let thawed = lab.attempt(0, thaw.clone())?;
        ensure!(
            attempt.error.is_some() == thawed.error.is_some(),
            "{attempt:?}, {thawed:?}"
        );
        site.add_fast(lab)?;
        site.crash(lab)?;
        Ok(attempt)
    })?;
    each("thaw", Which::Each, lab.seed, |nth| {
        site.add_fast(lab)?;
        let frozen = lab.attempt(0, freeze.clone())?;
        ensure!(frozen.error.is_none(), "{frozen:?}");
        let attempt = lab.attempt(nth, thaw.clone())?;
        let thawed = lab.attempt(0, thaw.clone())?;
        ensure!(
            attempt.error.is_some() != thawed.error.is_some(),
            "{attempt:?}, {thawed:?}"
        );
        site.add_fast(lab)?;
        site.crash(lab)?;
        Ok(attempt)
    })?;
    site.leave(lab)
}
