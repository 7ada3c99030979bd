// SPDX-License-Identifier: GPL-2.0

//! All that is counted of the mounts with ByteLog, at one moment.

use super::counters::{self, Counters, Levels};
use super::ext4::{full_commits, Ext4};
use super::histogram::Histogram;
use super::mounts::Mounts;
use crate::error::{Error, Result};
use schemars::JsonSchema;
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the module's directories are, below the root.
const DIR: &str = "sys/kernel/debug/ext4_bytelog";

const LATENCY: &str = "commit_latency_ns";

/// What is counted of a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sample {
    /// The device, as the kernel calls it.
    pub device: String,
    /// Where it is mounted, if that is in sight.
    pub mounted_on: Option<String>,
    /// The module's counters.
    pub counters: Counters,
    /// The log, in bytes.
    pub log: Levels,
    /// How long fast commits took, in nanoseconds.
    pub commit_latency_ns: Histogram,
    /// Full commits of its journal.
    pub full_commits: Option<u64>,
    /// What ext4 counts.
    pub ext4: Option<Ext4>,
}

/// Which mounts are asked for.
#[derive(clap::Args, Clone, Debug)]
pub struct Selection {
    /// Devices or mount points; all filesystems with ByteLog where left out.
    #[arg(value_name = "DEVICE")]
    pub devices: Vec<PathBuf>,
    /// Read below this directory, such as a copy of the files of another machine.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

impl Selection {
    /// The samples of now, in the order of their devices' names. It is an error if a
    /// mount that is asked for by name is not there.
    pub fn sample(&self) -> Result<Vec<Sample>> {
        let all = all(&self.root)?;
        for device in &self.devices {
            if !all.iter().any(|sample| sample.is(device)) {
                return Err(Error::failed(
                    &device.display().to_string(),
                    "no mounted filesystem with ByteLog",
                )
                .remedy("name a device or mount point that bytelog stat lists"));
            }
        }
        let wanted = |sample: &Sample| {
            self.devices.is_empty() || self.devices.iter().any(|device| sample.is(device))
        };
        Ok(all.into_iter().filter(wanted).collect())
    }
}

fn all(root: &Path) -> Result<Vec<Sample>> {
    let dir = root.join(DIR);
    let fail = |error: std::io::Error| {
        let failed = Error::failed(&dir.display().to_string(), &error);
        match error.kind() {
            ErrorKind::NotFound => failed.remedy(
                "load ext4_bytelog.ko and mount debugfs: mount -t debugfs none /sys/kernel/debug",
            ),
            ErrorKind::PermissionDenied => failed.remedy("debugfs is for root only"),
            _ => failed,
        }
    };
    let mounts = Mounts::read(root);
    let mut samples = Vec::new();
    for entry in fs::read_dir(&dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        match Sample::read(root, &path, &mounts) {
            Ok(sample) => samples.push(sample),
            // Unmounted just now.
            Err(_) if !path.exists() => {}
            Err(error) => return Err(error),
        }
    }
    samples.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(samples)
}

impl Sample {
    fn read(root: &Path, dir: &Path, mounts: &Mounts) -> Result<Self> {
        let name = dir.file_name().unwrap_or_default();
        let device = name.to_string_lossy().into_owned();
        let latency = counters::text(dir, LATENCY)?;
        Ok(Self {
            mounted_on: mounts.point(root, &device).map(str::to_owned),
            counters: Counters::read(dir)?,
            log: Levels::read(dir)?,
            commit_latency_ns: Histogram::parse(&latency, &dir.join(LATENCY))?,
            full_commits: full_commits(root, &device),
            ext4: Ext4::read(root, &device),
            device,
        })
    }

    /// Whether `path` names this device or where it is mounted.
    fn is(&self, path: &Path) -> bool {
        let is_mount = |point: &String| Path::new(point) == path;
        if Path::new(&self.device) == path || self.mounted_on.as_ref().is_some_and(is_mount) {
            return true;
        }
        // As mapped devices have them, names can be links.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        path.strip_prefix("/dev")
            .is_ok_and(|name| name == Path::new(&self.device))
    }
}
