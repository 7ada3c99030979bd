// SPDX-License-Identifier: GPL-2.0
//! Loads whose fsyncs are measured. They are made to be cheap around the fsync
//! and the same every time; what is right afterwards is for the workloads.

use crate::ops::fill;
use anyhow::{Context, Result};
use rustix::fs::{fallocate, fdatasync, fsetxattr, fsync, FallocateFlags, XattrFlags};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::unix::fs::{symlink, FileExt};
use std::path::{Path, PathBuf};

/// Bytes of an append that needs a new block.
pub const BLOCK: usize = 4096;

/// What SELinux calls most files of a home directory.
const LABEL: &[u8] = b"unconfined_u:object_r:user_home_t:s0\0";

/// Files of a batch that one fsync makes durable, where nothing else is said.
pub const BATCH: u64 = 100;

/// What is done before each fsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// An empty file is created, and synced.
    Create,
    /// A block is appended to one file.
    Append,
    /// The same with fdatasync.
    AppendFdatasync,
    /// A file is created and the one before it unlinked; the new one is synced.
    CreateUnlink,
    /// A file is renamed, and synced.
    Rename,
    /// The same, and the directory is synced: what makes a rename durable elsewhere.
    RenameDir,
    /// An empty file with a label, as each has on a system with SELinux.
    CreateLabel,
    /// A directory is made, and the one that it is in is synced.
    Mkdir,
    /// The same with a symbolic link.
    Symlink,
    /// A block is appended to one file and to another that is open and has no name; the
    /// first is synced.
    UnlinkedOpen,
    /// A file gets one more name, and is synced.
    Link,
    /// A file is cut shorter by a block.
    Truncate,
    /// A block is allocated behind a file's end.
    Fallocate,
    /// As many empty files as a batch has; the last one is synced.
    Batch,
    /// A block that is there is written again: no metadata but the time.
    Overwrite,
    /// A file gets as many names as a batch has, or loses them: as many TLVs.
    Links,
    /// Nothing: the floor of the system call.
    Nothing,
}

impl Load {
    /// Those that are compared with each other, in the order of reports.
    pub const ALL: [Self; 16] = [
        Self::Create,
        Self::Append,
        Self::AppendFdatasync,
        Self::CreateUnlink,
        Self::Rename,
        Self::RenameDir,
        Self::CreateLabel,
        Self::Mkdir,
        Self::Symlink,
        Self::UnlinkedOpen,
        Self::Link,
        Self::Truncate,
        Self::Fallocate,
        Self::Batch,
        Self::Overwrite,
        Self::Nothing,
    ];

    /// The name in tables and in bench.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Append => "append",
            Self::AppendFdatasync => "append_fdatasync",
            Self::CreateUnlink => "create_unlink",
            Self::Rename => "rename",
            Self::RenameDir => "rename_dir",
            Self::CreateLabel => "create_label",
            Self::Mkdir => "mkdir",
            Self::Symlink => "symlink",
            Self::UnlinkedOpen => "unlinked_open",
            Self::Link => "link",
            Self::Truncate => "truncate",
            Self::Fallocate => "fallocate",
            Self::Batch => "batch100",
            Self::Overwrite => "overwrite",
            Self::Links => "links",
            Self::Nothing => "nothing",
        }
    }
}

/// A load under way in a directory.
pub struct Runner {
    load: Load,
    dir: PathBuf,
    /// The file that loads without new files work on.
    file: File,
    /// One that has no name any more.
    unnamed: File,
    block: Vec<u8>,
    /// Files or names of a batch.
    batch: u64,
}

impl Runner {
    /// Makes the directory and what `rounds` rounds of the load need in it.
    pub fn new(load: Load, dir: &Path, rounds: u64, batch: u64) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let file = File::create(dir.join("file"))?;
        let path = dir.join("unnamed");
        let unnamed = File::create(&path)?;
        fs::remove_file(path)?;
        let block = fill(1, BLOCK);
        match load {
            Load::Truncate => {
                for i in 0..rounds {
                    file.write_all_at(&block, i * BLOCK as u64)?;
                }
            }
            Load::Overwrite => file.write_all_at(&block, 0)?,
            Load::Rename | Load::RenameDir => {
                File::create(dir.join("name0"))?;
            }
            Load::Links => {
                // The directory grows now, and not when it is measured.
                let names = (0..batch).map(|k| dir.join(format!("link{k}")));
                for name in names.clone() {
                    fs::hard_link(dir.join("file"), name)?;
                }
                for name in names {
                    fs::remove_file(name)?;
                }
            }
            _ => {}
        }
        Ok(Self {
            load,
            dir: dir.to_owned(),
            file,
            unnamed,
            block,
            batch,
        })
    }

    /// Does what comes before fsync number `i`, counted from 0; returns the file
    /// to sync.
    pub fn step(&self, i: u64) -> Result<File> {
        let at = |stem: &str, i: u64| self.dir.join(format!("{stem}{i}"));
        let same = || self.file.try_clone();
        let top = || File::open(&self.dir);
        let end = i * BLOCK as u64;
        Ok(match self.load {
            Load::Create => File::create_new(at("new", i))?,
            Load::CreateUnlink => {
                let file = File::create_new(at("new", i))?;
                if let Some(before) = i.checked_sub(1) {
                    fs::remove_file(at("new", before))?;
                }
                file
            }
            Load::Append | Load::AppendFdatasync => {
                self.file.write_all_at(&self.block, end)?;
                same()?
            }
            Load::Rename => {
                fs::rename(at("name", i), at("name", i + 1))?;
                File::open(at("name", i + 1))?
            }
            Load::RenameDir => {
                fs::rename(at("name", i), at("name", i + 1))?;
                top()?
            }
            Load::CreateLabel => {
                let file = File::create_new(at("new", i))?;
                fsetxattr(&file, "security.selinux", LABEL, XattrFlags::CREATE)?;
                file
            }
            Load::Mkdir => {
                fs::create_dir(at("dir", i))?;
                top()?
            }
            Load::Symlink => {
                symlink("file", at("link", i))?;
                top()?
            }
            Load::UnlinkedOpen => {
                self.unnamed.write_all_at(&self.block, end)?;
                self.file.write_all_at(&self.block, end)?;
                same()?
            }
            Load::Link => {
                fs::hard_link(self.dir.join("file"), at("link", i))?;
                same()?
            }
            Load::Truncate => {
                let len = self.file.metadata()?.len();
                self.file.set_len(len.saturating_sub(BLOCK as u64))?;
                same()?
            }
            Load::Fallocate => {
                fallocate(&self.file, FallocateFlags::empty(), end, BLOCK as u64)?;
                same()?
            }
            Load::Batch => {
                let first = i * self.batch;
                let last = first + self.batch.saturating_sub(1);
                for k in first..last {
                    File::create_new(at("new", k))?;
                }
                File::create_new(at("new", last))?
            }
            Load::Links => {
                for k in 0..self.batch {
                    match i % 2 {
                        0 => fs::hard_link(self.dir.join("file"), at("link", k))?,
                        _ => fs::remove_file(at("link", k))?,
                    }
                }
                same()?
            }
            Load::Overwrite => {
                self.file.write_all_at(&self.block, 0)?;
                same()?
            }
            Load::Nothing => same()?,
        })
    }

    /// Makes it durable.
    pub fn sync(&self, file: &File) -> rustix::io::Result<()> {
        match self.load {
            Load::AppendFdatasync => fdatasync(file),
            _ => fsync(file),
        }
    }
}
