// SPDX-License-Identifier: GPL-2.0

//! Filesystems with directories, before and after something was done to them with
//! debugfs, and the TLVs that tell of it.

use crate::fixture::{e2, le32, open, Dir, SIZE};
use crate::forge::tlv;
use crate::ram::{Bytes, Ram};
use bytelog_cli::ext4::group::Group;
use std::fs;

/// A filesystem before and after.
pub struct Tree {
    pub before: Bytes,
    pub after: Bytes,
    block: u64,
}

/// Runs `script` in debugfs on `image`, for reading or writing.
pub fn debugfs(image: &Bytes, script: &str, write: bool) -> (Bytes, String) {
    let dir = Dir::new();
    let (path, commands) = (dir.path("disk.img"), dir.path("commands"));
    fs::write(&path, image.whole()).unwrap();
    // What "write" takes.
    let content = "some contents\n".repeat(700);
    fs::write(dir.path("content"), content).unwrap();
    let script = script.replace("CONTENT", &dir.path("content").display().to_string());
    fs::write(&commands, script).unwrap();
    let line = if write {
        "debugfs -w -f -"
    } else {
        "debugfs -f -"
    };
    let (status, said) = e2(line, &path, Some(&commands));
    assert_eq!(status, 0, "debugfs: {said}");
    (Bytes::new(fs::read(&path).unwrap()), said)
}

impl Tree {
    /// A filesystem made with `options`, in which debugfs does `first`, and `then`.
    pub fn new(options: &str, first: &str, then: &str) -> Self {
        let dir = Dir::new();
        let path = dir.path("disk.img");
        fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
        let line =
            format!("mke2fs -q -F -t ext4 -E lazy_itable_init=0 -N 1024 -O fast_commit {options}");
        let (status, said) = e2(&line, &path, None);
        assert_eq!(status, 0, "{line}: {said}");
        Self::of(&Bytes::new(fs::read(&path).unwrap()), first, then)
    }

    /// The same of a filesystem that is there.
    pub fn of(image: &Bytes, first: &str, then: &str) -> Self {
        let (before, _) = debugfs(image, first, true);
        let (after, _) = debugfs(&before, then, true);
        let block = open(Ram::new(before.clone())).unwrap().sb.block_size();
        Self {
            before,
            after,
            block,
        }
    }

    /// Number of the inode at `path`, afterwards.
    pub fn ino(&self, path: &str) -> u32 {
        number(&self.after, path).unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// The same before.
    pub fn old_ino(&self, path: &str) -> u32 {
        number(&self.before, path).unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// INODE of `ino` as it is afterwards, up to the end of its fixed fields.
    pub fn inode(&self, ino: u32) -> Vec<u8> {
        let raw = raw(&self.after, ino);
        let len = match raw.len() {
            128 => 128,
            _ => 128 + usize::from(u16::from_le_bytes([raw[128], raw[129]])),
        };
        tlv(6, &[&ino.to_le_bytes()[..], &raw[..len]].concat())
    }

    /// The same of its on-disk inode as a whole.
    pub fn whole_inode(&self, ino: u32) -> Vec<u8> {
        tlv(
            6,
            &[&ino.to_le_bytes()[..], &raw(&self.after, ino)].concat(),
        )
    }

    /// DIR of `ino` as it is afterwards.
    pub fn dir(&self, ino: u32) -> Vec<u8> {
        let raw = raw(&self.after, ino);
        let word = |at: usize| match at < raw.len() {
            true => le32(&raw, at),
            false => 0,
        };
        let words = [
            ino,
            word(12),
            word(16),
            word(0x84),
            word(0x88),
            word(0x24),
            word(0x98),
        ];
        tlv(11, &words.map(u32::to_le_bytes).concat())
    }

    /// ADD_RANGE for each extent of `ino`, whose data are in place before.
    pub fn ranges(&mut self, ino: u32) -> Vec<Vec<u8>> {
        let raw = raw(&self.after, ino);
        let entries = usize::from(raw[0x2a]);
        assert_eq!(raw[0x2e], 0, "a tree");
        let mut tlvs = Vec::new();
        for entry in raw[0x34..].chunks(12).take(entries) {
            let (first, len, block) = (le32(entry, 0), entry[4], u64::from(le32(entry, 8)));
            for number in block..block + u64::from(len) {
                let mut bytes = vec![0; self.block as usize];
                self.after.read(number * self.block, &mut bytes);
                self.before.write(number * self.block, &bytes);
            }
            tlvs.push(add_range(ino, first, len.into(), block));
        }
        tlvs
    }
}

pub fn add_range(ino: u32, first: u32, len: u16, block: u64) -> Vec<u8> {
    let mut value = ino.to_le_bytes().to_vec();
    value.extend(first.to_le_bytes());
    value.extend(len.to_le_bytes());
    value.extend(((block >> 32) as u16).to_le_bytes());
    value.extend((block as u32).to_le_bytes());
    tlv(1, &value)
}

pub fn creat(parent: u32, ino: u32, name: &str) -> Vec<u8> {
    entry(3, parent, ino, name)
}

pub fn link(parent: u32, ino: u32, name: &str) -> Vec<u8> {
    entry(4, parent, ino, name)
}

pub fn unlink(parent: u32, ino: u32, name: &str) -> Vec<u8> {
    entry(5, parent, ino, name)
}

fn entry(tag: u16, parent: u32, ino: u32, name: &str) -> Vec<u8> {
    let numbers = [parent, ino].map(u32::to_le_bytes).concat();
    tlv(tag, &[&numbers, name.as_bytes()].concat())
}

/// Puts `bytes` into an INODE, at this offset of the inode.
pub fn edited(mut inode: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    inode[8 + at..8 + at + bytes.len()].copy_from_slice(bytes);
    inode
}

/// Number of the inode at `path`.
pub fn number(image: &Bytes, path: &str) -> Option<u32> {
    let (_, said) = debugfs(image, &format!("stat {path}\n"), false);
    let (_, rest) = said.split_once("Inode: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The on-disk inode `ino`.
pub fn raw(image: &Bytes, ino: u32) -> Vec<u8> {
    let opened = open(Ram::new(image.clone())).unwrap();
    let (group, index) = Group::of_inode(opened.store.as_ref(), &opened.sb, ino).unwrap();
    let at = group.inode_at(opened.store.as_ref(), &opened.sb, index);
    let mut raw = vec![0; usize::from(opened.sb.inode_size())];
    image.read(at.unwrap(), &mut raw);
    raw
}

/// What is at each of `paths`: all that debugfs tells, but for where a directory's blocks
/// are, and the names in it.
pub fn look(image: &Bytes, paths: &[&str]) -> String {
    let mut script = String::new();
    for path in paths {
        script += &format!("stat {path}\nls -p {path}\n");
    }
    let (_, said) = debugfs(image, &script, false);
    let mut out = String::new();
    let mut is_dir = false;
    let mut names = Vec::new();
    for line in said.lines() {
        if line.starts_with("debugfs:  stat") {
            names.sort_unstable();
            out.extend(names.drain(..));
        }
        if let Some((_, kind)) = line.split_once("Type: ") {
            is_dir = kind.starts_with("directory");
        }
        let is_place = is_dir && (line.starts_with("EXTENTS") || line.starts_with("(0"));
        if is_place || line.contains("checksum") || line.starts_with("debugfs 1.") {
            continue;
        }
        match line.starts_with('/') {
            // Without the size, which is not always told.
            true => names.push(line.rsplitn(3, '/').last().unwrap_or_default().to_owned() + "\n"),
            false => out += &format!("{line}\n"),
        }
    }
    names.sort_unstable();
    out.extend(names);
    out
}

/// Recovers `image` with e2fsck, which has to find nothing else to do.
pub fn recovered(image: &Bytes) -> Bytes {
    let dir = Dir::new();
    let path = dir.path("disk.img");
    fs::write(&path, image.whole()).unwrap();
    let (status, said) = e2("e2fsck -fy", &path, None);
    assert!(status <= 1, "e2fsck -fy: {status}: {said}");
    let is_usual = |line: &str| {
        let usual = [
            "e2fsck 1.",
            "Pass ",
            "recovering journal",
            "*****",
            " files (",
        ];
        line.trim().is_empty() || usual.iter().any(|usual| line.contains(usual))
    };
    let unusual: Vec<_> = said.lines().filter(|line| !is_usual(line)).collect();
    assert!(unusual.is_empty(), "{said}");
    let (status, said) = e2("e2fsck -fn", &path, None);
    assert_eq!(status, 0, "e2fsck -fn: {said}");
    Bytes::new(fs::read(&path).unwrap())
}
