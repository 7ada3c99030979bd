// SPDX-License-Identifier: GPL-2.0
//! One operation of a workload: what it does, what is fsynced after it, and how
//! it is carried out on a real directory.

use crate::blocks::{self, How, BLOCK};
use anyhow::{Context, Result};
use rustix::fs::{
    fallocate, fsync, linkat, open, removexattr, setxattr, AtFlags, FallocateFlags, Mode, OFlags,
    XattrFlags, CWD,
};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Create {
        path: String,
        sync_dir: bool,
    },
    Append {
        path: String,
        len: usize,
        tag: u64,
    },
    Overwrite {
        path: String,
        off: usize,
        len: usize,
        tag: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
    /// `touch` gets a new time, so that it can be synced.
    Unlink {
        path: String,
        touch: String,
    },
    Truncate {
        path: String,
        len: usize,
    },
    Fallocate {
        path: String,
        len: usize,
    },
    /// A directory. With an empty file in it, that file is synced: a fast commit.
    Mkdir {
        path: String,
        file: Option<String>,
    },
    /// An empty directory goes; `touch` as above.
    Rmdir {
        path: String,
        touch: String,
    },
    /// A whole block, within the file or behind its end.
    Block {
        path: String,
        block: usize,
        tag: u64,
        how: How,
    },
    /// A file that is made without a name, written, and gets its name after that.
    Tmpfile {
        path: String,
        len: usize,
        tag: u64,
    },
    /// An unlink of a file that is still open, and is synced.
    UnlinkOpen {
        path: String,
    },
}

/// The directory part of a path relative to the mount point; "" is its root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The bytes that a write with this tag puts into a file.
pub fn fill(tag: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(tag).fill(&mut bytes);
    bytes
}

/// An extended attribute that does not fit in the inode: its change commits in full.
fn fill_attribute(dir: &Path) -> Result<()> {
    const LEN: usize = 1500;
    setxattr(dir, "user.block", &[b'x'; LEN], XattrFlags::empty())?;
    removexattr(dir, "user.block")?;
    Ok(())
}

impl Op {
    /// Carries the operation out below `root`, without the fsync.
    ///
    /// On stock an fsync of a directory is always a full commit, so what is synced is a
    /// regular file that the operation touched: for a rename or a link the file
    /// itself, for an unlink another one.
    ///
    /// Some operations are special because ext4's own replay, stock or not, gets
    /// them wrong after a fast commit: link counts after a mkdir, and an inode
    /// without a name. A workload has them only if its kind says so.
    ///
    /// Returns the path to sync.
    pub fn run(&self, root: &Path) -> Result<PathBuf> {
        self.run_inner(root).with_context(|| format!("{self:?}"))
    }

    fn run_inner(&self, root: &Path) -> Result<PathBuf> {
        let at = |path: &str| root.join(path);
        let writable =
            |path: &str| -> Result<File> { Ok(OpenOptions::new().write(true).open(at(path))?) };
        let target = match self {
            Op::Create { path, sync_dir } => {
                File::create_new(at(path))?;
                if *sync_dir {
                    fill_attribute(&at(parent(path)))?;
                    parent(path)
                } else {
                    path
                }
            }
            Op::Append { path, len, tag } => {
                let file = writable(path)?;
                let end = file.metadata()?.len();
                file.write_all_at(&fill(*tag, *len), end)?;
                path
            }
            Op::Overwrite {
                path,
                off,
                len,
                tag,
            } => {
                writable(path)?.write_all_at(&fill(*tag, *len), *off as u64)?;
                path
            }
            Op::Block {
                path,
                block,
                tag,
                how,
            } => {
                blocks::write(&at(path), (block * BLOCK) as u64, *tag, *how)?;
                path
            }
            Op::Rename { from, to } => {
                fs::rename(at(from), at(to))?;
                to
            }
            Op::Link { from, to } => {
                fs::hard_link(at(from), at(to))?;
                to
            }
            Op::Unlink { path, touch } => {
                fs::remove_file(at(path))?;
                writable(touch)?.set_modified(SystemTime::now())?;
                touch
            }
            Op::Truncate { path, len } => {
                writable(path)?.set_len(*len as u64)?;
                path
            }
            Op::Fallocate { path, len } => {
                fallocate(writable(path)?, FallocateFlags::empty(), 0, *len as u64)?;
                path
            }
            Op::Mkdir { path, file } => {
                fs::create_dir(at(path))?;
                match file {
                    Some(file) => {
                        File::create_new(at(file))?;
                        file
                    }
                    None => parent(path),
                }
            }
            Op::Rmdir { path, touch } => {
                fs::remove_dir(at(path))?;
                writable(touch)?.set_modified(SystemTime::now())?;
                touch
            }
            Op::Tmpfile { path, len, tag } => {
                let flags = OFlags::WRONLY | OFlags::TMPFILE;
                let file = File::from(open(at(parent(path)), flags, Mode::from(0o644))?);
                file.write_all_at(&fill(*tag, *len), 0)?;
                let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(CWD, unnamed, CWD, at(path), AtFlags::SYMLINK_FOLLOW)?;
                path
            }
            Op::UnlinkOpen { path } => {
                let file = File::open(at(path))?;
                fs::remove_file(at(path))?;
                // Open until the end: only so can it be synced.
                return Ok(format!("/proc/self/fd/{}", file.into_raw_fd()).into());
            }
        };
        Ok(at(target))
    }
}

/// The fsync that makes an operation durable.
pub fn sync(path: &Path) -> Result<()> {
    let fd = open(path, OFlags::RDONLY, Mode::empty())
        .with_context(|| format!("open {}", path.display()))?;
    fsync(fd).with_context(|| format!("fsync {}", path.display()))
}
