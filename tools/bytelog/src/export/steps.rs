// SPDX-License-Identifier: GPL-2.0

//! The steps of an export, each with its switch.

use super::exported::{Exported, How, Salvage};
use super::home::Home;
use super::note::Note;
use super::plan::{Plan, Staging, SLOT};
use super::prepare::{room, translate, unfinished};
use super::replayed;
use super::salvage::{loss, refuse_damage};
use super::switch::{unmark, wipe_opener, Export, Guard};
use crate::error::{Error, Result};
use crate::ext4::bit;
use crate::image::Image;
use crate::jbd2::area::Area;
use crate::jbd2::recover::Wrong;
use crate::log::inspect::{inspect, Inspection, State};
use crate::log::stock;
use bytelog::reader::ReadArea;

/// Makes the log of `image` a conventional one. `is_copy`: a cut does not matter.
/// `dry_run`: only looks whether it can be done.
pub fn export(image: &Image, is_copy: bool, dry_run: bool) -> Result<Exported> {
    let salvage = Salvage::Nothing;
    export_as(
        image,
        &How {
            is_copy,
            dry_run,
            salvage,
        },
    )
}

/// Makes the log of `image` a conventional one.
pub fn export_as(image: &Image, how: &How) -> Result<Exported> {
    let found = inspect(image, None)?;
    let (state, used) = (found.state, found.used());
    let mut done = Exported::of(state, found.tid);
    let marked = image.journal.sb.is_marked();
    done.mark_cleared = marked;
    if state == State::Clean {
        if marked && !how.dry_run {
            unmark(image)?;
        }
        return Ok(done);
    }
    let blocks = found.stock.as_ref().map(|stock| stock.blocks);
    let note = unfinished(image, blocks, found.tid)?;
    let has_bit = image.sb.has_bytelog() || image.sb.is_torn() || is_bit_in_ring(image, &found);
    if !has_bit && !marked && !state.is_ours() && note.is_none() && how.salvage != Salvage::Log {
        done.left_alone = true;
        return Ok(done);
    }
    refuse_damage(image, &found, how.salvage)?;
    done.bit_cleared = has_bit;
    done.resumed = note.is_some();
    let drops_all = how.salvage.drops_all(&found);
    let tlvs = match drops_all {
        true => Vec::new(),
        false => found.tlvs(),
    };
    if !tlvs.is_empty() {
        done.commits = found.commits();
    }
    done.replayed = !tlvs.is_empty() && !found.features().is_empty();
    // Stock replay has to be kept from nothing where it gets no log.
    let for_stock = match done.replayed {
        true => &[],
        false => tlvs.as_slice(),
    };
    let home = match &found.ring {
        Some(ring) => Some(Home::new(image, ring, for_stock, how.salvage.wrong())?),
        None => None,
    };
    done.written_back = home.as_ref().map_or(0, |home| home.ring.transactions());
    if how.salvage != Salvage::Nothing {
        done.lost = Some(loss(image, &found, home.as_ref(), drops_all));
    }
    drop(found);
    let home = match home {
        Some(home) if done.replayed => return replayed::export(image, home, &tlvs, how, done),
        home => home,
    };
    let blocks = match &home {
        Some(home) if !tlvs.is_empty() => translate(image, &home.tlvs, home.ring.end)?,
        _ => Vec::new(),
    };
    done.reused_inodes = home.as_ref().map_or(0, |home| home.reused);
    done.blocks = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    let plan = match tlvs.is_empty() {
        true => None,
        false => Some(room(image, used, done.blocks, how.is_copy)?),
    };
    done.staging = plan.map(|plan| plan.staging);
    if how.dry_run {
        return Ok(done);
    }
    let Some(home) = home else {
        bit::write(image.store.as_ref(), false)?;
        if marked {
            unmark(image)?;
        }
        return Ok(done);
    };
    let tid = home.ring.end;
    match (plan, note.filter(|_| !drops_all)) {
        // Up to the switch to the conventional log the bit has to come back from the
        // journal, and then not any more.
        (Some(plan), _) => {
            let guard = Guard::of(image);
            Export::begin(image, home, tid, guard)?.convert(&plan, &blocks)?;
        }
        (None, Some(note)) => {
            Export::begin(image, home, tid, Guard::NONE)?.back(note.stored_fc_blocks, None)?;
        }
        (None, None) => {
            if drops_all || !matches!(state, State::Stock | State::Empty | State::NoArea) {
                wipe_opener(image)?;
            }
            Export::begin(image, home, tid, Guard::NONE)?;
        }
    }
    bit::clear_before_recovery(image.store.as_ref())?;
    Ok(done)
}

/// Whether recovery of the ring would set the bit.
fn is_bit_in_ring(image: &Image, found: &Inspection<'_>) -> bool {
    let Some(ring) = &found.ring else {
        return false;
    };
    Home::new(image, ring, &[], Wrong::Skip).is_ok_and(|home| home.sets_bit)
}

impl Export {
    /// Steps 2 and 3.
    fn convert(&mut self, plan: &Plan, blocks: &[Vec<u8>]) -> Result<()> {
        let stored = self.image.journal.sb.stored_fc_blocks();
        let set_aside = self.image.journal.sb.fc_blocks();
        let note = Note {
            stored_fc_blocks: stored,
            tid: self.tid,
        };
        // A first slot that stands where the staged blocks go gives way.
        if self.slot.is_some_and(|slot| slot + SLOT > plan.ring_end) {
            let bit = self.image.sb.has_bytelog();
            self.put_superblock(plan.ring_end, bit, |_| true)?;
            self.switch()?;
        }
        let ending = match plan.staging {
            Staging::None => Vec::new(),
            _ => note.encode().to_vec(),
        };
        self.write_log(plan.first, blocks, &ending)?;
        self.put_superblock(plan.ring_end, false, |_| true)?;
        self.image.journal.sb.set_fc_blocks(plan.fc_blocks);
        self.image.journal.sb.set_marked(false);
        self.check(blocks)?;
        self.switch()?;
        if plan.staging == Staging::None {
            return Ok(());
        }
        let first = self.image.journal.sb.maxlen() - set_aside + 1;
        self.back(stored, Some((first, blocks)))
    }

    /// Step 3: writes the log where the area has to begin, or copies the one that
    /// stands there, and gives the area that size.
    fn back(&mut self, stored: u32, log: Option<(u32, &[Vec<u8>])>) -> Result<()> {
        let copied;
        let (first, blocks) = match log {
            Some(log) => log,
            None => {
                copied = self.staged()?;
                let mut sb = self.image.journal.sb.clone();
                sb.set_fc_blocks(stored);
                (
                    sb.maxlen().saturating_sub(sb.fc_blocks()) + 1,
                    copied.as_slice(),
                )
            }
        };
        self.write_log(first, blocks, &[])?;
        self.image.journal.sb.set_fc_blocks(stored);
        self.check(blocks)?;
        self.switch()
    }

    /// The blocks of the conventional log that stands in the area.
    fn staged(&self) -> Result<Vec<Vec<u8>>> {
        let journal = &self.image.journal;
        let area = Area::new(journal, journal.sb.fc_blocks())?;
        let log = stock::scan(&area, journal.block_size() as usize, self.tid)?;
        (area.first()..area.first() + log.blocks)
            .map(|block| journal.read_block(block))
            .collect()
    }

    /// Writes conventional blocks from block `first` of the journal on, and one behind
    /// them that ends the log.
    fn write_log(&self, first: u32, blocks: &[Vec<u8>], ending: &[u8]) -> Result<()> {
        let journal = &self.image.journal;
        let mut last = ending.to_vec();
        last.resize(journal.block_size() as usize, 0);
        let all = blocks.iter().chain([&last]);
        for (number, block) in (first..).zip(all) {
            journal.store.write_at(journal.place(number)?, block)?;
        }
        Ok(())
    }

    /// Reads back, before anything depends on it, what is about to become the log.
    fn check(&self, blocks: &[Vec<u8>]) -> Result<()> {
        let journal = &self.image.journal;
        let area = Area::new(journal, journal.sb.fc_blocks())?;
        let size = journal.block_size() as usize;
        let log = stock::scan(&area, size, self.tid)?;
        let mut read = vec![0; size];
        let mut is_same =
            log.commits == 1 && log.fault.is_none() && log.blocks as usize == blocks.len();
        for (number, block) in blocks.iter().enumerate() {
            area.copy_out((number * size) as u64, &mut read)?;
            is_same &= read == *block;
        }
        match is_same {
            true => Ok(()),
            false => Err(Error::failed(
                journal.store.name(),
                "what was written does not read back; the log is as it was",
            )
            .remedy("check the device")),
        }
    }
}
