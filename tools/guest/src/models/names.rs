// SPDX-License-Identifier: GPL-2.0
//! Models of programs that make files and rename them.

use super::{create, Syncs};
use crate::ops::fill;
use anyhow::Result;
use rustix::fs::{linkat, openat, AtFlags, Mode, OFlags, CWD};
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Mails that are there, of varmail.
const MAILS: u64 = 50;

/// Files that are edited.
const EDITED: u64 = 8;

/// Messages of a maildir that are kept.
const KEPT: u64 = 30;

/// Directories in a directory.
const ARITY: u64 = 6;

/// The size of message number `i`, from 512 bytes to 8 KiB.
fn size_of(i: u64) -> usize {
    512 + (i * 2654435761 % 7680) as usize
}

pub fn prepare_varmail(dir: &Path) -> Result<()> {
    for i in 0..MAILS {
        create(&dir.join(format!("mail{i}")), i, size_of(i))?;
    }
    Ok(())
}

/// One mail is deleted, one written, one read and written on, one read.
pub fn varmail(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let mail = |i: u64| dir.join(format!("mail{i}"));
    for i in 0..ops {
        fs::remove_file(mail(i))?;
        let new = create(&mail(MAILS + i), i, size_of(i))?;
        syncs.file(&new)?;
        drop(new);
        let mut file = File::options()
            .read(true)
            .append(true)
            .open(mail(i + MAILS / 2))?;
        file.read_to_end(&mut Vec::new())?;
        file.write_all(&fill(i, size_of(i + 1)))?;
        syncs.file(&file)?;
        fs::read(mail(i + MAILS / 3))?;
    }
    Ok(())
}

pub fn prepare_maildir(dir: &Path) -> Result<()> {
    for sub in ["tmp", "new", "cur"] {
        fs::create_dir(dir.join(sub))?;
    }
    Ok(())
}

/// A message is delivered; the one before it is seen, and old ones are removed.
pub fn maildir(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let at = |sub: &str, i: u64| dir.join(sub).join(format!("1700000{i:03}.M{i}P7.host"));
    let seen = |i: u64| {
        dir.join("cur")
            .join(format!("1700000{i:03}.M{i}P7.host:2,S"))
    };
    for i in 0..ops {
        let message = create(&at("tmp", i), i, size_of(i))?;
        syncs.file(&message)?;
        fs::rename(at("tmp", i), at("new", i))?;
        syncs.dir(&dir.join("new"))?;
        if let Some(before) = i.checked_sub(1) {
            fs::rename(at("new", before), seen(before))?;
        }
        if let Some(old) = i.checked_sub(KEPT) {
            fs::remove_file(seen(old))?;
        }
    }
    Ok(())
}

fn edited(dir: &Path, i: u64) -> PathBuf {
    dir.join(format!("file{}.txt", i % EDITED))
}

pub fn prepare_editor(dir: &Path) -> Result<()> {
    for i in 0..EDITED {
        create(&edited(dir, i), i, size_of(i))?;
    }
    Ok(())
}

/// A file is written anew beside the old one, gets its mode and its name.
pub fn editor(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    for i in 0..ops {
        let (old, new) = (edited(dir, i), dir.join(format!(".save{i}~")));
        let mode = fs::metadata(&old)?.permissions().mode();
        let file = create(&new, i, size_of(i))?;
        file.set_permissions(Permissions::from_mode(mode))?;
        syncs.file(&file)?;
        fs::rename(&new, &old)?;
        syncs.dir(dir)?;
    }
    Ok(())
}

/// A directory with a file in it, durable from the file up.
pub fn mkdir_tree(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    // The directory of number i, of which 0 is the root of the tree.
    fn at(dir: &Path, i: u64) -> PathBuf {
        match i.checked_sub(1) {
            None => dir.to_owned(),
            Some(before) => at(dir, before / ARITY).join(format!("dir{i}")),
        }
    }
    for i in 1..=ops {
        let new = at(dir, i);
        fs::create_dir(&new)?;
        let file = create(&new.join("file"), i, size_of(i))?;
        syncs.file(&file)?;
        syncs.dir(&new)?;
        if let Some(parent) = new.parent() {
            syncs.dir(parent)?;
        }
    }
    Ok(())
}

/// A file without a name is written, made durable and linked.
pub fn tmpfile_link(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    for i in 0..ops {
        let mut file = File::from(openat(CWD, dir, flags, Mode::from(0o644))?);
        file.write_all(&fill(i, size_of(i)))?;
        syncs.file(&file)?;
        let open = format!("/proc/self/fd/{}", file.as_raw_fd());
        let name = dir.join(format!("object{i}"));
        linkat(CWD, open, CWD, name, AtFlags::SYMLINK_FOLLOW)?;
        syncs.dir(dir)?;
    }
    Ok(())
}
