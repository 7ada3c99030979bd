// SPDX-License-Identifier: GPL-2.0
//! Which block device is of which kind.

use anyhow::{Context, Result};
use bytelog_guest::proto::{Device, DeviceKind, Hello};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Drivers probe in the background: waits until every kind of device is there.
pub fn hello() -> Result<Hello> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let hello = look()?;
        let kinds = [DeviceKind::Sync, DeviceKind::Virtio, DeviceKind::Disk];
        let all = kinds
            .iter()
            .all(|kind| hello.devices.iter().any(|device| device.kind == *kind));
        // What is missing then, the host finds out when it asks for it.
        if all || Instant::now() > deadline {
            return Ok(hello);
        }
        sleep(Duration::from_millis(20));
    }
}

fn look() -> Result<Hello> {
    let mut devices = Vec::new();
    for item in fs::read_dir("/sys/block").context("/sys/block")? {
        let item = item?;
        let name = item.file_name().to_string_lossy().into_owned();
        if let Some(kind) = kind_of(&name, &item.path()) {
            let sectors: u64 = fs::read_to_string(item.path().join("size"))?
                .trim()
                .parse()?;
            devices.push(Device {
                name,
                kind,
                bytes: sectors * 512,
            });
        }
    }
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Hello {
        release: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        devices,
    })
}

fn kind_of(name: &str, sysfs: &Path) -> Option<DeviceKind> {
    if name.starts_with("vd") {
        return Some(DeviceKind::Disk);
    }
    if name.starts_with("nvme") {
        return Some(DeviceKind::Nvme);
    }
    if !name.starts_with("pmem") {
        return None;
    }
    // The device sits below its bus: .../virtioN/ndbusM/regionX/... or
    // .../e820_pmem/ndbusM/...
    let target = fs::canonicalize(sysfs).ok()?;
    if target.to_string_lossy().contains("/virtio") {
        Some(DeviceKind::Virtio)
    } else {
        Some(DeviceKind::Sync)
    }
}
