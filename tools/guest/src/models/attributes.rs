// SPDX-License-Identifier: GPL-2.0
//! Models of programs that set what a file has besides its contents.

use super::{create, Syncs};
use crate::ops::fill;
use anyhow::{Context, Result};
use rustix::fs::{
    chownat, fsetxattr, makedev, mknodat, removexattr, setxattr, utimensat, AtFlags, FileType, Gid,
    Mode, Timespec, Timestamps, Uid, XattrFlags, CWD,
};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::Path;

/// Bytes of a new file.
const SIZE: usize = 700;

/// A label as SELinux has them, with the zero that ends it.
const LABEL: &[u8] = b"system_u:object_r:var_lib_t:s0\0";

/// Files whose attributes are changed.
const FILES: u64 = 20;

/// The right to listen on low ports: a revision, then two words each of what is
/// permitted and what is inherited.
fn capability() -> Vec<u8> {
    [0x0200_0001_u32, 1 << 10, 0, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

/// An ACL that lets one more user read and write, in the form of the system calls: a
/// version, then (tag, rights, id).
fn acl_of(user: u32) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in [
        (0x01u16, 6u16, NOBODY), // the owner
        (0x02, 6, user),
        (0x04, 4, NOBODY), // the group
        (0x10, 6, NOBODY), // the mask
        (0x20, 4, NOBODY), // others
    ] {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// A file is made and labelled.
pub fn selinux(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    for i in 0..ops {
        let file = create(&dir.join(format!("file{i}")), i, SIZE)?;
        fsetxattr(&file, "security.selinux", LABEL, XattrFlags::empty())
            .context("security.selinux")?;
        syncs.file(&file)?;
    }
    Ok(())
}

pub fn prepare_acl(dir: &Path) -> Result<()> {
    let name = "system.posix_acl_default";
    setxattr(dir, name, &acl_of(1000), XattrFlags::empty()).context(name)
}

/// A file is made in a directory with a default ACL.
pub fn acl(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    for i in 0..ops {
        let file = create(&dir.join(format!("file{i}")), i, SIZE)?;
        syncs.file(&file)?;
    }
    Ok(())
}

pub fn prepare_xattr_set(dir: &Path) -> Result<()> {
    for i in 0..FILES {
        create(&dir.join(format!("file{i}")), i, SIZE)?;
    }
    Ok(())
}

/// An attribute of a file is set; the next time it is changed, then removed.
pub fn xattr_set(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    for i in 0..ops {
        let path = dir.join(format!("file{}", i % FILES));
        let set = |len| {
            let value = fill(i, len);
            setxattr(&path, "user.note", &value, XattrFlags::empty()).context("user.note")
        };
        match i / FILES % 3 {
            0 => set(12)?,
            1 => set(30)?,
            _ => removexattr(&path, "user.note").context("user.note")?,
        }
        syncs.file(&File::open(&path)?)?;
    }
    Ok(())
}

/// Owner and times of what was unpacked.
fn settle(path: &Path, owner: u32, time: i64) -> Result<()> {
    let (user, group) = (Uid::from_raw(owner), Gid::from_raw(owner));
    chownat(
        CWD,
        path,
        Some(user),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let time = Timespec {
        tv_sec: time,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// A layer of a container's image is unpacked, and one call makes all of it durable.
pub fn symlink_tree(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    for i in 0..ops {
        let layer = dir.join(format!("layer{i}"));
        layer_of(&layer, i)?;
        syncs.filesystem(&layer)?;
    }
    Ok(())
}

fn layer_of(layer: &Path, number: u64) -> Result<()> {
    let time = 1_700_000_000 + number as i64;
    let dirs = ["", "bin", "dev", "etc", "lib"].map(|name| layer.join(name));
    for dir in &dirs {
        fs::create_dir(dir)?;
    }
    for (name, mode, owner) in [
        ("bin/server", 0o755, 0),
        ("bin/tool", 0o4755, 0),
        ("etc/passwd", 0o644, 0),
        ("etc/secret", 0o600, 1000),
        ("lib/lib.so.1.0", 0o755, 0),
    ] {
        let path = layer.join(name);
        let file = create(&path, number, SIZE)?;
        // Another owner would take the set-user-ID bit and the capability away.
        settle(&path, owner, time)?;
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    let value = capability();
    let name = "security.capability";
    setxattr(layer.join("bin/server"), name, &value, XattrFlags::empty()).context(name)?;
    fs::hard_link(layer.join("bin/tool"), layer.join("bin/other"))?;
    for (name, to) in [
        ("lib/lib.so.1", "lib.so.1.0"),
        ("lib/lib.so", "lib.so.1"),
        ("bin/sh", "tool"),
    ] {
        symlink(to, layer.join(name))?;
        settle(&layer.join(name), 0, time)?;
    }
    for (name, kind, numbers) in [
        ("dev/null", FileType::CharacterDevice, (1, 3)),
        ("dev/disk", FileType::BlockDevice, (8, 0)),
        ("dev/pipe", FileType::Fifo, (0, 0)),
        // What a layer has in place of a file that it removes.
        ("etc/removed", FileType::CharacterDevice, (0, 0)),
    ] {
        let number = makedev(numbers.0, numbers.1);
        mknodat(CWD, layer.join(name), kind, Mode::from(0o660), number).context(name)?;
        settle(&layer.join(name), 0, time)?;
    }
    // Directories last: what is made in them changes their times.
    for dir in dirs.iter().rev() {
        settle(dir, 0, time)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_their_forms() {
        // As setcap and setfacl write them.
        let capability = capability();
        assert_eq!(capability.len(), 20);
        assert_eq!(capability.get(..8), Some(&[1, 0, 0, 2, 0, 4, 0, 0][..]));
        let acl = acl_of(1000);
        assert_eq!(acl.len(), 4 + 5 * 8);
        assert_eq!(acl.get(12..20), Some(&[2, 0, 6, 0, 0xe8, 3, 0, 0][..]));
    }
}
