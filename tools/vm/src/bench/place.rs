// SPDX-License-Identifier: GPL-2.0
//! Where a filesystem and its journal are, under the names of the reports.

use super::rows::Mode;
use crate::config::{VmConfig, RAM_MIB, SYNC_MIB, VIRTIO_ADDRESS};
use bytelog_guest::proto::DeviceKind;

/// A filesystem's device, and its journal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub name: &'static str,
    pub data: DeviceKind,
    /// Where the journal is, if not in the filesystem.
    pub journal: Option<DeviceKind>,
    /// Whether virtio-pmem is memory of the host and not a file on its disk.
    memory: bool,
    /// What can be compared there.
    pub modes: &'static [Mode],
}

/// Synchronous pmem.
const SYNC: Place = Place {
    name: "sync",
    data: DeviceKind::Sync,
    journal: None,
    memory: true,
    modes: &Mode::ALL,
};

/// virtio-pmem, in the host's memory.
const VIRTIO_MEM: Place = Place {
    name: "virtio_mem",
    data: DeviceKind::Virtio,
    ..SYNC
};

/// virtio-pmem, a file on the host's disk.
const VIRTIO_DISK: Place = Place {
    name: "virtio_disk",
    memory: false,
    ..VIRTIO_MEM
};

/// virtio-blk with everything on it: what an external journal is compared with.
const DISK: Place = Place {
    name: "disk",
    data: DeviceKind::Disk,
    modes: &[Mode::Full, Mode::StockFc],
    ..SYNC
};

/// The same with its journal on synchronous pmem.
const DISK_SYNC: Place = Place {
    name: "disk_journal_sync",
    journal: Some(DeviceKind::Sync),
    modes: &[Mode::Inside, Mode::StockFc, Mode::Bytelog],
    ..DISK
};

/// And on virtio-pmem, a file on the host's disk.
const DISK_VIRTIO: Place = Place {
    name: "disk_journal_virtio",
    journal: Some(DeviceKind::Virtio),
    memory: false,
    ..DISK_SYNC
};

/// All, in the order of reports.
pub const ALL: [Place; 6] = [SYNC, VIRTIO_MEM, VIRTIO_DISK, DISK, DISK_SYNC, DISK_VIRTIO];

impl Place {
    /// Whether the host is never waited for: then the machine can be run so that
    /// nothing in it depends on time, and it does the same each time.
    pub fn is_repeatable(&self) -> bool {
        self.data == DeviceKind::Sync
    }

    /// The modes that jobs as a whole are run in.
    pub fn job_modes(&self) -> Vec<Mode> {
        let modes = self.modes.iter().copied();
        modes.filter(|mode| *mode != Mode::Full).collect()
    }

    /// The machine for it with two CPUs, in which time passes.
    pub fn timing(&self, base: &VmConfig) -> VmConfig {
        VmConfig {
            cpus: 2,
            virtio_memory: self.memory,
            ..base.clone()
        }
    }

    /// The machine for it, with the counter's plugin and the file that it writes.
    pub fn counting(&self, base: &VmConfig, plugin: &str, counts: &str) -> VmConfig {
        let (start, mib) = match self.journal.unwrap_or(self.data) {
            DeviceKind::Virtio => (VIRTIO_ADDRESS, base.virtio_mib),
            _ => (RAM_MIB << 20, SYNC_MIB),
        };
        VmConfig {
            cpus: 1,
            icount: self.is_repeatable().then_some(0),
            virtio_memory: self.memory,
            plugin: Some(format!(
                "{plugin},count={counts},start={start},bytes={}",
                mib << 20
            )),
            ..base.clone()
        }
    }
}
