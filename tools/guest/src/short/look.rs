// SPDX-License-Identifier: GPL-2.0
//! Everything that can be seen of a small tree.

use anyhow::{ensure, Context, Result};
use rustix::fs::{
    ioctl_getflags, lgetxattr, llistxattr, open, statx, AtFlags, Mode, OFlags, StatxFlags, CWD,
};
use rustix::ioctl::{ioctl, opcode, Opcode, Updater};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Seconds and nanoseconds.
pub type Time = (i64, u32);

/// One inode. All but the names that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Type and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Bytes, and units of 512 bytes.
    pub size: u64,
    pub blocks: u64,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
    pub btime: Time,
    /// What FS_IOC_GETFLAGS and FS_IOC_GETVERSION say, of files and directories.
    pub flags: u32,
    pub generation: u32,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// What a symbolic link says, or the contents of a file.
    pub data: Vec<u8>,
    /// Where a file is.
    pub map: Vec<Extent>,
}

const TYPE: u32 = 0o170_000;

impl Node {
    pub fn is_dir(&self) -> bool {
        self.mode & TYPE == 0o040_000
    }

    pub fn is_file(&self) -> bool {
        self.mode & TYPE == 0o100_000
    }

    pub fn is_symlink(&self) -> bool {
        self.mode & TYPE == 0o120_000
    }
}

/// A tree: which inode is behind each path below the root ("" is itself), and the inodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    pub names: BTreeMap<String, u64>,
    pub nodes: BTreeMap<u64, Node>,
}

/// FS_IOC_GETVERSION; it writes 32 bits, whatever the size in its number is.
const FS_IOC_GETVERSION: Opcode = opcode::read::<u64>(b'v', 1);

fn generation(file: &File) -> Result<u32> {
    let mut word = 0_u64;
    // SAFETY: The call writes 32 bits into the 64 that there are.
    unsafe { ioctl(file, Updater::<FS_IOC_GETVERSION, u64>::new(&mut word)) }?;
    Ok(word as u32)
}

fn xattrs(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut list = [0; 2048];
    let len = llistxattr(path, &mut list)?;
    let mut found = BTreeMap::new();
    for name in list[..len]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = vec![0; 8192];
        let len = lgetxattr(path, name, &mut value)?;
        value.truncate(len);
        found.insert(String::from_utf8_lossy(name).into_owned(), value);
    }
    Ok(found)
}

/// A piece of a file, in bytes of the file and of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub logical: u64,
    pub physical: u64,
    pub len: u64,
    /// Never written to, or without a place yet, as FIEMAP has it.
    pub flags: u32,
}

/// FIEMAP's own.
#[repr(C)]
#[derive(Clone, Copy)]
struct Piece {
    logical: u64,
    physical: u64,
    len: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_more: [u32; 3],
}

const PIECES: usize = 64;

#[repr(C)]
struct Fiemap {
    start: u64,
    len: u64,
    flags: u32,
    mapped: u32,
    room: u32,
    reserved: u32,
    pieces: [Piece; PIECES],
}

/// FS_IOC_FIEMAP, whose number has the size of what comes before the pieces.
const FS_IOC_FIEMAP: Opcode = opcode::read_write::<[u64; 4]>(b'f', 11);

/// Of the flags, those that say what a piece is: without a known place, delayed,
/// unaligned, inline, unwritten.
const FLAGS: u32 = 0x2 | 0x4 | 0x100 | 0x200 | 0x800;

/// Where the file is, with neighbouring pieces of one kind put together.
fn map(file: &File) -> Result<Vec<Extent>> {
    let none = Piece {
        logical: 0,
        physical: 0,
        len: 0,
        reserved: [0; 2],
        flags: 0,
        reserved_more: [0; 3],
    };
    let mut fiemap = Fiemap {
        start: 0,
        len: u64::MAX,
        flags: 0,
        mapped: 0,
        room: PIECES as u32,
        reserved: 0,
        pieces: [none; PIECES],
    };
    // SAFETY: The call reads the head and writes it and as many pieces as it says there
    // is room for.
    unsafe { ioctl(file, Updater::<FS_IOC_FIEMAP, Fiemap>::new(&mut fiemap)) }?;
    let found = fiemap.pieces.get(..fiemap.mapped as usize);
    let mut extents: Vec<Extent> = Vec::new();
    for piece in found.context("more extents than there is room for")? {
        let flags = piece.flags & FLAGS;
        match extents.last_mut() {
            Some(last)
                if last.flags == flags
                    && last.logical + last.len == piece.logical
                    && last.physical + last.len == piece.physical =>
            {
                last.len += piece.len;
            }
            _ => extents.push(Extent {
                logical: piece.logical,
                physical: piece.physical,
                len: piece.len,
                flags,
            }),
        }
    }
    ensure!(
        extents.len() < PIECES,
        "more extents than there is room for"
    );
    Ok(extents)
}

fn node(path: &Path) -> Result<(u64, Node)> {
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let stat = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, mask)?;
    let time = |t: rustix::fs::StatxTimestamp| (t.tv_sec, t.tv_nsec);
    let mut node = Node {
        mode: u32::from(stat.stx_mode),
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        nlink: stat.stx_nlink,
        device: (stat.stx_rdev_major, stat.stx_rdev_minor),
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        atime: time(stat.stx_atime),
        mtime: time(stat.stx_mtime),
        ctime: time(stat.stx_ctime),
        btime: time(stat.stx_btime),
        flags: 0,
        generation: 0,
        xattrs: xattrs(path).context("attributes")?,
        data: Vec::new(),
        map: Vec::new(),
    };
    if node.is_symlink() {
        node.data = fs::read_link(path)?.into_os_string().into_encoded_bytes();
    } else if node.is_file() || node.is_dir() {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mut file = File::from(open(path, flags, Mode::empty())?);
        node.flags = ioctl_getflags(&file).context("flags")?.bits();
        node.generation = generation(&file).context("generation")?;
        if node.is_file() {
            node.map = map(&file).context("extents")?;
            file.read_to_end(&mut node.data)?;
        }
    }
    Ok((stat.stx_ino, node))
}

/// Reads all that is below a mount point, and it itself; without `lost+found`.
pub fn look(root: &Path) -> Result<State> {
    let mut state = State::default();
    let mut todo = vec![String::new()];
    while let Some(path) = todo.pop() {
        let at = root.join(&path);
        let (ino, found) = node(&at).with_context(|| format!("{path:?}"))?;
        if found.is_dir() {
            for item in fs::read_dir(&at).with_context(|| format!("list {path:?}"))? {
                let name = item?.file_name().to_string_lossy().into_owned();
                if path.is_empty() {
                    if name != "lost+found" {
                        todo.push(name);
                    }
                } else {
                    todo.push(format!("{path}/{name}"));
                }
            }
        }
        state.names.insert(path, ino);
        state.nodes.insert(ino, found);
    }
    Ok(state)
}
