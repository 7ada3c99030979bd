// SPDX-License-Identifier: GPL-2.0

//! Directories: names looked up, added and removed, and new directories.

use super::extents::{Extent, Map};
use super::inode::{Inode, Kind, CASEFOLD_FL, ENCRYPT_FL, EXTENTS_FL, INDEX_FL, INLINE_DATA_FL};
use super::volume::Volume;
use crate::bytes::{le16, le32};
use crate::crc::crc32c;
use crate::error::Result;

/// Bytes of an entry without its name, and the alignment of entries.
const HEADER: usize = 8;
const ALIGN: usize = 4;
/// Bytes of the entry that holds a block's checksum, and what it has for a type.
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;
/// Offset of the entry of "..", and of its inode number.
const DOTDOT: usize = 12;

/// An entry of a block.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: usize,
    len: usize,
    ino: u32,
    name_len: usize,
}

/// A directory that is open for changes. Its inode is stored by the caller.
pub struct Directory {
    /// Its inode.
    pub inode: Inode,
    map: Map,
}

/// Bytes that an entry with such a name needs.
fn needed(name_len: usize) -> usize {
    (HEADER + name_len).next_multiple_of(ALIGN)
}

impl Directory {
    /// Opens the directory `inode`.
    pub fn open(volume: &Volume<'_>, inode: Inode) -> Result<Self> {
        let ino = inode.ino;
        if !inode.is_dir() {
            return Err(volume.refuse(format_args!("it takes inode {ino} for a directory")));
        }
        if inode.has_flag(INLINE_DATA_FL) || !inode.has_flag(EXTENTS_FL) {
            return Err(volume.refuse(format_args!(
                "directory {ino} has no extents: its entries are in the inode, or mapped by blocks"
            )));
        }
        let map = Map::load(volume, &inode)?;
        Ok(Self { inode, map })
    }

    /// Makes `inode` an empty directory in `parent`.
    pub fn make(volume: &mut Volume<'_>, mut inode: Inode, parent: u32) -> Result<Self> {
        if !volume.sb.has_extents() {
            return Err(volume.refuse("the filesystem has no extents"));
        }
        let block = volume.allocate(inode.ino)?;
        let mut map = Map::default();
        map.insert(Extent {
            first: 0,
            len: 1,
            block,
            unwritten: false,
        });
        let flags = inode.word(super::inode::FLAGS) | EXTENTS_FL;
        inode.put(super::inode::FLAGS, flags);
        inode.set_size(volume.sb.block_size());
        map.write(volume, &mut inode)?;
        let dir = Self { inode, map };
        let end = dir.end(volume);
        let mut bytes = vec![0; volume.block_size()];
        let kind = dir.kind(volume, Kind::Directory);
        put(&mut bytes, 0, DOTDOT, dir.inode.ino, kind, b".");
        put(&mut bytes, DOTDOT, end - DOTDOT, parent, kind, b"..");
        dir.put_new(volume, block, bytes)?;
        Ok(dir)
    }

    /// Where the entries of a new block end: in front of the checksum.
    fn end(&self, volume: &Volume<'_>) -> usize {
        match volume.sb.checksum_seed() {
            Some(_) => volume.block_size() - TAIL,
            None => volume.block_size(),
        }
    }

    fn kind(&self, volume: &Volume<'_>, kind: Kind) -> u8 {
        match volume.sb.has_file_types() {
            true => kind.number(),
            false => 0,
        }
    }

    /// Stores a changed block of entries, with its checksum where it has one.
    fn put_leaf(&self, volume: &mut Volume<'_>, number: u64, bytes: Vec<u8>) -> Result<()> {
        match Self::has_tail(volume, &bytes) {
            true => self.put_new(volume, number, bytes),
            false => volume.put_block(number, bytes),
        }
    }

    /// Stores a block whose entries end where the checksum begins.
    fn put_new(&self, volume: &mut Volume<'_>, number: u64, mut bytes: Vec<u8>) -> Result<()> {
        if let Some(seed) = self.inode.seed(volume) {
            let at = bytes.len() - TAIL;
            let (front, tail) = bytes.split_at_mut(at);
            let words = [
                0,
                TAIL as u32 | (u32::from(TAIL_TYPE) << 24),
                crc32c(seed, front),
            ];
            for (place, word) in tail.chunks_exact_mut(4).zip(words) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        volume.put_block(number, bytes)
    }

    /// Whether a block of entries can have its checksum.
    fn has_tail(volume: &Volume<'_>, bytes: &[u8]) -> bool {
        let at = bytes.len() - TAIL;
        volume.sb.checksum_seed().is_none()
            || (le32(bytes, at) == 0
                && le16(bytes, at + 4) == TAIL as u16
                && bytes.get(at + 7) == Some(&TAIL_TYPE))
    }

    /// Entries of a block.
    fn entries(&self, volume: &Volume<'_>, bytes: &[u8]) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let len = match le16(bytes, at + 4) {
                0 | u16::MAX if bytes.len() > usize::from(u16::MAX) => bytes.len(),
                len => usize::from(len),
            };
            let name_len = usize::from(bytes.get(at + 6).copied().unwrap_or(0));
            if len < HEADER || len % ALIGN != 0 || at + len > bytes.len() || needed(name_len) > len
            {
                let ino = self.inode.ino;
                return Err(volume.damaged(format_args!("directory {ino} has wrong entries")));
            }
            found.push(Entry {
                at,
                len,
                ino: le32(bytes, at),
                name_len,
            });
            at += len;
        }
        Ok(found)
    }

    /// Numbers of its blocks, in order.
    fn blocks(&self, volume: &Volume<'_>) -> Vec<u64> {
        let count = self.inode.size() / volume.sb.block_size();
        let all = self.map.extents.iter().flat_map(|extent| {
            (0..extent.len).map(move |step| {
                (
                    u64::from(extent.first + step),
                    extent.block + u64::from(step),
                )
            })
        });
        all.filter(|(number, _)| *number < count)
            .map(|(_, block)| block)
            .collect()
    }

    fn is_name(bytes: &[u8], entry: &Entry, name: &[u8]) -> bool {
        let from = entry.at + HEADER;
        entry.ino != 0 && bytes.get(from..from + entry.name_len) == Some(name)
    }

    /// Whether it has no name but "." and "..".
    pub fn is_empty(&self, volume: &Volume<'_>) -> Result<bool> {
        for number in self.blocks(volume) {
            let bytes = volume.block(number)?;
            let all = self.entries(volume, &bytes)?;
            let is_other = |entry: &Entry| {
                entry.ino != 0
                    && !Self::is_name(&bytes, entry, b".")
                    && !Self::is_name(&bytes, entry, b"..")
            };
            if all.iter().any(is_other) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives `name` to inode `ino`, whoever has it.
    pub fn link(
        &mut self,
        volume: &mut Volume<'_>,
        name: &[u8],
        ino: u32,
        kind: Kind,
    ) -> Result<()> {
        let kind = self.kind(volume, kind);
        for number in self.blocks(volume) {
            let mut bytes = volume.block(number)?;
            let all = self.entries(volume, &bytes)?;
            if let Some(entry) = all.iter().find(|entry| Self::is_name(&bytes, entry, name)) {
                put(&mut bytes, entry.at, entry.len, ino, kind, name);
                return self.put_leaf(volume, number, bytes);
            }
        }
        self.add(volume, name, ino, kind)
    }

    fn add(&mut self, volume: &mut Volume<'_>, name: &[u8], ino: u32, kind: u8) -> Result<()> {
        if self.inode.has_flag(ENCRYPT_FL) && self.inode.has_flag(CASEFOLD_FL) {
            let dir = self.inode.ino;
            return Err(volume.refuse(format_args!("directory {dir} has hashes behind its names")));
        }
        if self.inode.has_flag(INDEX_FL) {
            self.remove_index(volume)?;
        }
        for number in self.blocks(volume) {
            let mut bytes = volume.block(number)?;
            if self.add_to(volume, &mut bytes, name, ino, kind)? {
                return self.put_leaf(volume, number, bytes);
            }
        }
        // A block more.
        let first = u32::try_from(self.inode.size() / volume.sb.block_size());
        let first = first.map_err(|_| volume.refuse("a directory is too large"))?;
        let block = volume.allocate(self.inode.ino)?;
        self.map.insert(Extent {
            first,
            len: 1,
            block,
            unwritten: false,
        });
        let left = self.map.write(volume, &mut self.inode)?;
        for block in left {
            volume.mark(block, 1, false)?;
        }
        self.inode
            .set_size((u64::from(first) + 1) * volume.sb.block_size());
        let mut bytes = vec![0; volume.block_size()];
        put(&mut bytes, 0, self.end(volume), ino, kind, name);
        self.put_new(volume, block, bytes)
    }

    /// Adds an entry to a block that has room for it.
    fn add_to(
        &self,
        volume: &Volume<'_>,
        bytes: &mut [u8],
        name: &[u8],
        ino: u32,
        kind: u8,
    ) -> Result<bool> {
        let wanted = needed(name.len());
        for entry in self.entries(volume, bytes)? {
            let is_tail = entry.ino == 0
                && entry.at + TAIL == bytes.len()
                && bytes.get(entry.at + 7) == Some(&TAIL_TYPE);
            let used = match entry.ino {
                0 => 0,
                _ => needed(entry.name_len),
            };
            if is_tail || entry.len < used + wanted {
                continue;
            }
            if used > 0 {
                put_len(bytes, entry.at, used);
            }
            put(bytes, entry.at + used, entry.len - used, ino, kind, name);
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes `name` from inode `ino`, if that has it. Returns whether it had.
    pub fn unlink(&mut self, volume: &mut Volume<'_>, name: &[u8], ino: u32) -> Result<bool> {
        for number in self.blocks(volume) {
            let mut bytes = volume.block(number)?;
            let all = self.entries(volume, &bytes)?;
            let is_it = |entry: &Entry| entry.ino == ino && Self::is_name(&bytes, entry, name);
            let Some(which) = all.iter().position(is_it) else {
                continue;
            };
            let entry = all.get(which).copied();
            let before = which.checked_sub(1).and_then(|which| all.get(which));
            match (entry, before) {
                (Some(entry), Some(before)) => {
                    put_len(&mut bytes, before.at, before.len + entry.len);
                }
                _ => {
                    if let Some(place) = bytes.get_mut(..4) {
                        place.fill(0);
                    }
                }
            }
            self.put_leaf(volume, number, bytes)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The inode that ".." names.
    pub fn parent(&self, volume: &Volume<'_>) -> Result<u32> {
        let first = self.first(volume)?;
        Ok(le32(&volume.block(first)?, DOTDOT))
    }

    fn first(&self, volume: &Volume<'_>) -> Result<u64> {
        let ino = self.inode.ino;
        let first = self.map.block_of(0);
        first.ok_or_else(|| volume.damaged(format_args!("directory {ino} has no first block")))
    }

    /// Has ".." name another directory.
    pub fn set_parent(&mut self, volume: &mut Volume<'_>, parent: u32) -> Result<()> {
        if self.parent(volume)? == parent {
            return Ok(());
        }
        if self.inode.has_flag(INDEX_FL) {
            self.remove_index(volume)?;
        }
        let first = self.first(volume)?;
        let mut bytes = volume.block(first)?;
        if let Some(place) = bytes.get_mut(DOTDOT..DOTDOT + 4) {
            place.copy_from_slice(&parent.to_le_bytes());
        }
        self.put_leaf(volume, first, bytes)
    }

    /// Makes it a directory without an index: to keep it up takes the hash of each name.
    /// ext4 and e2fsck know both; `e2fsck -D` makes the index anew.
    fn remove_index(&mut self, volume: &mut Volume<'_>) -> Result<()> {
        let (end, size) = (self.end(volume), volume.block_size());
        for (which, number) in self.blocks(volume).into_iter().enumerate() {
            let mut bytes = volume.block(number)?;
            // The root is an entry ".." as long as the block, other nodes an empty one.
            let (at, has_index) = match which {
                0 => (DOTDOT, true),
                _ => (
                    0,
                    le32(&bytes, 0) == 0 && usize::from(le16(&bytes, 4)) == size,
                ),
            };
            if !has_index {
                continue;
            }
            let behind = match which {
                0 => {
                    put_len(&mut bytes, at, DOTDOT);
                    at + DOTDOT
                }
                _ => at,
            };
            if let Some(rest) = bytes.get_mut(behind..) {
                rest.fill(0);
            }
            put_len(&mut bytes, behind, end - behind);
            self.put_new(volume, number, bytes)?;
        }
        let flags = self.inode.word(super::inode::FLAGS) & !INDEX_FL;
        self.inode.put(super::inode::FLAGS, flags);
        Ok(())
    }
}

/// Writes an entry of `len` bytes.
fn put(bytes: &mut [u8], at: usize, len: usize, ino: u32, kind: u8, name: &[u8]) {
    let mut entry = ino.to_le_bytes().to_vec();
    entry.extend([0, 0, name.len() as u8, kind]);
    entry.extend(name);
    if let Some(place) = bytes.get_mut(at..at + entry.len()) {
        place.copy_from_slice(&entry);
    }
    put_len(bytes, at, len);
}

/// Writes an entry's length.
fn put_len(bytes: &mut [u8], at: usize, len: usize) {
    // All of a block of 64 KiB has this number.
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    if let Some(place) = bytes.get_mut(at + 4..at + 6) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}
