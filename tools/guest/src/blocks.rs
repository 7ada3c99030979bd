// SPDX-License-Identifier: GPL-2.0
//! Whole blocks of file data, written in each of the ways that there are.

use crate::ops::fill;
use anyhow::{ensure, Context, Result};
use memmap2::MmapOptions;
use rustix::fs::{open, Mode, OFlags};
use rustix::io::{pwritev2, ReadWriteFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a block.
pub const BLOCK: usize = 4096;

/// `RWF_ATOMIC` of linux/fs.h: the block is not torn.
const RWF_ATOMIC: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x40);

/// How file data is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Through the page cache, or on a DAX mount to the media.
    #[default]
    Write,
    /// Past the page cache.
    Direct,
    /// Stores to a mapping.
    Mmap,
    /// Untorn, past the page cache. The device must support it.
    Atomic,
}

impl How {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Write, Self::Direct, Self::Mmap, Self::Atomic];
}

/// Writes a block with contents of `tag` at `off`, a multiple of [`BLOCK`]. A file
/// that ends before it is extended.
pub fn write(path: &Path, off: u64, tag: u64, how: How) -> Result<()> {
    let mut flags = OFlags::RDWR;
    flags.set(OFlags::DIRECT, matches!(how, How::Direct | How::Atomic));
    let file = File::from(open(path, flags, Mode::empty())?);
    let data = fill(tag, BLOCK);
    match how {
        How::Write => file.write_all_at(&data, off)?,
        How::Direct => {
            let mut buffer = aligned()?;
            buffer.copy_from_slice(&data);
            file.write_all_at(&buffer, off)?;
        }
        How::Atomic => {
            let mut buffer = aligned()?;
            buffer.copy_from_slice(&data);
            let done = pwritev2(file.as_fd(), &[IoSlice::new(&buffer)], off, RWF_ATOMIC)
                .context("pwritev2 with RWF_ATOMIC")?;
            ensure!(done == BLOCK, "an untorn write of {done} bytes");
        }
        How::Mmap => {
            let end = off + BLOCK as u64;
            if file.metadata()?.len() < end {
                file.set_len(end)?;
            }
            // SAFETY: Nobody truncates the file while it is mapped here: each
            // workload has files of its own.
            let mut map = unsafe { MmapOptions::new().offset(off).len(BLOCK).map_mut(&file)? };
            map.copy_from_slice(&data);
        }
    }
    Ok(())
}

/// Memory that direct I/O accepts.
fn aligned() -> Result<memmap2::MmapMut> {
    Ok(MmapOptions::new().len(BLOCK).map_anon()?)
}
