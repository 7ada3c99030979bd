// SPDX-License-Identifier: GPL-2.0

//! The extents of an inode: read from their tree, changed as a list, and written as a
//! tree anew.

use super::inode::{Inode, EXTENTS_FL};
use super::volume::Volume;
use crate::bytes::{join, le16, le32};
use crate::crc::crc32c;
use crate::error::Result;
use std::collections::HashSet;

const MAGIC: u16 = 0xf30a;
/// `EXT4_MAX_EXTENT_DEPTH`.
const MAX_DEPTH: u16 = 5;
/// Bytes of a node's header, and of each entry.
const ENTRY: usize = 12;
/// Entries in an inode.
const IN_INODE: usize = 4;
/// Most blocks of an extent, and of one that is unwritten: `EXT_INIT_MAX_LEN`.
const INIT_MAX: u32 = 1 << 15;

/// Blocks of a file that lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first one, counted in the file.
    pub first: u32,
    /// How many.
    pub len: u32,
    /// The first one, counted in the filesystem.
    pub block: u64,
    /// Whether they read as zeros.
    pub unwritten: bool,
}

impl Extent {
    fn end(&self) -> u64 {
        u64::from(self.first) + u64::from(self.len)
    }

    /// Of a length as it is on the media: more than 32768 is unwritten.
    pub fn of(first: u32, raw_len: u16, block: u64) -> Self {
        let raw = u32::from(raw_len);
        Self {
            first,
            len: if raw > INIT_MAX { raw - INIT_MAX } else { raw },
            block,
            unwritten: raw > INIT_MAX,
        }
    }

    fn encode(&self) -> [u8; ENTRY] {
        let len = self.len + if self.unwritten { INIT_MAX } else { 0 };
        let mut out = [0; ENTRY];
        let parts = [
            &self.first.to_le_bytes()[..],
            &(len as u16).to_le_bytes(),
            &((self.block >> 32) as u16).to_le_bytes(),
            &(self.block as u32).to_le_bytes(),
        ];
        out.copy_from_slice(&parts.concat());
        out
    }

    /// The part from `from` to `to`, counted in the file.
    fn part(&self, from: u64, to: u64) -> Option<Self> {
        let (from, to) = (from.max(self.first.into()), to.min(self.end()));
        (from < to).then(|| Self {
            first: from as u32,
            len: (to - from) as u32,
            block: self.block + (from - u64::from(self.first)),
            unwritten: self.unwritten,
        })
    }
}

/// What has been met on the way through a tree.
#[derive(Default)]
struct Seen {
    nodes: HashSet<u64>,
    /// Blocks of extents.
    blocks: u64,
}

/// All extents of an inode, in order, and the blocks of their tree.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// The extents.
    pub extents: Vec<Extent>,
    /// The tree's own blocks.
    pub nodes: Vec<u64>,
}

impl Map {
    /// Reads the extents of `inode`; none, where it has another kind of map.
    pub fn load(volume: &Volume<'_>, inode: &Inode) -> Result<Self> {
        let mut map = Self::default();
        if !inode.has_flag(EXTENTS_FL) {
            return Ok(map);
        }
        let mut seen = Seen::default();
        map.walk(volume, inode, inode.block(), MAX_DEPTH + 1, &mut seen)?;
        Ok(map)
    }

    fn walk(
        &mut self,
        volume: &Volume<'_>,
        inode: &Inode,
        node: &[u8],
        above: u16,
        seen: &mut Seen,
    ) -> Result<()> {
        let ino = inode.ino;
        let (entries, depth) = (usize::from(le16(node, 2)), le16(node, 6));
        let fits = (entries + 1) * ENTRY <= node.len();
        if le16(node, 0) != MAGIC || depth >= above || !fits {
            // An inode that has never had an extent can have no header.
            if above > MAX_DEPTH && node.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            return Err(volume.damaged(format_args!("inode {ino} has no right extents")));
        }
        for entry in node.chunks_exact(ENTRY).skip(1).take(entries) {
            let first = le32(entry, 0);
            if depth > 0 {
                let child = join(u32::from(le16(entry, 8)), le32(entry, 4));
                if !seen.nodes.insert(child) {
                    let cause = format!("the extents of inode {ino} go round in circles");
                    return Err(volume.damaged(cause));
                }
                self.nodes.push(child);
                let block = volume.block(child)?;
                self.walk(volume, inode, &block, depth, seen)?;
                continue;
            }
            let block = join(u32::from(le16(entry, 6)), le32(entry, 8));
            let extent = Extent::of(first, le16(entry, 4), block);
            let before = self.extents.last().map_or(0, Extent::end);
            if extent.len == 0 || u64::from(first) < before || extent.end() > u64::from(u32::MAX) {
                let cause = format!("the extents of inode {ino} are not in order");
                return Err(volume.damaged(cause));
            }
            let all = seen.blocks.saturating_add(extent.len.into());
            seen.blocks = all;
            if all > volume.sb.blocks_count() {
                let cause = format!("inode {ino} has more blocks than there are");
                return Err(volume.damaged(cause));
            }
            self.extents.push(extent);
        }
        Ok(())
    }

    /// The filesystem's block of the file's block `number`.
    pub fn block_of(&self, number: u32) -> Option<u64> {
        let number = u64::from(number);
        let found = self.extents.iter().find_map(|e| e.part(number, number + 1));
        found.map(|extent| extent.block)
    }

    /// Takes `len` blocks from `first` on out. Returns what they were.
    pub fn remove(&mut self, first: u32, len: u64) -> Vec<Extent> {
        let (from, to) = (u64::from(first), u64::from(first) + len);
        let old = std::mem::take(&mut self.extents);
        let cut = |from, to| move |extent: &Extent| extent.part(from, to);
        let removed = old.iter().filter_map(cut(from, to)).collect();
        self.extents = old.iter().filter_map(cut(0, from)).collect();
        self.extents
            .extend(old.iter().filter_map(cut(to, u64::MAX)));
        removed
    }

    /// Puts `extent` in, instead of what is there. Returns what it replaces.
    pub fn insert(&mut self, extent: Extent) -> Vec<Extent> {
        let replaced = self.remove(extent.first, extent.len.into());
        let at = self
            .extents
            .partition_point(|other| other.first < extent.first);
        self.extents.insert(at, extent);
        self.merge();
        replaced
    }

    fn merge(&mut self) {
        let mut merged: Vec<Extent> = Vec::with_capacity(self.extents.len());
        for extent in self.extents.drain(..) {
            if let Some(last) = merged.last_mut() {
                let most = INIT_MAX - u32::from(extent.unwritten);
                if last.unwritten == extent.unwritten
                    && last.end() == u64::from(extent.first)
                    && last.block + u64::from(last.len) == extent.block
                    && last.len + extent.len <= most
                {
                    last.len += extent.len;
                    continue;
                }
            }
            merged.push(extent);
        }
        self.extents = merged;
    }

    /// Blocks that it takes, those of the tree included.
    pub fn blocks(&self) -> u64 {
        let data: u64 = self.extents.iter().map(|e| u64::from(e.len)).sum();
        data + self.nodes.len() as u64
    }

    /// Writes the tree of `inode`, which is not stored yet. Blocks of the tree are used
    /// again, or allocated; those that are left over are returned.
    pub fn write(&mut self, volume: &mut Volume<'_>, inode: &mut Inode) -> Result<Vec<u64>> {
        let per_node = volume.block_size() / ENTRY - 1;
        let mut spare = std::mem::take(&mut self.nodes);
        let mut entries: Vec<_> = self.extents.iter().map(Extent::encode).collect();
        let mut depth = 0;
        while entries.len() > IN_INODE {
            let mut above = Vec::new();
            for chunk in entries.chunks(per_node) {
                let block = match spare.pop() {
                    Some(block) => block,
                    None => volume.allocate(inode.ino)?,
                };
                self.nodes.push(block);
                let mut node = node(chunk, per_node, depth);
                let tail = node.len();
                node.resize(volume.block_size(), 0);
                if let Some(seed) = inode.seed(volume) {
                    let crc = crc32c(seed, node.get(..tail).unwrap_or_default());
                    if let Some(place) = node.get_mut(tail..tail + 4) {
                        place.copy_from_slice(&crc.to_le_bytes());
                    }
                }
                volume.put_block(block, node)?;
                let first = chunk.first().map_or(0, |entry| le32(entry, 0));
                above.push(index(first, block));
            }
            entries = above;
            depth += 1;
        }
        inode.set_block(&node(&entries, IN_INODE, depth));
        Ok(spare)
    }
}

/// A node with room for `max` entries.
fn node(entries: &[[u8; ENTRY]], max: usize, depth: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity((max + 1) * ENTRY);
    for word in [MAGIC, entries.len() as u16, max as u16, depth, 0, 0] {
        out.extend(word.to_le_bytes());
    }
    entries.iter().for_each(|entry| out.extend(entry));
    out.resize((max + 1) * ENTRY, 0);
    out
}

/// An entry for a node of the level below.
fn index(first: u32, block: u64) -> [u8; ENTRY] {
    let mut out = [0; ENTRY];
    let parts = [
        &first.to_le_bytes()[..],
        &(block as u32).to_le_bytes(),
        &((block >> 32) as u16).to_le_bytes(),
        &[0; 2],
    ];
    out.copy_from_slice(&parts.concat());
    out
}
