// SPDX-License-Identifier: GPL-2.0
//! Filesystems: made, mounted, looked at, checked.

use super::{Dev, Lab};
use crate::image::{Image, JournalMap};
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::proto::{Cmd, MountArgs, MountResult, RunResult};

impl Lab {
    /// Makes an ext4 with fast commits. The inode tables are cleared: ext4's
    /// replay of a new inode takes over the extents of whatever inode of an older
    /// filesystem it finds at its place on the device.
    pub fn mkfs(&mut self, dev: &Dev, options: &str, size: &str) -> Result<()> {
        let path = dev.path();
        self.must_run(&format!(
            "mke2fs -q -F -t ext4 -b 4096 -O fast_commit -N 4096 -E lazy_itable_init=0 {options} {path} {size}"
        ))?;
        self.externals.remove(&dev.name);
        self.find_journal(dev)
    }

    /// Makes an ext4 whose journal is on a device of its own, or a partition of it.
    pub fn mkfs_external(&mut self, dev: &Dev, journal: &Dev, size: &str) -> Result<()> {
        self.mkfs_external_with(dev, journal, size, 4096, 64)
    }

    /// The same with blocks of so many bytes, and a journal of so many MiB.
    pub fn mkfs_external_with(
        &mut self,
        dev: &Dev,
        journal: &Dev,
        size: &str,
        block: u64,
        journal_mib: u64,
    ) -> Result<()> {
        let (path, on) = (dev.path(), journal.path());
        self.must_run(&format!(
            "mke2fs -q -F -b {block} -O journal_dev {on} {}",
            (journal_mib << 20) / block
        ))?;
        self.must_run(&format!(
            "mke2fs -q -F -t ext4 -b {block} -O fast_commit -N 4096 -E lazy_itable_init=0 \
             -J device={on} {path} {size}"
        ))?;
        // After the device's own superblock.
        let blocks = (1..=(journal_mib << 20) / block).collect();
        self.journals
            .insert(journal.name.clone(), JournalMap { blocks });
        self.externals.insert(dev.name.clone(), journal.clone());
        Ok(())
    }

    /// Notes where a device's journal is.
    pub fn find_journal(&mut self, dev: &Dev) -> Result<()> {
        let argv = ["debugfs", "-R", "dump_extents -l <8>", &dev.path()];
        let result: RunResult = self.call(Cmd::Run {
            argv: argv.map(String::from).into(),
            stdin: String::new(),
        })?;
        let map = JournalMap::parse(&result.output)?;
        self.journals.insert(dev.name.clone(), map);
        Ok(())
    }

    /// Gives a new filesystem's journal another number to begin with.
    pub fn number_journal(&mut self, dev: &Dev, number: u32) -> Result<()> {
        Image::open(dev)?.number_journal(self.journal(dev)?, number)?;
        self.forget_cache(dev)
    }

    pub fn journal(&self, dev: &Dev) -> Result<&JournalMap> {
        self.journals.get(&dev.name).context("no journal known")
    }

    /// Whether a device's journal has the mark of a ByteLog.
    pub fn is_marked(&self, dev: &Dev) -> Result<bool> {
        Image::open(dev)?.is_marked(self.journal(dev)?)
    }

    /// The blocks of a device's fast-commit area, opener first.
    pub fn fc_area(&self, dev: &Dev) -> Result<Vec<u64>> {
        Image::open(dev)?.fc_area(self.journal(dev)?)
    }

    /// Tries to mount a device at its place.
    pub fn try_mount(&mut self, dev: &Dev, opts: &str) -> Result<MountResult> {
        self.try_mount_args(MountArgs {
            dev: dev.path(),
            dir: dev.dir(),
            opts: opts.into(),
            ..MountArgs::default()
        })
    }

    pub fn try_mount_args(&mut self, args: MountArgs) -> Result<MountResult> {
        let result: MountResult = self.call(Cmd::Mount(args.clone()))?;
        if result.errno == 0 && !args.remount {
            self.mounts.push(args.dir);
        }
        Ok(result)
    }

    /// Tries a mount with "", "ro" or "noload".
    pub fn try_mount_as(&mut self, dev: &Dev, how: &str) -> Result<MountResult> {
        self.try_mount_args(MountArgs {
            dev: dev.path(),
            dir: dev.dir(),
            opts: if how == "noload" {
                how.into()
            } else {
                String::new()
            },
            read_only: !how.is_empty(),
            ..MountArgs::default()
        })
    }

    /// Mounts a device; returns what the kernel logged.
    pub fn mount(&mut self, dev: &Dev, opts: &str) -> Result<Vec<String>> {
        let result = self.try_mount(dev, opts)?;
        accepted(result).with_context(|| format!("mount {} -o {opts}", dev.label()))
    }

    /// Begins to mount a device, and goes on; the request is for
    /// [`crate::vm::Vm::finish`].
    pub fn start_mount(&mut self, dev: &Dev, opts: &str) -> Result<u64> {
        self.start_mount_args(MountArgs {
            dev: dev.path(),
            dir: dev.dir(),
            opts: opts.into(),
            ..MountArgs::default()
        })
    }

    pub fn start_mount_args(&mut self, args: MountArgs) -> Result<u64> {
        self.mounts.push(args.dir.clone());
        self.vm()?.start(Cmd::Mount(args))
    }

    pub fn umount_all(&mut self) -> Result<()> {
        while let Some(dir) = self.mounts.last().cloned() {
            self.umount(&dir)?;
        }
        Ok(())
    }

    pub fn umount(&mut self, dir: &str) -> Result<()> {
        self.call::<()>(Cmd::Umount { dir: dir.into() })?;
        self.mounts.retain(|mounted| mounted != dir);
        Ok(())
    }

    /// Drops what the machine has cached of a device, after its image has been
    /// changed from outside.
    pub fn forget_cache(&mut self, dev: &Dev) -> Result<()> {
        self.must_run(&format!("blockdev --flushbufs {}", dev.path()))?;
        self.call(Cmd::Write {
            path: "/proc/sys/vm/drop_caches".into(),
            data: "3".into(),
        })
    }

    /// Gives a device partitions, in the words of fdisk.
    pub fn partition(&mut self, dev: &Dev, script: &str) -> Result<()> {
        self.must_run_with(&format!("busybox fdisk -u {}", dev.path()), script)?;
        self.must_run(&format!("blockdev --rereadpt {}", dev.path()))?;
        Ok(())
    }

    /// Takes them away again.
    pub fn unpartition(&mut self, dev: &Dev) -> Result<()> {
        let path = dev.path();
        self.must_run(&format!("dd if=/dev/zero of={path} bs=4096 count=1"))?;
        self.must_run(&format!("blockdev --rereadpt {path}"))?;
        Ok(())
    }

    /// The options with which a place is mounted, as /proc/mounts has them.
    pub fn shown_options(&mut self, dir: &str) -> Result<String> {
        let mounts: String = self.call(Cmd::Read {
            path: "/proc/mounts".into(),
        })?;
        let line = mounts
            .lines()
            .find(|line| line.split_whitespace().nth(1) == Some(dir));
        let options = line.and_then(|line| line.split_whitespace().nth(3));
        Ok(options
            .with_context(|| format!("{dir} is not mounted"))?
            .to_owned())
    }

    /// e2fsck without changing anything; the filesystem must be clean.
    pub fn fsck_clean(&mut self, dev: &Dev) -> Result<()> {
        self.must_run(&format!("e2fsck -fn {}", dev.path()))?;
        Ok(())
    }

    /// The same, where a filesystem that is not is told from an e2fsck that could not
    /// do its work: what it found is the value.
    pub fn fsck_findings(&mut self, dev: &Dev) -> Result<Option<String>> {
        let line = format!("e2fsck -fn {}", dev.path());
        let result = self.run(&line)?;
        findings(result).context(line)
    }
}

/// What the kernel logged of a mount, if it did not refuse it.
pub fn accepted(result: MountResult) -> Result<Vec<String>> {
    let (error, log) = (result.error, result.log);
    ensure!(result.errno == 0, "{error}; log: {}", log.join(" | "));
    Ok(log)
}

/// What `e2fsck -n` has found.
fn findings(result: RunResult) -> Result<Option<String>> {
    /// Of its exit status: errors, which were left as they are.
    const LEFT: i32 = 4;
    /// And from here on it did not end by itself.
    const KILLED: i32 = 128;
    let (status, output) = (result.status, result.output);
    let output = output.trim();
    match status {
        0 => Ok(None),
        1..KILLED if status & LEFT != 0 => Ok(Some(output.to_owned())),
        _ => bail!("exit {status}: {output}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_e2fsck_finds_is_no_failure_of_e2fsck() {
        let found = |status| {
            let output = " said\n".into();
            findings(RunResult { status, output })
        };
        assert_eq!(found(0).unwrap(), None);
        for status in [4, 12] {
            assert_eq!(found(status).unwrap().unwrap(), "said");
        }
        // It could not read the device, was used wrongly, was killed.
        for status in [8, 16, 128 + 6] {
            assert!(found(status).is_err(), "{status}");
        }
    }
}
