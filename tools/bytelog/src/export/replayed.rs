// SPDX-License-Identifier: GPL-2.0

//! A log with directories and special files: replayed, and exported as a transaction of
//! the blocks that it changes.

use super::exported::{Exported, How};
use super::home::Home;
use super::plan::SLOT;
use super::switch::{wipe_opener, Export, Guard};
use crate::apply::{apply, Applied};
use crate::error::{Error, Result};
use crate::ext4::bit;
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::image::Image;
use crate::jbd2::compose;

/// Exports the log `tlvs`, of which `done` tells; `home` has the ring in front of it. The
/// other arguments are those of [`export_as`](super::export_as).
pub fn export(
    image: &Image,
    home: Home,
    tlvs: &[u8],
    how: &How,
    mut done: Exported,
) -> Result<Exported> {
    let tid = home.ring.end;
    let Applied { blocks, sb_block } = apply(
        &home.recovered(image),
        &image.sb,
        home.sb_block.clone(),
        tlvs,
    )?;
    let count = blocks.len() + 1;
    done.blocks = u32::try_from(count).unwrap_or(u32::MAX);
    let journal = &image.journal;
    let size = journal.block_size() as usize;
    let needed = u32::try_from(compose::len(&journal.sb, count, size) + 1).unwrap_or(u32::MAX);
    let (first, end) = (journal.sb.first(), journal.sb.ring_end());
    // The other transaction stands at the ring's start then.
    let room = end.saturating_sub(first).saturating_sub(2 * SLOT);
    if needed > room && !how.is_copy {
        return Err(Error::refused(
            journal.store.name(),
            format_args!(
                "the log changes {count} blocks, which go into the journal's ring: that takes \
                 {needed}, and there is room for {room}"
            ),
        )
        .remedy(
            "export a copy with --to FILE, or mount the filesystem with an ext4 that has ByteLog",
        ));
    }
    if how.dry_run {
        return Ok(done);
    }
    let mut export = Export::begin(image, home, tid, Guard::of(image))?;
    if needed > room {
        // Of a copy nobody cuts the power.
        for (number, data) in &blocks {
            image.store.write_at(number * image.sb.block_size(), data)?;
        }
        export.sb_block = sb_block;
        export.put_superblock(end, false, |_| true)?;
    } else {
        let place = export.place(first, end, needed)?;
        let mut all: Vec<_> = blocks.into_iter().collect();
        let mut sb_block = sb_block;
        if let Some(raw) = sb_block.get_mut((PRIMARY % image.sb.block_size()) as usize..) {
            Superblock::patch(raw, false);
        }
        all.push((PRIMARY / image.sb.block_size(), sb_block));
        export.put_transaction(place, tid, &all)?;
    }
    export.image.journal.sb.set_marked(false);
    export.switch()?;
    wipe_opener(image)?;
    bit::clear_before_recovery(image.store.as_ref())?;
    Ok(done)
}

impl Export {
    /// A place in the ring, from `first` to `end`, for `needed` blocks beside the
    /// transaction that stands there. That one is moved to where it is not in the way.
    fn place(&mut self, first: u32, end: u32, needed: u32) -> Result<u32> {
        let free = |slot: Option<u32>| match slot {
            Some(slot) if slot + SLOT + needed <= end => Some(slot + SLOT),
            Some(slot) if first + needed <= slot => Some(first),
            None => Some(first),
            _ => None,
        };
        if let Some(place) = free(self.slot) {
            return Ok(place);
        }
        let bit = self.image.sb.has_bytelog();
        self.put_superblock(end, bit, |_| true)?;
        self.switch()?;
        free(self.slot).ok_or_else(|| {
            Error::refused(
                self.image.journal.store.name(),
                "the journal's ring is full",
            )
            .remedy("export a copy with --to FILE")
        })
    }
}
