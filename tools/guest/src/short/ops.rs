// SPDX-License-Identifier: GPL-2.0
//! The operations, with their edge arguments, and the ways to sync.
//!
//! The names that they work on, as [`super::start`] makes them: directories A and B;
//! files A/f (three blocks; B/h is its second name), A/g (small, with an attribute), B/f
//! (with blocks that were never written), B/g (with holes); the symbolic link A/s; empty
//! directories A/e and B/e. A/n and B/n are free.

use std::fmt;

/// What is done. Offsets and lengths in bytes; all paths below the mount's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Creat(&'static str),
    /// An existing file, opened with O_TRUNC.
    CreatOver(&'static str),
    Mkdir(&'static str),
    /// A symbolic link with a target of so many bytes.
    Symlink(&'static str, usize),
    Fifo(&'static str),
    Socket(&'static str),
    CharDev(&'static str, u32, u32),
    BlockDev(&'static str, u32, u32),
    Link(&'static str, &'static str),
    Unlink(&'static str),
    /// The file stays open until the end of the workload.
    UnlinkOpen(&'static str),
    /// And is written to.
    UnlinkOpenWrite(&'static str),
    Rmdir(&'static str),
    Rename(&'static str, &'static str),
    Exchange(&'static str, &'static str),
    Whiteout(&'static str, &'static str),
    /// So many bytes behind the end.
    Append(&'static str, usize),
    Write(&'static str, u64, usize),
    /// Stores into a shared mapping.
    Mapped(&'static str, u64, usize),
    Direct(&'static str, u64, usize),
    Truncate(&'static str, u64),
    Fallocate(&'static str, u64, u64),
    FallocateKeep(&'static str, u64, u64),
    Punch(&'static str, u64, u64),
    Zero(&'static str, u64, u64),
    ZeroKeep(&'static str, u64, u64),
    Collapse(&'static str, u64, u64),
    Insert(&'static str, u64, u64),
    /// An attribute with a value of so many bytes.
    SetXattr(&'static str, &'static str, usize),
    RemoveXattr(&'static str, &'static str),
    /// An access ACL with an entry for a user.
    SetFacl(&'static str),
    /// One that only says what a mode says, too: it becomes the mode.
    SetFaclMode(&'static str),
    SetFaclDefault(&'static str),
    Chmod(&'static str, u32),
    Chown(&'static str, u32, u32),
    /// The times of access and of modification, in seconds.
    Utimes(&'static str, i64, i64),
    /// These flags are set besides those that are.
    Chattr(&'static str, u32),
    /// A file without a name, written to with so many bytes, which gets the name.
    TmpfileLink(&'static str, usize),
    /// One that never gets a name and stays open, in this directory.
    TmpfileOpen(&'static str),
}

/// What is synced behind an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    Nothing,
    Fsync,
    FsyncDir,
    Fdatasync,
    Syncfs,
    Sync,
}

/// All of them; the first one is none.
pub const SYNCS: [Sync; 6] = [
    Sync::Nothing,
    Sync::Fsync,
    Sync::FsyncDir,
    Sync::Fdatasync,
    Sync::Syncfs,
    Sync::Sync,
];

/// An operation and its sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub op: Op,
    pub sync: Sync,
}

/// NODUMP, NOATIME, JOURNAL_DATA, SYNC as FS_IOC_SETFLAGS has them.
const NODUMP: u32 = 0x40;
const NOATIME: u32 = 0x80;
const JOURNAL_DATA: u32 = 0x4000;
const SYNC: u32 = 0x8;

pub const OPS: &[Op] = &[
    Op::Creat("A/n"),
    Op::CreatOver("A/f"),
    Op::CreatOver("A/g"),
    Op::Mkdir("A/n"),
    Op::Symlink("A/n", 10),
    Op::Symlink("A/n", 200),
    Op::Fifo("A/n"),
    Op::Socket("A/n"),
    Op::CharDev("A/n", 1, 3),
    Op::BlockDev("A/n", 300, 70000),
    Op::Link("A/f", "A/n"),
    Op::Link("A/g", "B/n"),
    Op::Link("A/s", "A/n"),
    Op::Unlink("A/f"),
    Op::Unlink("A/g"),
    Op::Unlink("B/h"),
    Op::Unlink("A/s"),
    Op::Unlink("B/f"),
    Op::UnlinkOpen("A/g"),
    Op::UnlinkOpen("A/f"),
    Op::UnlinkOpenWrite("A/g"),
    Op::Rmdir("A/e"),
    Op::Rename("A/f", "A/n"),
    Op::Rename("A/f", "B/n"),
    Op::Rename("A/f", "A/g"),
    Op::Rename("A/g", "A/f"),
    Op::Rename("A/f", "B/g"),
    Op::Rename("A/f", "B/h"),
    Op::Rename("A/s", "B/n"),
    Op::Rename("A/e", "A/n"),
    Op::Rename("A/e", "B/n"),
    Op::Rename("A/e", "B/e"),
    Op::Rename("B", "A/n"),
    Op::Exchange("A/f", "A/g"),
    Op::Exchange("A/f", "B/g"),
    Op::Exchange("A/e", "B/f"),
    Op::Exchange("A/e", "B/e"),
    Op::Whiteout("A/f", "A/n"),
    Op::Whiteout("A/f", "B/n"),
    Op::Whiteout("A/f", "A/g"),
    Op::Append("A/f", 100),
    Op::Append("A/g", 4096),
    Op::Append("A/g", 20_000),
    Op::Append("B/h", 4096),
    Op::Write("A/f", 100, 100),
    Op::Write("A/f", 4096, 4096),
    Op::Write("A/f", 0, 8292),
    Op::Write("B/g", 20_000, 3000),
    Op::Write("B/g", 8192, 4096),
    Op::Write("A/f", 100_000, 100),
    Op::Write("B/f", 4000, 8192),
    Op::Write("B/f", 16_384, 4096),
    Op::Mapped("A/f", 100, 5000),
    Op::Mapped("B/g", 24_576, 100),
    Op::Mapped("B/f", 12_288, 4096),
    Op::Direct("A/f", 0, 4096),
    Op::Direct("A/f", 12_288, 4096),
    Op::Direct("B/g", 12_288, 8192),
    Op::Direct("B/f", 20_480, 4096),
    Op::Truncate("A/f", 5000),
    Op::Truncate("A/f", 4096),
    Op::Truncate("A/f", 50_000),
    Op::Truncate("A/f", 0),
    Op::Truncate("B/g", 9000),
    Op::Truncate("B/f", 10_000),
    Op::Fallocate("A/f", 0, 40_960),
    Op::Fallocate("B/g", 4096, 8192),
    Op::FallocateKeep("A/g", 4096, 16_384),
    Op::Punch("A/f", 0, 4096),
    Op::Punch("A/f", 1000, 6000),
    Op::Punch("B/f", 4096, 12_288),
    Op::Zero("A/f", 0, 4096),
    Op::Zero("A/f", 1000, 60_000),
    Op::ZeroKeep("A/g", 0, 12_288),
    Op::Collapse("A/f", 0, 4096),
    Op::Insert("A/f", 4096, 8192),
    Op::SetXattr("A/f", "user.b", 10),
    Op::SetXattr("A/g", "user.a", 30),
    Op::SetXattr("A/f", "user.big", 2000),
    Op::SetXattr("A/f", "security.selinux", 30),
    Op::SetXattr("A/s", "trusted.t", 5),
    Op::SetXattr("A", "user.b", 10),
    Op::RemoveXattr("A/g", "user.a"),
    Op::SetFacl("A/f"),
    Op::SetFaclMode("A/g"),
    Op::SetFaclDefault("A"),
    Op::Chmod("A/f", 0o4711),
    Op::Chmod("A", 0o1700),
    Op::Chown("A/f", 70_000, 7),
    Op::Chown("A", 3, 4),
    Op::Chown("A/s", 5, 6),
    Op::Utimes("A/f", 1_000_000_000, -5),
    Op::Utimes("A", 4_000_000_000, 5_000_000_000),
    Op::Utimes("A/s", 7, 8),
    Op::Chattr("A/f", NODUMP | NOATIME),
    Op::Chattr("A", NODUMP),
    Op::Chattr("A/g", SYNC),
    Op::Chattr("A/g", JOURNAL_DATA),
    Op::TmpfileLink("A/n", 0),
    Op::TmpfileLink("B/n", 5000),
    Op::TmpfileOpen("A"),
];

fn parent(path: &'static str) -> &'static str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Op {
    /// The name behind which the changed object is afterwards, if it has one that can be
    /// opened for an fsync. A file that has just been unlinked is synced where it is
    /// still open ([`super::Held`]).
    pub fn file(self) -> Option<&'static str> {
        match self {
            Self::Symlink(..)
            | Self::Fifo(_)
            | Self::Socket(_)
            | Self::CharDev(..)
            | Self::BlockDev(..)
            | Self::Unlink(_)
            | Self::Rmdir(_)
            | Self::UnlinkOpen(_)
            | Self::UnlinkOpenWrite(_)
            | Self::TmpfileOpen(_) => None,
            Self::Link(_, path)
            | Self::Rename(_, path)
            | Self::Exchange(_, path)
            | Self::Whiteout(_, path) => Some(path),
            Self::Creat(path)
            | Self::CreatOver(path)
            | Self::Mkdir(path)
            | Self::TmpfileLink(path, _) => Some(path),
            _ => Some(self.path()),
        }
        .filter(|path| *path != "A/s" && !(self.of_symlink() && *path != self.path()))
    }

    /// Whether the object is the symbolic link.
    fn of_symlink(self) -> bool {
        self.path() == "A/s"
    }

    /// Whether the operation leaves a file without a name open, which an fsync can be of.
    pub fn keeps_open(self) -> bool {
        matches!(
            self,
            Self::UnlinkOpen(_) | Self::UnlinkOpenWrite(_) | Self::TmpfileOpen(_)
        )
    }

    /// The directory whose names or attributes change, or that holds what does.
    pub fn dir(self) -> &'static str {
        match self {
            Self::Rename(_, to) | Self::Exchange(_, to) | Self::Whiteout(_, to) => parent(to),
            Self::Link(_, to) => parent(to),
            Self::TmpfileOpen(dir) => dir,
            _ => match self.path() {
                dir @ ("A" | "B") => dir,
                path => parent(path),
            },
        }
    }

    /// The first path of the operation.
    pub fn path(self) -> &'static str {
        match self {
            Self::Creat(p)
            | Self::CreatOver(p)
            | Self::Mkdir(p)
            | Self::Symlink(p, _)
            | Self::Fifo(p)
            | Self::Socket(p)
            | Self::CharDev(p, ..)
            | Self::BlockDev(p, ..)
            | Self::Link(p, _)
            | Self::Unlink(p)
            | Self::UnlinkOpen(p)
            | Self::UnlinkOpenWrite(p)
            | Self::Rmdir(p)
            | Self::Rename(p, _)
            | Self::Exchange(p, _)
            | Self::Whiteout(p, _)
            | Self::Append(p, _)
            | Self::Write(p, ..)
            | Self::Mapped(p, ..)
            | Self::Direct(p, ..)
            | Self::Truncate(p, _)
            | Self::Fallocate(p, ..)
            | Self::FallocateKeep(p, ..)
            | Self::Punch(p, ..)
            | Self::Zero(p, ..)
            | Self::ZeroKeep(p, ..)
            | Self::Collapse(p, ..)
            | Self::Insert(p, ..)
            | Self::SetXattr(p, ..)
            | Self::RemoveXattr(p, _)
            | Self::SetFacl(p)
            | Self::SetFaclMode(p)
            | Self::SetFaclDefault(p)
            | Self::Chmod(p, _)
            | Self::Chown(p, ..)
            | Self::Utimes(p, ..)
            | Self::Chattr(p, _)
            | Self::TmpfileLink(p, _)
            | Self::TmpfileOpen(p) => p,
        }
    }

    /// The name of the operation without its arguments.
    pub fn kind(self) -> String {
        let text = format!("{self:?}");
        text.split('(').next().unwrap_or_default().to_lowercase()
    }

    /// Whether file data goes through the page cache, to be written at some later time.
    pub fn is_delayed(self) -> bool {
        matches!(
            self,
            Self::Append(..)
                | Self::Write(..)
                | Self::Mapped(..)
                | Self::TmpfileLink(..)
                | Self::UnlinkOpenWrite(_)
        )
    }

    /// Whether the sync is possible.
    pub fn can(self, sync: Sync) -> bool {
        match sync {
            Sync::Fsync | Sync::Fdatasync => self.file().is_some() || self.keeps_open(),
            _ => true,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").replace('"', ""))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sync {
            Sync::Nothing => write!(f, "{}", self.op),
            Sync::Fsync | Sync::Fdatasync => {
                let name = self.op.file().unwrap_or("what is open");
                write!(f, "{}, {:?} {name}", self.op, self.sync)
            }
            Sync::FsyncDir => write!(f, "{}, Fsync {}/", self.op, self.op.dir()),
            sync => write!(f, "{}, {sync:?}", self.op),
        }
    }
}
