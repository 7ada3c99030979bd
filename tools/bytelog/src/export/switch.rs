// SPDX-License-Identifier: GPL-2.0

//! What an export writes to the journal: transactions of blocks, and the switch to them.

use super::home::Home;
use super::plan::{slot, SLOT};
use crate::error::{Error, Result};
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::image::Image;
use crate::jbd2::area::Area;
use crate::jbd2::compose;
use crate::store::SECTOR;

/// What keeps other tools and kernels away while the log is still a ByteLog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    /// The feature bit of the filesystem.
    bit: bool,
    /// The mark of the journal.
    mark: bool,
}

impl Guard {
    pub(super) const NONE: Self = Self {
        bit: false,
        mark: false,
    };

    /// What `image` has.
    pub(super) fn of(image: &Image) -> Self {
        Self {
            bit: image.sb.has_bytelog(),
            mark: image.journal.sb.is_marked(),
        }
    }
}

/// An export under way.
pub(super) struct Export {
    pub(super) image: Image,
    /// Transaction of the log.
    pub(super) tid: u32,
    /// The filesystem's superblock as recovery would leave it, with its whole block.
    pub(super) sb_block: Vec<u8>,
    /// Where our transaction is in the ring, if it is there already.
    pub(super) slot: Option<u32>,
}

impl Export {
    /// Writes home what the ring has, apart from the superblock. `guard`: what the first
    /// switch leaves.
    pub(super) fn begin(image: &Image, home: Home, tid: u32, guard: Guard) -> Result<Self> {
        home.write(image)?;
        let journal = &image.journal;
        let ring = home.ring;
        let mut export = Self {
            image: image.clone(),
            tid,
            sb_block: home.sb_block,
            slot: None,
        };
        // Live are the blocks from the start to the one that ended the scan.
        let live = |block: u32| match ring.stop >= journal.sb.start() {
            true => (journal.sb.start()..=ring.stop).contains(&block),
            false => block >= journal.sb.start() || block <= ring.stop,
        };
        export.put_superblock(journal.sb.ring_end(), guard.bit, |block| !live(block))?;
        export.image.journal.sb.set_marked(guard.mark);
        export.switch()?;
        Ok(export)
    }

    /// Writes a transaction with the filesystem's superblock to a free slot of the ring
    /// below `end`, and has the journal's superblock, in memory, begin with it.
    pub(super) fn put_superblock(
        &mut self,
        end: u32,
        bit: bool,
        is_free: impl Fn(u32) -> bool,
    ) -> Result<()> {
        let ours = self.slot;
        let is_ours = |block: u32| ours.is_some_and(|slot| (slot..slot + SLOT).contains(&block));
        let journal = &mut self.image.journal;
        let first = slot(&journal.sb, end, |block| is_free(block) && !is_ours(block));
        let first = first.ok_or_else(|| {
            Error::refused(journal.store.name(), "the journal's ring is full")
                .remedy("mount the filesystem with an ext4 that has ByteLog")
        })?;
        let size = self.image.sb.block_size();
        let number = PRIMARY / size;
        let mut data = self.sb_block.clone();
        let at = (PRIMARY % size) as usize;
        if let Some(raw) = data.get_mut(at..) {
            Superblock::patch(raw, bit);
        }
        let before = self.tid.wrapping_sub(1);
        self.put_transaction(first, before, &[(number, data)])?;
        self.slot = Some(first);
        Ok(())
    }

    /// Writes transaction `tid`, which writes `blocks`, to block `first` of the ring, and
    /// has the journal's superblock, in memory, begin with it.
    pub(super) fn put_transaction(
        &mut self,
        first: u32,
        tid: u32,
        blocks: &[(u64, Vec<u8>)],
    ) -> Result<()> {
        let journal = &mut self.image.journal;
        let mut written = compose::transaction(&journal.sb, tid, blocks);
        // What ends the scan.
        written.push(vec![0; journal.block_size() as usize]);
        for (step, block) in written.iter().enumerate() {
            let place = journal.place(first + step as u32)?;
            journal.store.write_at(place, block)?;
        }
        journal.sb.set_start(tid, first);
        Ok(())
    }

    /// Makes everything durable, and then what the journal's superblock says.
    pub(super) fn switch(&mut self) -> Result<()> {
        let journal = &mut self.image.journal;
        journal.store.sync()?;
        journal.sb.write(journal.store.as_ref(), journal.sb_at)?;
        journal.store.sync()
    }
}

/// Clears the mark of a journal that has nothing to recover.
pub(super) fn unmark(image: &Image) -> Result<()> {
    let journal = &image.journal;
    let mut sb = journal.sb.clone();
    sb.set_marked(false);
    sb.write(journal.store.as_ref(), journal.sb_at)?;
    journal.store.sync()
}

/// Where there is no log to convert, or none any more: none may be left in the area.
/// That of another transaction makes stock replay fail, too.
pub(super) fn wipe_opener(image: &Image) -> Result<()> {
    let journal = &image.journal;
    let Ok(area) = Area::new(journal, journal.sb.fc_blocks()) else {
        return Ok(());
    };
    if area.blocks() == 0 {
        return Ok(());
    }
    journal.store.write_at(area.place(0)?, &[0; SECTOR])?;
    journal.store.sync()?;
    // A first record without an opener would tell of a log whose opener has been lost.
    if area.blocks() > 1 {
        let first_record = area.place(journal.block_size())?;
        journal.store.write_at(first_record, &[0; SECTOR])?;
    }
    journal.store.sync()
}
