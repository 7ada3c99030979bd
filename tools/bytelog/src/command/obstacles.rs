// SPDX-License-Identifier: GPL-2.0

//! What stands against using ByteLog.

use super::table::count;
use crate::image::Image;
use crate::jbd2::area::Area;
use crate::jbd2::superblock::MIN_RING;
use std::path::Path;

/// What stands against using ByteLog: the module's own conditions, as far as they can
/// be seen from here.
pub(super) fn obstacles(image: &Image) -> Vec<String> {
    let mut found = Vec::new();
    let journal = &image.journal;
    let area = Area::new(journal, journal.sb.fc_blocks()).ok();
    if !image.sb.has_fast_commit() {
        found.push("no fast_commit feature: enable it with tune2fs -O fast_commit".to_owned());
    }
    let page = rustix::param::page_size() as u64;
    let block = image.sb.block_size();
    if block != page {
        found.push(format!(
            "block size {block} is not the page size {page}: make the filesystem with mke2fs -b {page}"
        ));
    }
    if image.sb.has_bigalloc() {
        found.push("bigalloc: fast commits do not replay its clusters".to_owned());
    }
    let ring = journal.sb.maxlen().saturating_sub(journal.sb.fc_blocks());
    if ring < MIN_RING {
        found.push(format!(
            "the journal of {} has no room for its fast-commit area: make a larger one with \
             tune2fs -J size=16",
            count(journal.sb.maxlen(), "block")
        ));
    }
    if let Some(area) = area.filter(|area| area.blocks() < 2) {
        found.push(format!(
            "the fast-commit area of {} is too small: make the journal with mke2fs -J \
             fast_commit_size=256 or larger",
            count(area.blocks(), "block")
        ));
    }
    let store = &journal.store;
    if store.base() % page != 0 {
        found.push(format!(
            "the partition starts at byte {}, which is no multiple of the page size",
            store.base()
        ));
    }
    if has_dax(store.name()) == Some(false) {
        found.push(
            "the journal's device has no DAX: put the journal on persistent memory, an fsdax namespace"
                .to_owned(),
        );
    }
    found
}

/// Whether a block device has DAX; `None` for a file.
pub(super) fn has_dax(device: &str) -> Option<bool> {
    let name = std::fs::canonicalize(device).ok()?;
    let name = name.strip_prefix("/dev").ok()?;
    let dir = Path::new("/sys/class/block").join(name);
    // A partition has its queue at the whole device.
    let queue = [dir.join("queue/dax"), dir.join("../queue/dax")];
    let dax = queue
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    Some(dax?.trim() == "1")
}
