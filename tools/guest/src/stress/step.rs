// SPDX-License-Identifier: GPL-2.0
//! One step: an operation, and how it is synced; both carried out for real.

use crate::ops::{fill, parent};
use anyhow::{Context, Result};
use memmap2::MmapOptions;
use rustix::fs::{
    fallocate, fdatasync, fsync, linkat, open, removexattr, setxattr, syncfs, AtFlags,
    FallocateFlags, Mode, OFlags, XattrFlags, CWD,
};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{symlink, FileExt};
use std::path::Path;

/// The way bytes get into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Plain,
    /// O_SYNC: the write is an fsync of what it wrote.
    Sync,
    /// O_DSYNC: the same of fdatasync.
    Dsync,
    Direct,
    /// Stores into a shared mapping, not synced by themselves.
    Mapped,
}

/// Paths are relative to the thread's directory, which is ""; the shared one is beside
/// it ([`super::shared`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `late`: without a name (O_TMPFILE), which it gets when it is there.
    Create {
        path: String,
        late: bool,
    },
    /// Bytes from `off` on; the end of the file moves if need be. Mapped bytes
    /// are within the file.
    Write {
        path: String,
        off: usize,
        len: usize,
        tag: u64,
        how: How,
    },
    Truncate {
        path: String,
        len: usize,
    },
    /// Blocks up to `len`, which is beyond the end.
    Fallocate {
        path: String,
        len: usize,
    },
    Punch {
        path: String,
        off: usize,
        len: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    Symlink {
        path: String,
        target: String,
    },
    Mkdir {
        path: String,
    },
    Rmdir {
        path: String,
    },
    SetXattr {
        path: String,
        name: String,
        len: usize,
        tag: u64,
    },
    RemoveXattr {
        path: String,
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sync {
    None,
    /// fsync of a file.
    File(String),
    /// fdatasync of a file.
    Data(String),
    /// fsync of a directory.
    Dir(String),
    /// syncfs.
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub action: Action,
    pub sync: Sync,
}

impl Step {
    /// Carries the step out below `root`; what it syncs is durable afterwards.
    pub fn run(&self, root: &Path) -> Result<()> {
        self.action
            .run(root)
            .and_then(|()| self.sync.run(root))
            .with_context(|| format!("{self:?}"))
    }
}

/// Bytes at an address that a disk's O_DIRECT takes.
struct Aligned {
    bytes: Vec<u8>,
    start: usize,
}

impl Aligned {
    const ALIGN: usize = 512;

    fn new(from: &[u8]) -> Self {
        let mut bytes = vec![0; from.len() + Self::ALIGN];
        let start = bytes.as_ptr().align_offset(Self::ALIGN);
        for (to, from) in bytes.iter_mut().skip(start).zip(from) {
            *to = *from;
        }
        bytes.truncate(start + from.len());
        Self { bytes, start }
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Action {
    fn run(&self, root: &Path) -> Result<()> {
        let at = |path: &str| root.join(path);
        let writable = |path: &str, extra: OFlags| -> Result<File> {
            Ok(open(at(path), OFlags::RDWR | extra, Mode::empty())?.into())
        };
        match self {
            Self::Create { path, late: false } => drop(File::create_new(at(path))?),
            Self::Create { path, late: true } => {
                let flags = OFlags::WRONLY | OFlags::TMPFILE;
                let file = open(at(parent(path)), flags, Mode::from(0o644))?;
                let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(CWD, unnamed, CWD, at(path), AtFlags::SYMLINK_FOLLOW)?;
            }
            Self::Write {
                path,
                off,
                len,
                tag,
                how,
            } => {
                let bytes = fill(*tag, *len);
                let off = *off as u64;
                match how {
                    How::Plain => writable(path, OFlags::empty())?.write_all_at(&bytes, off)?,
                    How::Sync => writable(path, OFlags::SYNC)?.write_all_at(&bytes, off)?,
                    How::Dsync => writable(path, OFlags::DSYNC)?.write_all_at(&bytes, off)?,
                    How::Direct => {
                        let file = writable(path, OFlags::DIRECT)?;
                        file.write_all_at(Aligned::new(&bytes).get(), off)?;
                    }
                    How::Mapped => {
                        let file = writable(path, OFlags::empty())?;
                        // SAFETY: The file is this thread's alone: nobody
                        // changes or shortens it while it is mapped.
                        let mut map =
                            unsafe { MmapOptions::new().offset(off).len(*len).map_mut(&file)? };
                        map.copy_from_slice(&bytes);
                    }
                }
            }
            Self::Truncate { path, len } => {
                writable(path, OFlags::empty())?.set_len(*len as u64)?
            }
            Self::Fallocate { path, len } => fallocate(
                writable(path, OFlags::empty())?,
                FallocateFlags::empty(),
                0,
                *len as u64,
            )?,
            Self::Punch { path, off, len } => fallocate(
                writable(path, OFlags::empty())?,
                FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                *off as u64,
                *len as u64,
            )?,
            Self::Rename { from, to } => fs::rename(at(from), at(to))?,
            Self::Link { from, to } => fs::hard_link(at(from), at(to))?,
            Self::Unlink { path } => fs::remove_file(at(path))?,
            Self::Symlink { path, target } => symlink(target, at(path))?,
            Self::Mkdir { path } => fs::create_dir(at(path))?,
            Self::Rmdir { path } => fs::remove_dir(at(path))?,
            Self::SetXattr {
                path,
                name,
                len,
                tag,
            } => setxattr(
                at(path),
                name.as_str(),
                &fill(*tag, *len),
                XattrFlags::empty(),
            )?,
            Self::RemoveXattr { path, name } => removexattr(at(path), name.as_str())?,
        }
        Ok(())
    }
}

impl Sync {
    fn run(&self, root: &Path) -> Result<()> {
        let opened = |path: &str| open(root.join(path), OFlags::RDONLY, Mode::empty());
        match self {
            Self::None => {}
            Self::File(path) | Self::Dir(path) => fsync(opened(path)?)?,
            Self::Data(path) => fdatasync(opened(path)?)?,
            Self::All => syncfs(opened("")?)?,
        }
        Ok(())
    }
}

/// The directories whose entries an operation changes.
pub(super) fn dirs_of(action: &Action) -> Vec<&str> {
    match action {
        Action::Create { path, .. }
        | Action::Unlink { path }
        | Action::Symlink { path, .. }
        | Action::Mkdir { path }
        | Action::Rmdir { path } => vec![parent(path)],
        Action::Link { to, .. } => vec![parent(to)],
        Action::Rename { from, to } => vec![parent(from), parent(to)],
        _ => Vec::new(),
    }
}
