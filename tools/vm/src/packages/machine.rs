// SPDX-License-Identifier: GPL-2.0
//! A machine with a Debian on it, and what can be asked of it.

use crate::config::{Root, VmConfig, VIRTIO_IMAGE};
use crate::lab::{Dev, Lab};
use anyhow::{bail, ensure, Context, Result};
use bytelog_guest::proto::{Cmd, DeviceKind, MountArgs, RunResult};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the packages lie in it, one directory for each version.
const PACKAGES: &str = "/packages";
/// The initramfs that it made, as a boot loader takes it from the root.
const INITRD: &str = "initrd.img";
/// For dpkg with all that a package's scripts do, emulated.
const INSTALL: Duration = Duration::from_secs(600);

pub struct Machine {
    pub lab: Lab,
    pub kver: String,
    /// Fsyncs that were acknowledged before the cut of the device beside the root.
    pub acked: u64,
}

impl Machine {
    /// A machine whose root is a copy of `root`.
    pub fn new(config: &VmConfig, kver: &str, seed: u64, root: &Path) -> Result<Self> {
        let status = Command::new("cp")
            .arg("--sparse=always")
            .args([root, VIRTIO_IMAGE.as_ref()])
            .status()
            .context("cp")?;
        ensure!(status.success(), "cp: {status}");
        let config = VmConfig {
            initramfs: INITRD.into(),
            virtio_mib: std::fs::metadata(VIRTIO_IMAGE)?.len() >> 20,
            ..config.clone()
        };
        Ok(Self {
            lab: Lab::new(&config, Some(kver), seed),
            kver: kver.to_owned(),
            acked: 0,
        })
    }

    /// Starts it with these mount options for its root, and makes that writable.
    pub fn boot(&mut self, flags: &str) -> Result<()> {
        // What a boot loader does: it finds the initramfs in /boot.
        let request = format!("dump /boot/initrd.img-{} {INITRD}", self.kver);
        let dumped = Command::new("debugfs")
            .args(["-R", &request, VIRTIO_IMAGE])
            .output()
            .context("debugfs")?;
        let len = std::fs::metadata(INITRD).map_or(0, |file| file.len());
        ensure!(
            len > 0,
            "no initramfs: {}",
            String::from_utf8_lossy(&dumped.stderr)
        );
        let mut config = self.lab.config.clone();
        config.root = Some(Root {
            flags: flags.to_owned(),
        });
        self.lab.reconfigure(config)?;
        self.remount(false)
    }

    fn remount(&mut self, read_only: bool) -> Result<()> {
        let root = self.root()?;
        let done = self.lab.try_mount_args(MountArgs {
            dev: root.path(),
            dir: "/".into(),
            read_only,
            remount: true,
            ..MountArgs::default()
        })?;
        ensure!(
            done.errno == 0,
            "remount of the root: {}: {:?}",
            done.error,
            done.log
        );
        Ok(())
    }

    /// Switches it off as an init would.
    pub fn shut_down(&mut self) -> Result<()> {
        self.lab.umount_all()?;
        self.remount(true)?;
        self.lab.power_off()
    }

    pub fn root(&mut self) -> Result<Dev> {
        self.lab.dev(DeviceKind::Virtio)
    }

    /// The other device, for a filesystem of its own.
    pub fn data(&mut self) -> Result<Dev> {
        self.lab.dev(DeviceKind::Sync)
    }

    /// Whether the ext4 that runs comes from the packages: the kernel notes of a
    /// module that it was not built with.
    pub fn runs_ours(&mut self) -> Result<bool> {
        let taint: String = self.lab.call(Cmd::Read {
            path: "/sys/module/ext4/taint".into(),
        })?;
        Ok(taint.contains('O'))
    }

    /// The module file that would be loaded for a name; none if there is none.
    pub fn module(&mut self, name: &str) -> Result<Option<String>> {
        let found = self.lab.run(&format!("modinfo -n {name}"))?;
        Ok((found.status == 0).then(|| found.output.trim().to_owned()))
    }

    /// Runs a shell command in it.
    pub fn shell(&mut self, line: &str) -> Result<RunResult> {
        let cmd = Cmd::Run {
            argv: ["sh", "-c", line].map(String::from).into(),
            stdin: String::new(),
        };
        self.lab.vm()?.call_for(cmd, INSTALL)
    }

    /// Runs one that must succeed; returns what it said.
    pub fn must(&mut self, line: &str) -> Result<String> {
        let RunResult { status, output } = self.shell(line)?;
        if status != 0 {
            bail!("{line}: exit {status}: {}", output.trim());
        }
        Ok(output)
    }

    /// Installs or upgrades packages whose names begin like these.
    pub fn install(&mut self, version: &str, names: &[&str]) -> Result<String> {
        let files: Vec<_> = names
            .iter()
            .map(|name| format!("{PACKAGES}/{version}/{name}_*.deb"))
            .collect();
        self.must(&format!("dpkg -i {}", files.join(" ")))
    }

    /// The installed version of a package; none if it is not installed.
    pub fn version(&mut self, name: &str) -> Result<Option<String>> {
        let shown = self.shell(&format!(
            "dpkg-query -W -f '${{db:Status-Status}} ${{Version}}' {name} 2>/dev/null"
        ))?;
        let version = shown.output.strip_prefix("installed ");
        Ok(version.map(str::to_owned))
    }
}
