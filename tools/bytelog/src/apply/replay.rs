// SPDX-License-Identifier: GPL-2.0

//! What a log says, done to a volume in memory, as ext4 with ByteLog replays it: names
//! only are added and removed, an inode is what its INODE says, and one that has lost a
//! name and has no INODE behind is gone.

use super::directory::Directory;
use super::extents::{Extent, Map};
use super::inode::{self, Inode, Kind, EXTENTS_FL, INLINE_DATA_FL};
use super::orphans;
use super::ranges::Ranges;
use super::volume::Volume;
use crate::bytes::{join, le16, le32};
use crate::error::Result;
use bytelog::tlv::{Tag, Tlv, Tlvs};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Inode of the root directory.
pub(super) const ROOT: u32 = 2;
/// Offset of the name in a directory entry's value, and of the raw inode in an INODE's.
const NAME: usize = 8;
const RAW_INODE: usize = 4;

/// A replay under way.
pub struct Replay<'v, 'a> {
    pub(super) volume: &'v mut Volume<'a>,
    /// Where in the log each inode has its last INODE, with its kind.
    last_inode: HashMap<u32, (usize, Option<Kind>)>,
    /// Inodes that lose a name somewhere in the log.
    removed: HashSet<u32>,
    /// Inodes that were orphans before.
    orphans: HashSet<u32>,
    /// Inodes that the log has something of.
    pub(super) touched: BTreeSet<u32>,
    /// Extents that differ from those on the device.
    pub(super) maps: BTreeMap<u32, Map>,
    /// Parents of directories that got a name.
    pub(super) parents: BTreeMap<u32, u32>,
    /// Blocks that were in use by inodes of the log.
    pub(super) freed: Ranges,
}

/// Blocks that the log's ranges name.
pub fn named_blocks(tlvs: &[u8]) -> Ranges {
    let mut named = Ranges::default();
    for tlv in whole(tlvs).filter(|tlv| tlv.tag() == Tag::AddRange) {
        let (_, extent) = range(tlv.value());
        named.add(extent.block, extent.len.into());
    }
    named
}

/// The TLVs of a run; that they are some has been checked when it was read.
fn whole(tlvs: &[u8]) -> impl Iterator<Item = Tlv<'_>> {
    Tlvs::new(tlvs, tlvs.len()).filter_map(|tlv| tlv.ok())
}

/// Inode and extent of an ADD_RANGE.
fn range(value: &[u8]) -> (u32, Extent) {
    let block = join(le16(value, 10).into(), le32(value, 12));
    (
        le32(value, 0),
        Extent::of(le32(value, 4), le16(value, 8), block),
    )
}

/// Does what the log `tlvs` says. `superblock` is the filesystem's as recovery leaves it.
pub fn replay(volume: &mut Volume<'_>, superblock: &[u8], tlvs: &[u8]) -> Result<()> {
    if volume.sb.has_bigalloc() {
        return Err(volume.refuse("the filesystem has bigalloc"));
    }
    let (mut last_inode, mut removed) = (HashMap::new(), HashSet::new());
    for (at, tlv) in whole(tlvs).enumerate() {
        let value = tlv.value();
        match tlv.tag() {
            Tag::Inode => {
                let kind = Kind::of(le16(value, RAW_INODE));
                _ = last_inode.insert(le32(value, 0), (at, kind));
            }
            Tag::Unlink => _ = removed.insert(le32(value, 4)),
            _ => {}
        }
    }
    let orphans = orphans::all(volume, superblock)?;
    let mut replay = Replay {
        volume,
        last_inode,
        removed,
        orphans,
        touched: BTreeSet::new(),
        maps: BTreeMap::new(),
        parents: BTreeMap::new(),
        freed: Ranges::default(),
    };
    for (at, tlv) in whole(tlvs).enumerate() {
        replay.step(at, &tlv)?;
    }
    replay.settle()
}

impl Replay<'_, '_> {
    fn step(&mut self, at: usize, tlv: &Tlv<'_>) -> Result<()> {
        let value = tlv.value();
        match tlv.tag() {
            Tag::Inode => self.inode(le32(value, 0), value.get(RAW_INODE..).unwrap_or_default()),
            Tag::AddRange => {
                let (ino, extent) = range(value);
                self.add_range(ino, extent)
            }
            Tag::DelRange => {
                let (ino, first, len) = (le32(value, 0), le32(value, 4), le32(value, 8));
                let removed = self.map(ino)?.remove(first, len.into());
                self.free(&removed);
                Ok(())
            }
            Tag::Creat | Tag::Link => self.link(at, value),
            Tag::Unlink => self.unlink(at, value),
            Tag::Dir => self.dir(value),
            _ => Err(self.volume.refuse("it holds what no log holds")),
        }
    }

    /// An inode of files and directories: not one of the filesystem's own.
    fn check(&self, ino: u32) -> Result<()> {
        match ino == ROOT || ino >= self.volume.sb.first_ino() {
            true => Ok(()),
            false => Err(self.volume.refuse(format_args!("it names inode {ino}"))),
        }
    }

    fn free(&mut self, extents: &[Extent]) {
        for extent in extents {
            self.freed.add(extent.block, extent.len.into());
        }
    }

    fn inode(&mut self, ino: u32, logged: &[u8]) -> Result<()> {
        self.check(ino)?;
        let Some(kind) = Kind::of(le16(logged, inode::MODE)) else {
            return Err(self.volume.refuse(format_args!("inode {ino} has no type")));
        };
        if le16(logged, inode::LINKS) == 0 {
            return Err(self.volume.refuse(format_args!("inode {ino} has no links")));
        }
        let flags = le32(logged, inode::FLAGS);
        if kind == Kind::File && flags & (EXTENTS_FL | INLINE_DATA_FL) == 0 {
            let cause = format!("file {ino} is mapped by blocks, without extents");
            return Err(self.volume.refuse(cause));
        }
        if logged.len() > usize::from(self.volume.sb.inode_size()) {
            let cause = format!("inode {ino} is longer than the filesystem's inodes");
            return Err(self.volume.refuse(cause));
        }
        let uses = self.volume.uses_inode(ino)?;
        let mut inode = Inode::load(self.volume, ino)?;
        let is_same = uses
            && inode.word(inode::GENERATION) == le32(logged, inode::GENERATION)
            && inode.kind() == Some(kind);
        if !is_same {
            let next_orphan = inode.word(inode::DTIME);
            if uses {
                self.remove(inode, true)?;
            }
            inode = Inode {
                ino,
                raw: vec![0; usize::from(self.volume.sb.inode_size())],
            };
            if self.orphans.contains(&ino) {
                inode.put(inode::DTIME, next_orphan);
            }
            let header = Map::default().write(self.volume, &mut inode);
            debug_assert!(header.is_ok());
        } else if kind == Kind::Directory && inode.has_flag(INLINE_DATA_FL) {
            let cause = format!("the entries of directory {ino} are in its inode");
            return Err(self.volume.refuse(cause));
        }
        inode.take(logged, kind);
        if !is_same {
            self.volume.take_inode(ino, kind == Kind::Directory)?;
            if kind == Kind::Directory {
                let parent = self.parents.get(&ino).copied().unwrap_or(ROOT);
                inode = Directory::make(self.volume, inode, parent)?.inode;
            }
        }
        self.touched.insert(ino);
        inode.store(self.volume)
    }

    /// The extents of a file that is to get others.
    fn map(&mut self, ino: u32) -> Result<&mut Map> {
        self.check(ino)?;
        let uses = self.volume.uses_inode(ino)?;
        let inode = Inode::load(self.volume, ino)?;
        let is_file = matches!(inode.kind(), Some(Kind::File | Kind::Symlink));
        if !uses || !is_file || !inode.has_flag(EXTENTS_FL) {
            let cause = format!("inode {ino} is no file with extents, and gets or loses blocks");
            return Err(self.volume.refuse(cause));
        }
        self.touched.insert(ino);
        if let std::collections::btree_map::Entry::Vacant(entry) = self.maps.entry(ino) {
            entry.insert(Map::load(self.volume, &inode)?);
        }
        let volume = &self.volume;
        let map = self.maps.get_mut(&ino);
        map.ok_or_else(|| volume.refuse(format_args!("inode {ino} has no extents")))
    }

    fn add_range(&mut self, ino: u32, extent: Extent) -> Result<()> {
        let end = extent.block.saturating_add(extent.len.into());
        let first = u64::from(self.volume.sb.first_data_block());
        let reaches = u64::from(extent.first) + u64::from(extent.len);
        if extent.len == 0
            || extent.block <= first
            || end > self.volume.sb.blocks_count()
            || reaches > u64::from(u32::MAX)
        {
            let cause = format!("inode {ino} gets blocks {}-{end}", extent.block);
            return Err(self.volume.refuse(cause));
        }
        let replaced = self.map(ino)?.insert(extent);
        self.free(&replaced);
        Ok(())
    }

    /// Parent, inode and name of an entry.
    fn entry<'t>(&self, value: &'t [u8]) -> Result<(u32, u32, &'t [u8])> {
        let (parent, ino) = (le32(value, 0), le32(value, 4));
        let name = value.get(NAME..).unwrap_or_default();
        self.check(parent)?;
        self.check(ino)?;
        let is_path = name.contains(&b'/') || name.contains(&0);
        if is_path || matches!(name, b"" | b"." | b"..") || ino == ROOT {
            let name = name.escape_ascii();
            return Err(self
                .volume
                .refuse(format_args!("\"{name}\" is no name of inode {ino}")));
        }
        Ok((parent, ino, name))
    }

    /// Whether inode `ino` is not there and need not be: the log removes it. A replay that
    /// a power cut has ended can have come that far.
    fn is_gone(&mut self, ino: u32, what: &str) -> Result<bool> {
        match (self.volume.uses_inode(ino)?, self.removed.contains(&ino)) {
            (true, _) => Ok(false),
            (false, true) => Ok(true),
            (false, false) => Err(self
                .volume
                .refuse(format_args!("{what} {ino} is not there"))),
        }
    }

    /// The directory `ino`, if it is there.
    fn directory(&mut self, ino: u32) -> Result<Option<Directory>> {
        if self.is_gone(ino, "directory")? {
            return Ok(None);
        }
        let inode = Inode::load(self.volume, ino)?;
        self.touched.insert(ino);
        Directory::open(self.volume, inode).map(Some)
    }

    fn link(&mut self, at: usize, value: &[u8]) -> Result<()> {
        let (parent, ino, name) = self.entry(value)?;
        let kind = match self.last_inode.get(&ino).copied() {
            Some((behind, kind)) if behind > at => kind,
            _ if self.is_gone(ino, "inode")? => return Ok(()),
            _ => Inode::load(self.volume, ino)?.kind(),
        };
        let kind =
            kind.ok_or_else(|| self.volume.refuse(format_args!("inode {ino} has no type")))?;
        if let Some(mut dir) = self.directory(parent)? {
            dir.link(self.volume, name, ino, kind)?;
            dir.inode.store(self.volume)?;
        }
        if kind == Kind::Directory {
            self.parents.insert(ino, parent);
        }
        Ok(())
    }

    fn unlink(&mut self, at: usize, value: &[u8]) -> Result<()> {
        let (parent, ino, name) = self.entry(value)?;
        // Whoever made it has been replayed, or the directory is gone as a whole.
        if self.volume.uses_inode(parent)? {
            if let Some(mut dir) = self.directory(parent)? {
                dir.unlink(self.volume, name, ino)?;
                dir.inode.store(self.volume)?;
            }
        }
        let stays = self
            .last_inode
            .get(&ino)
            .is_some_and(|(behind, _)| *behind > at);
        if !stays && self.volume.uses_inode(ino)? {
            let inode = Inode::load(self.volume, ino)?;
            if inode.is_dir()
                && !Directory::open(self.volume, inode.clone())?.is_empty(self.volume)?
            {
                let cause = format!("directory {ino} is removed, and is not empty");
                return Err(self.volume.refuse(cause));
            }
            self.remove(inode, false)?;
        }
        Ok(())
    }

    /// Removes an inode that is in use, with all that it has. `again`: its number is used
    /// by another one at once.
    fn remove(&mut self, mut inode: Inode, again: bool) -> Result<()> {
        let ino = inode.ino;
        self.parents.remove(&ino);
        if self.orphans.contains(&ino) && !again {
            // Who recovers the journal removes it. It must be there for that.
            if let Some(mut map) = self.maps.remove(&ino) {
                let spare = map.write(self.volume, &mut inode)?;
                spare.iter().for_each(|block| self.freed.add(*block, 1));
            }
            inode.set_links(0);
            return inode.store(self.volume);
        }
        let kind = inode.kind();
        let by_blocks = match kind {
            Some(Kind::File | Kind::Directory) => true,
            Some(Kind::Symlink) => inode.size() >= inode::BLOCK_LEN as u64,
            _ => false,
        };
        if by_blocks && !inode.has_flag(EXTENTS_FL | INLINE_DATA_FL) {
            let cause = format!("inode {ino} is removed, and has no extents");
            return Err(self.volume.refuse(cause));
        }
        let map = match self.maps.remove(&ino) {
            Some(map) => map,
            None => Map::load(self.volume, &inode)?,
        };
        self.free(&map.extents);
        map.nodes.iter().for_each(|block| self.freed.add(*block, 1));
        if inode.acl_block() != 0 && self.volume.release_xattrs(inode.acl_block())? {
            self.freed.add(inode.acl_block(), 1);
        }
        self.touched.remove(&ino);
        self.volume.give_inode(ino, kind == Some(Kind::Directory))?;
        let at = self.volume.inode_at(ino)?;
        self.volume.put(at, &vec![0; inode.raw.len()])
    }

    fn dir(&mut self, value: &[u8]) -> Result<()> {
        let ino = le32(value, 0);
        self.check(ino)?;
        if self.is_gone(ino, "directory")? {
            return Ok(());
        }
        let mut inode = Inode::load(self.volume, ino)?;
        if !inode.is_dir() {
            let cause = format!("inode {ino} has a DIR, and is no directory");
            return Err(self.volume.refuse(cause));
        }
        let fields = [
            (inode::CTIME, 4, true),
            (inode::MTIME, 8, true),
            (inode::CTIME_EXTRA, 12, inode.has(inode::CTIME_EXTRA + 4)),
            (inode::MTIME_EXTRA, 16, inode.has(inode::MTIME_EXTRA + 4)),
            (inode::VERSION, 20, true),
            (inode::VERSION_HIGH, 24, inode.has(inode::VERSION_HIGH + 4)),
        ];
        for (field, from, _) in fields.into_iter().filter(|(.., is_there)| *is_there) {
            inode.put(field, le32(value, from));
        }
        self.touched.insert(ino);
        inode.store(self.volume)
    }
}
