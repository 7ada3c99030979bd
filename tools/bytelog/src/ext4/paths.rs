// SPDX-License-Identifier: GPL-2.0

//! Names of inodes, found by a walk through the directories.

use super::group::Group;
use super::inode;
use super::superblock::Superblock;
use crate::bytes::{le16, le32};
use crate::store::Store;
use std::collections::{HashMap, HashSet, VecDeque};

/// The root directory's inode.
pub const ROOT: u32 = 2;

/// Offsets of `struct ext4_inode`, and of `struct ext4_dir_entry_2`.
const MODE: usize = 0;
const INODE_FLAGS: usize = 0x20;
const BLOCK: usize = 0x28;
const BLOCK_LEN: usize = 60;
const REC_LEN: usize = 4;
const NAME_LEN: usize = 6;
const NAME: usize = 8;

const DIRECTORY: u16 = 0x4000;
const FORMAT: u16 = 0xf000;
const INLINE_DATA_FL: u32 = 0x1000_0000;

/// A path of each of `wanted` that a directory names, printable. Directories that cannot
/// be read are left out.
pub fn paths(store: &dyn Store, sb: &Superblock, wanted: &HashSet<u32>) -> HashMap<u32, String> {
    let mut found = HashMap::new();
    let mut seen = HashSet::from([ROOT]);
    let mut queue = VecDeque::from([(ROOT, String::new())]);
    while let Some((directory, path)) = queue.pop_front() {
        if wanted.contains(&directory) {
            let shown = if path.is_empty() { "/" } else { path.as_str() };
            found.entry(directory).or_insert_with(|| shown.to_owned());
        }
        if wanted.iter().all(|number| found.contains_key(number)) {
            break;
        }
        for (number, name) in entries(store, sb, directory).unwrap_or_default() {
            let path = format!("{path}/{name}");
            if wanted.contains(&number) {
                found.entry(number).or_insert_with(|| path.clone());
            }
            if seen.insert(number) {
                queue.push_back((number, path));
            }
        }
    }
    found
}

/// Inodes and names of a directory; `None` of what is none or cannot be read.
fn entries(store: &dyn Store, sb: &Superblock, number: u32) -> Option<Vec<(u32, String)>> {
    let (group, index) = Group::of_inode(store, sb, number).ok()?;
    let at = group.inode_at(store, sb, index).ok()?;
    let raw = store.read(at, usize::from(sb.inode_size())).ok()?;
    if le16(&raw, MODE) & FORMAT != DIRECTORY {
        return None;
    }
    let mut found = Vec::new();
    if le32(&raw, INODE_FLAGS) & INLINE_DATA_FL != 0 {
        // Behind the number of the parent; what does not fit there is in an xattr.
        block_entries(raw.get(BLOCK + 4..BLOCK + BLOCK_LEN)?, &mut found);
        return Some(found);
    }
    let size = sb.block_size();
    for block in inode::blocks(store, sb, number).ok()? {
        if let Ok(bytes) = store.read(block.saturating_mul(size), size as usize) {
            block_entries(&bytes, &mut found);
        }
    }
    Some(found)
}

fn block_entries(block: &[u8], found: &mut Vec<(u32, String)>) {
    let mut rest = block;
    while rest.len() >= NAME {
        let (number, len) = (le32(rest, 0), usize::from(le16(rest, REC_LEN)));
        let name_len = rest.get(NAME_LEN).copied().unwrap_or(0);
        let name = rest.get(NAME..NAME + usize::from(name_len));
        let name = name.unwrap_or_default();
        if number != 0 && !matches!(name, b"" | b"." | b"..") {
            found.push((number, name.escape_ascii().to_string()));
        }
        rest = rest.get(len.max(NAME)..).unwrap_or_default();
    }
}
