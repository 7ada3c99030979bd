// SPDX-License-Identifier: GPL-2.0
//! Mounting, with the kernel's own words about it.

use super::kmsg::Tail;
use super::mark::mark;
use anyhow::{Context, Result};
use bytelog_guest::proto::{MountArgs, MountResult};
use bytelog_trace::mark::Kind;
use rustix::io::Errno;
use rustix::mount::{mount, mount_remount, unmount as umount, MountFlags, UnmountFlags};
use std::ffi::CString;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

/// Mounts or remounts, with nothing around the call.
pub fn mount_bare(args: &MountArgs) -> rustix::io::Result<()> {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, args.read_only);
    let (dir, opts) = (args.dir.as_str(), args.opts.as_str());
    if args.remount {
        mount_remount(dir, flags, opts)
    } else {
        let opts = CString::new(opts).map_err(|_| Errno::INVAL)?;
        mount(args.dev.as_str(), dir, "ext4", flags, opts.as_c_str())
    }
}

/// Tries a mount or a remount; a refusal is an answer, not an error.
pub fn mount_ext4(args: &MountArgs) -> Result<MountResult> {
    fs::create_dir_all(&args.dir)?;
    let log = Tail::from_now()?;
    let marks = |kinds: [Kind; 2]| {
        if args.counted {
            kinds.into_iter().for_each(|kind| mark(kind, 0));
        }
    };
    marks([Kind::Start, Kind::Sync]);
    let done = mount_bare(args);
    marks([Kind::Synced, Kind::Stop]);
    let log = log.lines()?;
    Ok(match done {
        Ok(()) => MountResult {
            errno: 0,
            error: String::new(),
            log,
        },
        Err(err) => MountResult {
            errno: err.raw_os_error(),
            error: err.to_string(),
            log,
        },
    })
}

pub fn unmount(dir: &str) -> Result<()> {
    // Whatever looked at the mount just now may hold it for a moment.
    for _ in 0..50 {
        match umount(dir, UnmountFlags::empty()) {
            Err(Errno::BUSY) => sleep(Duration::from_millis(20)),
            other => return other.with_context(|| format!("unmount {dir}")),
        }
    }
    umount(dir, UnmountFlags::empty()).with_context(|| format!("unmount {dir}"))
}
