// SPDX-License-Identifier: GPL-2.0
//! A reader of a block device that keeps what the kernel has cached of it: pages that are
//! mapped stay, whoever asks the kernel to drop what it can. Files that hold blocks behind
//! their end.

use anyhow::{anyhow, Context, Result};
use memmap2::{Mmap, MmapOptions};
use rustix::fs::{fallocate, FallocateFlags};
use std::fs::File;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard};

const PAGE: usize = 4096;

static HELD: Mutex<Vec<Mmap>> = Mutex::new(Vec::new());

fn held() -> Result<MutexGuard<'static, Vec<Mmap>>> {
    HELD.lock().map_err(|_| anyhow!("devices held"))
}

/// Reads the first `bytes` of a device, and holds them.
pub fn hold(path: &str, bytes: usize) -> Result<()> {
    let file = File::open(path).with_context(|| path.to_owned())?;
    // SAFETY: Only read from, here and once, and nothing is made of what is read.
    let map = unsafe { MmapOptions::new().len(bytes).map(&file) }?;
    black_box(map.iter().step_by(PAGE).fold(0, |sum, byte| sum ^ byte));
    held()?.push(map);
    Ok(())
}

/// Lets go of all that is held.
pub fn release() -> Result<()> {
    held()?.clear();
    Ok(())
}

/// Preallocates the first `len` bytes of a file; its size stays.
pub fn preallocate(path: &str, len: u64) -> Result<()> {
    let file = File::options().write(true).open(path);
    let file = file.with_context(|| path.to_owned())?;
    fallocate(&file, FallocateFlags::KEEP_SIZE, 0, len).context("fallocate")
}
