// SPDX-License-Identifier: GPL-2.0
//! Calls of which one allocation fails, by the kernel's fault injection: it counts
//! the allocations of a thread, and lets the N-th one fail.

use super::kmsg::Tail;
use super::mounts;
use anyhow::{Context, Result};
use bytelog_guest::ops::sync;
use bytelog_guest::proto::{Attempt, Call};
use rustix::fs::{open, Mode, OFlags};
use rustix::ioctl::{ioctl, opcode, Setter};
use rustix::mount::{unmount, UnmountFlags};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How many allocations of this thread are left until one fails; 0: none does.
const FAIL_NTH: &str = "/proc/thread-self/fail-nth";

const FIFREEZE: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'X', 119);
const FITHAW: rustix::ioctl::Opcode = opcode::read_write::<i32>(b'X', 120);

/// Makes a call whose `nth` allocation, counted from 1, fails; with 0 none does.
pub fn attempt(nth: u32, call: &Call) -> Result<Attempt> {
    let file = File::options()
        .read(true)
        .write(true)
        .open(FAIL_NTH)
        .with_context(|| format!("{FAIL_NTH}: a kernel without fault injection"))?;
    let log = Tail::from_now()?;
    let (done, left) = match call {
        Call::Mount(args) => {
            fs::create_dir_all(&args.dir)?;
            during(&file, nth, || Ok(mounts::mount_bare(args)?))
        }
        Call::Umount { dir } => during(&file, nth, || {
            Ok(unmount(dir.as_str(), UnmountFlags::empty())?)
        }),
        Call::Freeze { dir } => {
            let root = open(dir, OFlags::RDONLY, Mode::empty())?;
            // SAFETY: The call does not look at the number.
            let freeze = || unsafe { ioctl(&root, Setter::<FIFREEZE, i32>::new(0)) };
            during(&file, nth, || Ok(freeze()?))
        }
        Call::Thaw { dir } => {
            let root = open(dir, OFlags::RDONLY, Mode::empty())?;
            // SAFETY: As above.
            let thaw = || unsafe { ioctl(&root, Setter::<FITHAW, i32>::new(0)) };
            during(&file, nth, || Ok(thaw()?))
        }
        Call::Synced { op, dir } => during(&file, nth, || sync(&op.run(Path::new(dir))?)),
    }?;
    Ok(Attempt {
        error: done.err().map(|err| format!("{err:#}")),
        met: nth > 0 && left == 0,
        log: log.lines()?,
    })
}

/// Calls `f`; returns what it returned, and how many allocations were left then.
fn during(file: &File, nth: u32, f: impl FnOnce() -> Result<()>) -> Result<(Result<()>, u32)> {
    let text = nth.to_string();
    let mut left = [0; 16];
    file.write_at(text.as_bytes(), 0)?;
    let done = f();
    let read = file.read_at(&mut left, 0);
    file.write_at(b"0", 0)?;
    let left = String::from_utf8_lossy(&left[..read?]);
    Ok((done, left.trim().parse()?))
}
