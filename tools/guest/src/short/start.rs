// SPDX-License-Identifier: GPL-2.0
//! What a workload begins with.

use crate::ops::fill;
use anyhow::{Context, Result};
use rustix::fs::{fallocate, fsync, setxattr, FallocateFlags, XattrFlags};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::unix::fs::{symlink, FileExt};
use std::path::Path;

/// Where a workload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// A filesystem with nothing but the names.
    Empty,
    /// One with a full directory block, a fragmented file, and an old journal.
    History,
}

pub const STARTS: [Start; 2] = [Start::Empty, Start::History];

/// Bytes of a directory block that entries can have.
const ENTRIES: usize = 4096 - 12;

/// What an entry of a directory takes.
fn entry(name: usize) -> usize {
    (8 + name).next_multiple_of(4)
}

/// Fills the only block of directory A to its last byte, with names of one empty file.
fn fill_directory(root: &Path) -> Result<()> {
    let dir = root.join("A");
    let mut left = ENTRIES - entry(1) - entry(2);
    for item in fs::read_dir(&dir)? {
        left -= entry(item?.file_name().len());
    }
    let mut first = None;
    for number in 0.. {
        // The last two names share what is left.
        let room = match left {
            0 => break,
            1..=256 => left,
            257..=512 => left / 8 * 4,
            _ => 256,
        };
        let len = room - 8;
        let path = dir.join(format!("{number:x<len$}"));
        match &first {
            None => {
                File::create_new(&path)?;
                first = Some(path);
            }
            Some(first) => fs::hard_link(first, &path)?,
        }
        left -= room;
    }
    anyhow::ensure!(fs::metadata(&dir)?.len() == 4096, "the directory has grown");
    Ok(())
}

/// Commits of all kinds, so that the journal and the log in it hold what is past.
fn use_journal(root: &Path) -> Result<()> {
    for round in 0..40_u64 {
        let path = root.join(format!("B/old{round}"));
        let file = File::create_new(&path)?;
        file.write_all_at(&fill(round, 3000), 0)?;
        fsync(&file)?;
        file.write_all_at(&fill(round, 6000), 3000)?;
        fsync(&file)?;
        fs::rename(&path, root.join("B/old"))?;
        fsync(&file)?;
        if round % 8 == 0 {
            rustix::fs::sync();
        }
    }
    fs::remove_file(root.join("B/old"))?;
    Ok(())
}

impl Start {
    /// Makes the names on a new filesystem.
    pub fn make(self, root: &Path) -> Result<()> {
        self.make_inner(root)
            .with_context(|| format!("{self:?} start"))
    }

    fn make_inner(self, root: &Path) -> Result<()> {
        let at = |path: &str| root.join(path);
        for dir in ["A", "B", "A/e", "B/e"] {
            fs::create_dir(at(dir))?;
        }
        if self == Self::History {
            use_journal(root)?;
        }
        File::create_new(at("A/f"))?.write_all_at(&fill(1, 8292), 0)?;
        fs::hard_link(at("A/f"), at("B/h"))?;
        File::create_new(at("A/g"))?.write_all_at(&fill(2, 100), 0)?;
        setxattr(at("A/g"), "user.a", &fill(3, 20), XattrFlags::CREATE)?;
        symlink("f", at("A/s"))?;
        let file = File::create_new(at("B/g"))?;
        file.write_all_at(&fill(4, 4096), 0)?;
        file.write_all_at(&fill(5, 4106), 32_768)?;
        let file = File::create_new(at("B/f"))?;
        fallocate(&file, FallocateFlags::empty(), 0, 40_960)?;
        file.write_all_at(&fill(6, 8192), 0)?;
        file.write_all_at(&fill(7, 4096), 28_672)?;
        if self == Self::History {
            // More extents than the inode has room for.
            let file = File::options().write(true).open(at("B/f"))?;
            file.write_all_at(&fill(8, 65_536), 40_960)?;
            fsync(&file)?;
            for block in (10..26).step_by(2) {
                let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                fallocate(&file, punch, block * 4096, 4096)?;
            }
            fill_directory(root)?;
        }
        rustix::fs::sync();
        Ok(())
    }
}
