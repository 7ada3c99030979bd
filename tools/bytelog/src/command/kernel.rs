// SPDX-License-Identifier: GPL-2.0

//! What the running kernel does with a device: its module, and the mount.

use super::table::{yes, Table};
use crate::stats::mounts::Mounts;
use schemars::JsonSchema;
use serde::Serialize;
use std::fs;
use std::path::Path;

/// What the kernel does with a block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct KernelUse {
    /// Whether `ext4_bytelog` is loaded.
    module_loaded: bool,
    /// Where the device is mounted.
    mounted_on: Option<String>,
    /// Whether that mount uses ByteLog; `None` where it is not mounted, or where debugfs
    /// cannot be read.
    mount_uses_bytelog: Option<bool>,
}

impl KernelUse {
    /// Of the device at `path`, where the kernel's files are below `root`; `None` for what
    /// is no block device.
    pub(super) fn of(root: &Path, path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let name = path.strip_prefix("/dev").ok()?.to_str()?;
        Self::of_name(root, name)
    }

    fn of_name(root: &Path, name: &str) -> Option<Self> {
        let entry = name.replace('/', "!");
        if !root.join("sys/class/block").join(&entry).exists() {
            return None;
        }
        let mounts = Mounts::read(root);
        let mounted_on = mounts.point(root, name).map(str::to_owned);
        let module_loaded = root.join("sys/module/ext4_bytelog").exists();
        let served = root.join("sys/kernel/debug/ext4_bytelog");
        // Without the right to read debugfs this is an error, too.
        let uses = || match (module_loaded, fs::read_dir(&served)) {
            (false, _) => Some(false),
            (true, Ok(_)) => Some(served.join(&entry).exists()),
            (true, Err(_)) => None,
        };
        Some(Self {
            module_loaded,
            mount_uses_bytelog: mounted_on.as_ref().and_then(|_| uses()),
            mounted_on,
        })
    }

    pub(super) fn rows(&self, table: &mut Table) {
        table.row(
            "module ext4_bytelog",
            match self.module_loaded {
                true => "loaded",
                false => "not loaded: it is loaded by a mount that asks for it",
            },
        );
        let Some(point) = &self.mounted_on else {
            table.row("mounted on", "nothing");
            return;
        };
        table.row("mounted on", point);
        table.row("  uses ByteLog", match self.mount_uses_bytelog {
            Some(uses) => yes(uses),
            None => "not known: debugfs cannot be read (as root: mount -t debugfs none /sys/kernel/debug)",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTED: &str = "30 1 259:0 / /mnt rw - ext4 /dev/pmem0 rw\n";

    /// The kernel's files, below a directory of their own.
    fn of(name: &str, files: &[(&str, &str)]) -> std::io::Result<Option<KernelUse>> {
        let root = std::env::temp_dir().join(format!("kernel-use-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&root))?;
            fs::write(path, text)?;
        }
        let found = KernelUse::of_name(&root, "pmem0");
        fs::remove_dir_all(&root)?;
        Ok(found)
    }

    #[test]
    fn mounts_and_modules() -> std::io::Result<()> {
        let device = ("sys/class/block/pmem0/dev", "259:0\n");
        let module = ("sys/module/ext4_bytelog/refcnt", "1");
        let mounted = ("proc/self/mountinfo", MOUNTED);
        let served = ("sys/kernel/debug/ext4_bytelog/pmem0/commits", "0");
        let other = ("sys/kernel/debug/ext4_bytelog/pmem1/commits", "0");
        let said = |name: &str, files: &[(&str, &str)]| -> std::io::Result<_> {
            let found = of(name, files)?;
            Ok(found.map(|found| {
                let point = found.mounted_on.is_some();
                (found.module_loaded, point, found.mount_uses_bytelog)
            }))
        };
        assert_eq!(said("none", &[mounted])?, None);
        assert_eq!(said("idle", &[device])?, Some((false, false, None)));
        assert_eq!(
            said("stock", &[device, mounted])?,
            Some((false, true, Some(false)))
        );
        assert_eq!(
            said("used", &[device, mounted, module, served])?,
            Some((true, true, Some(true)))
        );
        assert_eq!(
            said("off", &[device, mounted, module, other])?,
            Some((true, true, Some(false)))
        );
        assert_eq!(
            said("hidden", &[device, mounted, module])?,
            Some((true, true, None))
        );
        Ok(())
    }
}
