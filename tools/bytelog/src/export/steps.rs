// SPDX-License-Identifier: GPL-2.0

//! The steps of an export, each with its switch.

use super::home::Home;
use super::note::Note;
use super::plan::{self, slot, Plan, Staging, SLOT};
use super::replayed::{self, Log};
use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::ext4::bit;
use crate::ext4::superblock::{Superblock, PRIMARY};
use crate::image::Image;
use crate::jbd2::area::Area;
use crate::jbd2::compose;
use crate::jbd2::superblock::MIN_RING;
use crate::log::inspect::{inspect, State};
use crate::log::stock;
use crate::store::SECTOR;
use bytelog::reader::ReadArea;
use bytelog::translate::Translator;
use serde::Serialize;

/// What an export did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// What was there before.
    pub state: State,
    /// Transaction of the log.
    pub tid: Option<u32>,
    /// Fast commits that are conventional now.
    pub commits: u32,
    /// Blocks that they take.
    pub blocks: u32,
    /// Inodes that stock replay would take for those of other files, and what the export
    /// does prevents.
    pub reused_inodes: u32,
    /// Where these stood meanwhile.
    pub staging: Option<Staging>,
    /// Whether the blocks are those of the metadata that the log changes, in the ring,
    /// and not fast commits.
    pub replayed: bool,
    /// Whether an export that was cut has been completed.
    pub resumed: bool,
    /// Whether the feature bit was cleared.
    pub bit_cleared: bool,
}

/// An export under way.
pub(super) struct Export {
    pub(super) image: Image,
    /// Transaction of the log.
    tid: u32,
    /// The filesystem's superblock as recovery would leave it, with its whole block.
    pub(super) sb_block: Vec<u8>,
    /// Where our transaction is in the ring, if it is there already.
    pub(super) slot: Option<u32>,
}

/// Makes the log of `image` a conventional one. `is_copy`: a cut does not matter.
/// `dry_run`: only looks whether it can be done.
pub fn export(image: &Image, is_copy: bool, dry_run: bool) -> Result<Exported> {
    let found = inspect(image, None)?;
    let mut done = Exported {
        state: found.state,
        tid: found.tid,
        commits: 0,
        blocks: 0,
        reused_inodes: 0,
        staging: None,
        replayed: false,
        resumed: false,
        bit_cleared: image.sb.has_bytelog() && found.state != State::Clean,
    };
    if let (Some(later), State::Later) = (&found.damage, found.state) {
        let error = Error::refused(image.journal.store.name(), &later.reason);
        return Err(
            error.remedy("use the bytelog export of that version, or mount with its module")
        );
    }
    if let Some(damage) = &found.damage {
        let error = Error::refused(
            image.journal.store.name(),
            format_args!("the log is damaged: {}", damage.reason),
        );
        let error = error.remedy(
            "see bytelog verify; keep a copy, and mount with -o ro,noload to read what was \
             committed in full",
        );
        return Err(match damage.file_offset {
            Some(offset) => error.at(offset),
            None => error,
        });
    }
    let tlvs = found.tlvs();
    if !tlvs.is_empty() {
        done.commits = found.log.map_or(0, |log| log.commits);
    }
    let note = unfinished(
        image,
        found.stock.as_ref().map(|stock| stock.blocks),
        found.tid,
    )?;
    done.resumed = note.is_some();
    let (state, used) = (found.state, found.used());
    if state == State::Clean {
        return Ok(done);
    }
    let needs_replay = found.log.is_some_and(|log| !log.features.is_empty());
    if let (Some(ring), true) = (&found.ring, needs_replay && !tlvs.is_empty()) {
        let log = Log {
            ring,
            tlvs: &tlvs,
            state: found.state,
        };
        return replayed::export(image, &log, is_copy, dry_run, done);
    }
    let home = match &found.ring {
        Some(ring) => Some((ring.end, Home::new(image, ring, &tlvs)?)),
        None => None,
    };
    let blocks = match &home {
        Some((tid, home)) if !tlvs.is_empty() => translate(image, &home.tlvs, *tid)?,
        _ => Vec::new(),
    };
    done.reused_inodes = home.as_ref().map_or(0, |(_, home)| home.reused);
    done.blocks = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
    let plan = match tlvs.is_empty() {
        true => None,
        false => Some(room(image, used, done.blocks, is_copy)?),
    };
    done.staging = plan.map(|plan| plan.staging);
    drop(found);
    if dry_run {
        return Ok(done);
    }
    if let Some((tid, home)) = home {
        match (plan, note) {
            // Up to the switch to the conventional log the bit has to come back from
            // the journal, and then not any more.
            (Some(plan), _) => {
                let bit = image.sb.has_bytelog();
                Export::begin(image, home, tid, bit)?.convert(&plan, &blocks)?;
            }
            (None, Some(note)) => {
                Export::begin(image, home, tid, false)?.back(note.stored_fc_blocks, None)?;
            }
            (None, None) => {
                wipe_opener(image, state)?;
                Export::begin(image, home, tid, false)?;
            }
        }
        bit::clear_before_recovery(image.store.as_ref())?;
    } else {
        bit::write(image.store.as_ref(), false)?;
    }
    Ok(done)
}

/// The note of an export that was cut after its log had become the conventional one.
fn unfinished(image: &Image, blocks: Option<u32>, tid: Option<u32>) -> Result<Option<Note>> {
    let Some(behind) = blocks.filter(|blocks| *blocks > 0) else {
        return Ok(None);
    };
    let area = Area::new(&image.journal, image.journal.sb.fc_blocks())?;
    if behind >= area.blocks() {
        return Ok(None);
    }
    let note = Note::decode(&image.journal.read_block(area.first() + behind)?);
    let mut sb = image.journal.sb.clone();
    Ok(note.filter(|note| {
        sb.set_fc_blocks(note.stored_fc_blocks);
        let ring = sb.maxlen().checked_sub(sb.fc_blocks());
        Some(note.tid) == tid
            && behind + 1 < sb.fc_blocks()
            && ring.is_some_and(|ring| ring >= MIN_RING)
    }))
}

fn translate(image: &Image, tlvs: &[u8], tid: u32) -> Result<Vec<Vec<u8>>> {
    let size = image.sb.block_size();
    let fail = |cause: String| Error::refused(image.journal.store.name(), cause);
    let mut translator =
        Translator::<Crc>::new(tlvs, tid, size as u32).map_err(|error| fail(error.to_string()))?;
    let mut blocks = Vec::new();
    loop {
        let mut block = vec![0; size as usize];
        match translator.next_block(&mut block) {
            Ok(true) => blocks.push(block),
            Ok(false) => return Ok(blocks),
            Err(error) => return Err(fail(error.to_string())),
        }
    }
}

fn room(image: &Image, used: u64, blocks: u32, is_copy: bool) -> Result<Plan> {
    let used = u32::try_from(used.div_ceil(image.sb.block_size())).unwrap_or(u32::MAX);
    let needed = blocks.saturating_add(1);
    plan::plan(&image.journal.sb, used, needed, is_copy).map_err(|no| {
        let name = image.journal.store.name();
        if no.fits_over {
            Error::refused(
                name,
                format_args!(
                    "{} blocks of fast commits need a place beside the log, and the journal has none",
                    no.needed
                ),
            )
            .remedy(
                "export a copy with --to FILE, or mount the filesystem with an ext4 that has ByteLog",
            )
        } else {
            Error::refused(
                name,
                format_args!(
                    "as conventional blocks the log needs {} of them, and the area has {}",
                    no.needed, no.blocks
                ),
            )
            .remedy("mount the filesystem with an ext4 that has ByteLog")
        }
    })
}

impl Export {
    /// Writes home what the ring has, apart from the superblock.
    pub(super) fn begin(image: &Image, home: Home, tid: u32, bit: bool) -> Result<Self> {
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
        export.put_superblock(journal.sb.ring_end(), bit, |block| !live(block))?;
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

/// Without a log to convert: nothing of ours may be left in the area.
pub(super) fn wipe_opener(image: &Image, state: State) -> Result<()> {
    if matches!(state, State::Stock | State::Empty | State::NoArea) {
        return Ok(());
    }
    let journal = &image.journal;
    let area = Area::new(journal, journal.sb.fc_blocks())?;
    journal.store.write_at(area.place(0)?, &[0; SECTOR])?;
    journal.store.sync()
}
