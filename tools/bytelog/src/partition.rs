// SPDX-License-Identifier: GPL-2.0

//! Where a partition of a device or an image is: GPT or MBR.

use crate::bytes::{le16, le32};
use crate::error::{Error, Result};
use crate::store::{empty, open, Access};
use gpt::disk::LogicalBlockSize;
use gpt::GptConfig;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of an MBR.
const SECTOR: u64 = 512;
/// Sizes of the sectors that an MBR counts in.
const SECTORS: [u64; 2] = [512, 4096];
/// Where ext4's magic is in a partition, and what it is.
const EXT4: (u64, [u8; 2]) = (1024 + 0x38, [0x53, 0xef]);
/// Offset of the four entries of an MBR, bytes of each, and where the mark is.
const ENTRIES: usize = 0x1be;
const ENTRY: usize = 16;
const MARK: usize = 0x1fe;
/// The types of a partition that has others, and of that which guards a GPT.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const PROTECTIVE: u8 = 0xee;
/// The number of the first logical partition, and the most that there can be.
const LOGICAL: u32 = 5;
const MAX: u32 = 256;

/// A run of bytes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Bytes from the start of the device.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// Partition `number` of the device or image at `path`.
pub fn find(path: &Path, number: u32) -> Result<Partition> {
    let name = path.display().to_string();
    let fail = |error: std::io::Error| Error::failed(&name, error);
    let mut file = open(path, Access::Read)?;
    let end = file.seek(SeekFrom::End(0)).map_err(fail)?;
    if end == 0 {
        return Err(empty(&name));
    }
    let mut mbr = vec![0; SECTOR as usize];
    if end >= SECTOR {
        file.read_exact_at(&mut mbr, 0).map_err(fail)?;
    }
    let is_guard = |entry: &Entry| entry.kind == PROTECTIVE;
    let all = match entries(&mbr) {
        Some(entries) if entries.iter().any(is_guard) => gpt(&file, &name)?,
        Some(entries) => Some(of_mbr(&file, path, &entries, number)),
        None => None,
    };
    let all = all.ok_or_else(|| {
        Error::failed(&name, "there is no partition table, neither GPT nor MBR")
            .remedy("leave --partition out, or say with --offset where the filesystem begins")
    })?;
    all.get(&number).copied().ok_or_else(|| {
        let there: Vec<_> = all.keys().map(u32::to_string).collect();
        let error = Error::failed(&name, format_args!("there is no partition {number}"));
        match there.is_empty() {
            true => error.remedy("the partition table has none"),
            false => error.remedy(format_args!("there are: {}", there.join(", "))),
        }
    })
}

/// The partitions of an MBR. In an image nothing says how large sectors are: they are
/// those with which partition `number` has an ext4 filesystem, or else the usual ones.
fn of_mbr(file: &File, path: &Path, entries: &[Entry], number: u32) -> Partitions {
    let sizes = sector_size(path).map_or(SECTORS.to_vec(), |size| vec![size]);
    let mut all = sizes
        .iter()
        .map(|size| mbr_partitions(file, entries, *size));
    let is_ext4 = |found: &Partitions| {
        let (at, magic) = EXT4;
        let part = found.get(&number);
        let at = part.and_then(|part| part.offset.checked_add(at));
        let mut there = [0; 2];
        at.is_some_and(|at| file.read_exact_at(&mut there, at).is_ok()) && there == magic
    };
    let first = all.next().unwrap_or_default();
    match is_ext4(&first) {
        true => first,
        false => all.find(is_ext4).unwrap_or(first),
    }
}

/// Bytes in a sector of a block device.
fn sector_size(path: &Path) -> Option<u64> {
    let name = std::fs::canonicalize(path).ok()?;
    let name = name.strip_prefix("/dev").ok()?;
    let queue = Path::new("/sys/class/block").join(name);
    let size = std::fs::read_to_string(queue.join("queue/logical_block_size")).ok()?;
    size.trim()
        .parse()
        .ok()
        .filter(|size| SECTORS.contains(size))
}

type Partitions = BTreeMap<u32, Partition>;

/// The partitions of a GPT; `None`: there is none, with sectors of either size.
fn gpt(file: &File, name: &str) -> Result<Option<Partitions>> {
    for size in [LogicalBlockSize::Lb512, LogicalBlockSize::Lb4096] {
        let config = GptConfig::new().writable(false).logical_block_size(size);
        let Ok(disk) = config.open_from_device(file) else {
            continue;
        };
        let mut found = Partitions::new();
        for (number, entry) in disk.partitions() {
            let range = (entry.bytes_start(size), entry.bytes_len(size));
            let (Ok(offset), Ok(len)) = range else {
                return Err(Error::refused(
                    name,
                    format_args!("partition {number} ends before it begins"),
                )
                .remedy("the partition table is damaged: say where it is with --offset"));
            };
            found.insert(*number, Partition { offset, len });
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// An entry of an MBR, in sectors.
#[derive(Clone, Copy)]
struct Entry {
    kind: u8,
    start: u32,
    count: u32,
}

/// The entries of a sector that is an MBR or one like it.
fn entries(sector: &[u8]) -> Option<Vec<Entry>> {
    if le16(sector, MARK) != 0xaa55 {
        return None;
    }
    let table = sector.get(ENTRIES..MARK)?;
    let entries = table.chunks_exact(ENTRY).map(|entry| Entry {
        kind: entry.get(4).copied().unwrap_or(0),
        start: le32(entry, 8),
        count: le32(entry, 12),
    });
    Some(entries.collect())
}

/// The partitions of an MBR: primary ones by their place, logical ones in their order.
fn mbr_partitions(file: &File, entries: &[Entry], size: u64) -> Partitions {
    let mut found = Partitions::new();
    for (number, entry) in (1..).zip(entries) {
        if EXTENDED.contains(&entry.kind) {
            let logical = (LOGICAL..MAX).zip(logical_partitions(file, entry.start.into(), size));
            found.extend(logical);
        } else if entry.kind != 0 {
            found.insert(number, entry.partition(0, size));
        }
    }
    found
}

/// The partitions in an extended one that begins with sector `first`: a chain of sectors
/// like an MBR, each with a partition and the place of the next.
fn logical_partitions(file: &File, first: u64, size: u64) -> Vec<Partition> {
    let mut found = Vec::new();
    let mut at = first;
    let mut sector = vec![0; SECTOR as usize];
    while found.len() < MAX as usize && file.read_exact_at(&mut sector, at * size).is_ok() {
        let entries = entries(&sector).unwrap_or_default();
        let [logical, link, ..] = entries.as_slice() else {
            break;
        };
        if logical.kind != 0 {
            found.push(logical.partition(at, size));
        }
        let next = first + u64::from(link.start);
        // One that goes back would not end.
        if !EXTENDED.contains(&link.kind) || next <= at {
            break;
        }
        at = next;
    }
    found
}

impl Entry {
    /// In bytes, with its start counted from sector `from` of `size` bytes.
    fn partition(self, from: u64, size: u64) -> Partition {
        Partition {
            offset: (from + u64::from(self.start)) * size,
            len: u64::from(self.count) * size,
        }
    }
}
