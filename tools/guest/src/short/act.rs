// SPDX-License-Identifier: GPL-2.0
//! Operations and syncs, carried out.

use super::{Op, Step, Sync};
use crate::ops::fill;
use anyhow::{Context, Result};
use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{
    chmodat, chownat, fallocate, fdatasync, fsync, ioctl_getflags, ioctl_setflags, linkat,
    lremovexattr, lsetxattr, makedev, mkdirat, mknodat, open, renameat_with, symlinkat, syncfs,
    unlinkat, utimensat, AtFlags, FallocateFlags, FileType, Gid, IFlags, Mode, OFlags, RenameFlags,
    Timespec, Timestamps, Uid, XattrFlags, CWD,
};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What stays open until the end of a workload.
#[derive(Debug, Default)]
pub struct Held(Vec<File>);

impl Held {
    /// What was opened last.
    pub fn last(&self) -> Option<&File> {
        self.0.last()
    }
}

/// A POSIX ACL as an attribute has it: version 2, then entries of tag, permissions and id.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Owner, a user, group, mask, others.
fn long_acl() -> Vec<u8> {
    let none = u32::MAX;
    acl(&[
        (1, 6, none),
        (2, 5, 1234),
        (4, 4, none),
        (0x10, 7, none),
        (0x20, 0, none),
    ])
}

fn short_acl() -> Vec<u8> {
    let none = u32::MAX;
    acl(&[(1, 7, none), (4, 5, none), (0x20, 1, none)])
}

fn writable(path: &Path) -> Result<File> {
    Ok(File::from(open(
        path,
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK,
        Mode::empty(),
    )?))
}

/// What can be synced: never the target of a link, and without waiting for a writer.
fn readable(path: &Path) -> Result<File> {
    Ok(File::from(open(
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK,
        Mode::empty(),
    )?))
}

fn create(path: &Path, more: OFlags) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(File::from(open(path, flags | more, Mode::from(0o640))?))
}

fn tmpfile(dir: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE;
    Ok(File::from(open(dir, flags, Mode::from(0o640))?))
}

/// Writes with a page-aligned buffer, past the page cache.
fn write_direct(path: &Path, off: u64, bytes: &[u8]) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::DIRECT | OFlags::NOFOLLOW;
    let file = File::from(open(path, flags, Mode::empty())?);
    let mut buffer = MmapMut::map_anon(bytes.len())?;
    buffer.copy_from_slice(bytes);
    Ok(file.write_all_at(&buffer, off)?)
}

/// Stores through a shared mapping; the file must reach that far.
fn write_mapped(path: &Path, off: u64, bytes: &[u8]) -> Result<()> {
    let file = writable(path)?;
    let end = off as usize + bytes.len();
    anyhow::ensure!(file.metadata()?.len() >= end as u64, "beyond the end");
    // SAFETY: Nobody else changes the file while it is mapped.
    let mut map = unsafe { MmapOptions::new().len(end).map_mut(&file)? };
    map[off as usize..].copy_from_slice(bytes);
    Ok(())
}

fn preallocate(path: &Path, flags: FallocateFlags, off: u64, len: u64) -> Result<()> {
    Ok(fallocate(writable(path)?, flags, off, len)?)
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_retain(bits)
}

fn times(atime: i64, mtime: i64) -> Timestamps {
    let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    Timestamps {
        last_access: at(atime, 123_456_789),
        last_modification: at(mtime, 987_654_321),
    }
}

impl Op {
    /// Carries the operation out below `root`. The bytes that it writes are those of
    /// `tag`. An error is one of the operation, of which nothing has been done then.
    pub fn run(self, root: &Path, tag: u64, held: &mut Held) -> Result<()> {
        let at = |path: &str| root.join(path);
        let rename = |from: &str, to: &str, flags| -> Result<()> {
            Ok(renameat_with(CWD, at(from), CWD, at(to), flags)?)
        };
        let node = |path: &str, kind, dev| -> Result<()> {
            Ok(mknodat(CWD, at(path), kind, mode(0o640), dev)?)
        };
        match self {
            Self::Creat(path) => {
                create(&at(path), OFlags::CREATE | OFlags::EXCL)?;
            }
            Self::CreatOver(path) => {
                create(&at(path), OFlags::TRUNC)?;
            }
            Self::Mkdir(path) => mkdirat(CWD, at(path), mode(0o750))?,
            Self::Symlink(path, len) => symlinkat("t".repeat(len), CWD, at(path))?,
            Self::Fifo(path) => node(path, FileType::Fifo, 0)?,
            Self::Socket(path) => node(path, FileType::Socket, 0)?,
            Self::CharDev(path, major, minor) => {
                node(path, FileType::CharacterDevice, makedev(major, minor))?;
            }
            Self::BlockDev(path, major, minor) => {
                node(path, FileType::BlockDevice, makedev(major, minor))?;
            }
            Self::Link(from, to) => linkat(CWD, at(from), CWD, at(to), AtFlags::empty())?,
            Self::Unlink(path) => unlinkat(CWD, at(path), AtFlags::empty())?,
            Self::UnlinkOpen(path) => {
                let file = writable(&at(path))?;
                unlinkat(CWD, at(path), AtFlags::empty())?;
                held.0.push(file);
            }
            Self::UnlinkOpenWrite(path) => {
                let file = writable(&at(path))?;
                unlinkat(CWD, at(path), AtFlags::empty())?;
                file.write_all_at(&fill(tag, 5000), 0)?;
                held.0.push(file);
            }
            Self::Rmdir(path) => unlinkat(CWD, at(path), AtFlags::REMOVEDIR)?,
            Self::Rename(from, to) => rename(from, to, RenameFlags::empty())?,
            Self::Exchange(from, to) => rename(from, to, RenameFlags::EXCHANGE)?,
            Self::Whiteout(from, to) => rename(from, to, RenameFlags::WHITEOUT)?,
            Self::Append(path, len) => {
                let file = writable(&at(path))?;
                file.write_all_at(&fill(tag, len), file.metadata()?.len())?;
            }
            Self::Write(path, off, len) => {
                writable(&at(path))?.write_all_at(&fill(tag, len), off)?;
            }
            Self::Mapped(path, off, len) => write_mapped(&at(path), off, &fill(tag, len))?,
            Self::Direct(path, off, len) => write_direct(&at(path), off, &fill(tag, len))?,
            Self::Truncate(path, len) => writable(&at(path))?.set_len(len)?,
            Self::SetXattr(path, name, len) => {
                lsetxattr(at(path), name, &fill(tag, len), XattrFlags::empty())?;
            }
            Self::RemoveXattr(path, name) => lremovexattr(at(path), name)?,
            Self::SetFacl(path) => set_acl(&at(path), "system.posix_acl_access", &long_acl())?,
            Self::SetFaclMode(path) => {
                set_acl(&at(path), "system.posix_acl_access", &short_acl())?;
            }
            Self::SetFaclDefault(path) => {
                set_acl(&at(path), "system.posix_acl_default", &long_acl())?;
            }
            Self::Chmod(path, bits) => chmodat(CWD, at(path), mode(bits), AtFlags::empty())?,
            Self::Chown(path, user, group) => {
                let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
                chownat(CWD, at(path), user, group, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Self::Utimes(path, atime, mtime) => {
                let times = times(atime, mtime);
                utimensat(CWD, at(path), &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Self::Chattr(path, flags) => {
                let file = readable(&at(path))?;
                let flags = ioctl_getflags(&file)? | IFlags::from_bits_retain(flags);
                ioctl_setflags(&file, flags)?;
            }
            Self::TmpfileLink(path, len) => {
                let dir = at(path).parent().context("a directory")?.to_owned();
                let file = tmpfile(&dir)?;
                file.write_all_at(&fill(tag, len), 0)?;
                let own = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(CWD, own, CWD, at(path), AtFlags::SYMLINK_FOLLOW)?;
            }
            Self::TmpfileOpen(dir) => held.0.push(tmpfile(&at(dir))?),
            _ => self.allocate(root)?,
        }
        Ok(())
    }

    /// The modes of fallocate.
    fn allocate(self, root: &Path) -> Result<()> {
        type Flags = FallocateFlags;
        let (flags, path, off, len) = match self {
            Self::Fallocate(path, off, len) => (Flags::empty(), path, off, len),
            Self::FallocateKeep(path, off, len) => (Flags::KEEP_SIZE, path, off, len),
            Self::Punch(path, off, len) => (Flags::PUNCH_HOLE | Flags::KEEP_SIZE, path, off, len),
            Self::Zero(path, off, len) => (Flags::ZERO_RANGE, path, off, len),
            Self::ZeroKeep(path, off, len) => {
                (Flags::ZERO_RANGE | Flags::KEEP_SIZE, path, off, len)
            }
            Self::Collapse(path, off, len) => (Flags::COLLAPSE_RANGE, path, off, len),
            Self::Insert(path, off, len) => (Flags::INSERT_RANGE, path, off, len),
            other => anyhow::bail!("{other:?} allocates nothing"),
        };
        preallocate(&root.join(path), flags, off, len)
    }
}

fn set_acl(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    Ok(lsetxattr(path, name, value, XattrFlags::empty())?)
}

impl Step {
    /// What an fsync of the step is of: its file, what it left open, its directory.
    pub fn target(&self, root: &Path, held: &Held) -> Result<Option<File>> {
        Ok(match self.sync {
            Sync::Nothing | Sync::Sync => None,
            Sync::Syncfs => Some(readable(root)?),
            Sync::FsyncDir => Some(readable(&root.join(self.op.dir()))?),
            Sync::Fsync | Sync::Fdatasync if self.op.keeps_open() => {
                let file = held.last().context("nothing is open")?;
                Some(file.try_clone()?)
            }
            Sync::Fsync | Sync::Fdatasync => {
                let path = self.op.file().context("nothing to sync")?;
                Some(readable(&root.join(path))?)
            }
        })
    }

    /// Syncs; `target` is what [`Step::target`] gave.
    pub fn sync(&self, target: Option<&File>) -> Result<()> {
        let target = || target.context("nothing to sync");
        match self.sync {
            Sync::Nothing => {}
            Sync::Fsync | Sync::FsyncDir => fsync(target()?)?,
            Sync::Fdatasync => fdatasync(target()?)?,
            Sync::Syncfs => syncfs(target()?)?,
            Sync::Sync => rustix::fs::sync(),
        }
        Ok(())
    }
}
