// SPDX-License-Identifier: GPL-2.0
//! What is asked of a mounted filesystem as a whole: to shut down, to write its journal back,
//! to change its size.

use anyhow::{Context, Result};
use bytelog_guest::proto::Shutdown;
use rustix::fs::{open, Mode, OFlags};
use rustix::ioctl::{ioctl, opcode, Setter};

/// EXT4_IOC_SHUTDOWN: the size in it is that of the flags.
const EXT4_IOC_SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);

pub fn shut_down(dir: &str, how: Shutdown) -> Result<()> {
    let root = open(dir, OFlags::RDONLY, Mode::empty()).context(dir.to_owned())?;
    let flags = match how {
        Shutdown::Freeze => 0_u32,
        Shutdown::Flush => 1,
        Shutdown::NoFlush => 2,
    };
    // SAFETY: The call reads a u32 and keeps nothing of it.
    unsafe { ioctl(&root, Setter::<EXT4_IOC_SHUTDOWN, u32>::new(flags)) }
        .with_context(|| format!("{how:?} shutdown of {dir}"))
}

/// EXT4_IOC_CHECKPOINT.
const EXT4_IOC_CHECKPOINT: rustix::ioctl::Opcode = opcode::write::<u32>(b'f', 43);

pub fn checkpoint(dir: &str) -> Result<()> {
    let root = open(dir, OFlags::RDONLY, Mode::empty()).context(dir.to_owned())?;
    // SAFETY: The call reads a u32 and keeps nothing of it.
    unsafe { ioctl(&root, Setter::<EXT4_IOC_CHECKPOINT, u32>::new(0)) }
        .with_context(|| format!("checkpoint of {dir}"))
}

/// EXT4_IOC_RESIZE_FS.
const EXT4_IOC_RESIZE_FS: rustix::ioctl::Opcode = opcode::write::<u64>(b'f', 16);

pub fn resize(dir: &str, blocks: u64) -> Result<()> {
    let root = open(dir, OFlags::RDONLY, Mode::empty()).context(dir.to_owned())?;
    // SAFETY: The call reads a u64 and keeps nothing of it.
    unsafe { ioctl(&root, Setter::<EXT4_IOC_RESIZE_FS, u64>::new(blocks)) }
        .with_context(|| format!("resize of {dir} to {blocks} blocks"))
}
