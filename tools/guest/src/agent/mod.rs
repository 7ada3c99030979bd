// SPDX-License-Identifier: GPL-2.0
//! What the agent does, one module per kind of request.

pub mod apart;
pub mod boot;
mod cost;
mod devices;
mod exec;
mod failing;
mod hold;
mod kmsg;
mod mark;
mod modules;
mod mounts;
mod runner;
mod serve;
mod shell;
mod short;
mod shutdown;
mod stats;
mod stress;
mod trace;

use anyhow::Result;

/// Modules of the devices that a test uses. Those that a kernel has built in, or
/// that are not in the initramfs, are no error here: what is missing shows when
/// the device does.
const DEVICE_MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_console",
    "nd_pmem",
    "nd_e820",
    "virtio_pmem",
    "virtio_blk",
    "nvme",
];

pub fn run() -> Result<()> {
    for name in DEVICE_MODULES {
        if let Err(err) = modules::load(name, false) {
            boot::kernel_log(&format!("bytelog-guest: {name}: {err:#}"));
        }
    }
    let cmdline = std::fs::read_to_string("/proc/cmdline")?;
    match cmdline
        .split_whitespace()
        .find_map(|word| word.strip_prefix("bytelog.shell="))
    {
        Some(option) => shell::run(option),
        None => serve::serve(),
    }
}
