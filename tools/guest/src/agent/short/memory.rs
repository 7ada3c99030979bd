// SPDX-License-Identifier: GPL-2.0
//! The memory behind a synchronous pmem device, as it is: what is in it is what a cut
//! leaves. A read through the block device would write out what the kernel still holds
//! of it, or see that instead.

use anyhow::{ensure, Context, Result};
use memmap2::{MmapMut, MmapOptions};
use std::fs::{self, File};

pub const BLOCK: usize = 4096;

/// One partition, or the part of it that is used.
pub struct Memory {
    map: MmapMut,
}

/// First byte and length of a partition on its device.
fn extent(part: &str) -> Result<(u64, u64)> {
    let number = |name: &str| -> Result<u64> {
        let path = format!("/sys/class/block/{part}/{name}");
        let text = fs::read_to_string(&path).context(path)?;
        Ok(text.trim().parse::<u64>()? * 512)
    };
    Ok((number("start")?, number("size")?))
}

/// Where the kernel has put the device's memory.
fn address() -> Result<u64> {
    let text = fs::read_to_string("/proc/iomem").context("/proc/iomem")?;
    let line = text
        .lines()
        .find(|line| line.contains("Persistent Memory (legacy)"));
    let range = line.and_then(|line| line.split_whitespace().next());
    let start = range.and_then(|range| range.split('-').next());
    u64::from_str_radix(start.context("no persistent memory in /proc/iomem")?, 16)
        .context("/proc/iomem")
}

impl Memory {
    /// Maps the first blocks of a partition of the synchronous device.
    pub fn map(part: &str, blocks: usize) -> Result<Self> {
        let (start, bytes) = extent(part)?;
        let len = blocks * BLOCK;
        ensure!(bytes >= len as u64, "{part} is too small");
        ensure!(start % BLOCK as u64 == 0, "{part} begins within a page");
        let file = File::options().read(true).write(true).open("/dev/mem");
        let file = file.context("/dev/mem")?;
        // SAFETY: The memory stays where it is as long as the machine runs; what the
        // kernel changes in it meanwhile is copied, and never referred to.
        let map = unsafe {
            MmapOptions::new()
                .offset(address()? + start)
                .len(len)
                .map_mut(&file)
        };
        let map = map.context("map /dev/mem: the kernel needs iomem=relaxed")?;
        Ok(Self { map })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Makes the memory the same as `bytes`, and leaves alone what is.
    pub fn set(&mut self, bytes: &[u8]) {
        copy_changed(bytes, &mut self.map);
    }
}

/// Copies the blocks that differ.
pub fn copy_changed(from: &[u8], to: &mut [u8]) {
    for (from, to) in from.chunks(BLOCK).zip(to.chunks_mut(BLOCK)) {
        if from != to {
            to.copy_from_slice(from);
        }
    }
}
