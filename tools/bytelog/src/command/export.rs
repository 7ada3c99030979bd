// SPDX-License-Identifier: GPL-2.0

//! `bytelog export`: the log as conventional fast commits, in place or in a copy.

use super::table::count;
use crate::copy::{copy, Interrupt, Progress};
use crate::error::{Error, Result};
use crate::export::plan::Staging;
use crate::export::salvage::without_journal;
use crate::export::{export_as, Exported, How, Salvage};
use crate::image::{Image, Place};
use crate::log::inspect::State;
use crate::log::loss::Loss;
use crate::new_file::{apart, NewFile};
use crate::report::{Name, Report};
use crate::store::{Access, FileStore, Store};
use schemars::JsonSchema;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{stderr, IsTerminal};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How to export.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Leave the device as it is, and export a copy of its filesystem, written to this
    /// new file.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// The same for a journal on a device of its own.
    #[arg(long, value_name = "FILE", requires = "to")]
    pub journal_to: Option<PathBuf>,
    /// Only tell what would be done, and whether there is room.
    #[arg(long)]
    pub dry_run: bool,
    /// Of a damaged log, export the whole fast commits in front of the damage, and give up
    /// the others: what is lost is told first.
    #[arg(long, conflicts_with = "discard_log")]
    pub up_to_damage: bool,
    /// Give up all fast commits, and what of the journal cannot be read: what is lost is
    /// told first.
    #[arg(long)]
    pub discard_log: bool,
}

/// What `bytelog export` tells.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Told {
    device: String,
    dry_run: bool,
    #[serde(flatten)]
    exported: Exported,
    /// Whether what is lost has been told before.
    #[serde(skip)]
    loss_told: bool,
}

/// Exports `image`, where it is.
pub fn in_place(image: &Image) -> Result<Told> {
    let device = image.store.name().to_owned();
    Ok(Told::of(device, export_as(image, &How::default())?, false))
}

/// What an export of `image` would do.
pub fn planned(image: &Image) -> Result<Told> {
    let how = How {
        dry_run: true,
        ..How::default()
    };
    let device = image.store.name().to_owned();
    Ok(Told::of(device, export_as(image, &how)?, true))
}

/// Exports the filesystem at `place`. `first` is told what is going to be lost, before
/// that is.
pub fn export(place: &Place, args: &Args, mut first: impl FnMut(&Told)) -> Result<Told> {
    let salvage = match (args.up_to_damage, args.discard_log) {
        (true, _) => Salvage::BehindDamage,
        (_, true) => Salvage::Log,
        _ => Salvage::Nothing,
    };
    let how = How {
        is_copy: args.to.is_some(),
        dry_run: args.dry_run,
        salvage,
    };
    let device = args.to.as_ref().unwrap_or(&place.path);
    let device = device.display().to_string();
    let access = match (&args.to, args.dry_run) {
        (_, true) => Access::Read,
        (Some(_), _) => Access::Unused,
        (None, _) => Access::Write,
    };
    let opened = Opened::new(place, access, salvage)?;
    if args.dry_run {
        return Ok(Told::of(device, opened.convert(&how)?, true));
    }
    // Before a large copy is made for nothing, and before anything is given up.
    let plan = How {
        dry_run: true,
        ..how
    };
    if args.to.is_some() || salvage != Salvage::Nothing {
        let plan = Told::of(device.clone(), opened.convert(&plan)?, true);
        if plan.exported.lost.is_some() {
            first(&plan);
        }
    }
    let done = match &args.to {
        None => opened.convert(&how)?,
        Some(to) => in_copy(place, args, to, &opened, &how)?,
    };
    let mut told = Told::of(device, done, false);
    told.loss_told = true;
    Ok(told)
}

/// A filesystem to be exported.
enum Opened {
    Image(Image),
    /// One whose journal cannot be read, for that cause, where it may be given up.
    WithoutJournal(FileStore, Error),
}

impl Opened {
    fn new(place: &Place, access: Access, salvage: Salvage) -> Result<Self> {
        if access == Access::Write {
            restore(place)?;
        }
        let error = match Image::open(&primary(place, access), access) {
            Ok(image) => return Ok(Self::Image(image)),
            Err(error) if salvage != Salvage::Log => return Err(error),
            Err(error) => error,
        };
        let store = FileStore::open(&place.path, access, place.offset, place.len);
        match store {
            Ok(store) if crate::ext4::bit::primary(&store).is_ok_and(|sb| sb.has_journal()) => {
                Ok(Self::WithoutJournal(store, error))
            }
            _ => Err(error),
        }
    }

    fn convert(&self, how: &How) -> Result<Exported> {
        match self {
            Self::Image(image) => export_as(image, how),
            Self::WithoutJournal(store, cause) => without_journal(store, cause, how.dry_run),
        }
    }

    /// The bytes of the file at `place` that are the filesystem; all of them if they are
    /// not a part of it.
    fn range(&self, place: &Place) -> Result<Range<u64>> {
        let (store, sb): (&dyn Store, _) = match self {
            Self::Image(image) => (image.store.as_ref(), image.sb.clone()),
            Self::WithoutJournal(store, _) => (store, crate::ext4::bit::primary(store)?),
        };
        let len = match (place.offset, place.len) {
            (0, None) | (_, Some(_)) => store.len(),
            _ => sb.blocks_count().saturating_mul(sb.block_size()),
        };
        let base = store.base();
        Ok(base..base.saturating_add(len.min(store.len())))
    }
}

/// The place, after [`restore`] for writing.
fn primary(place: &Place, access: Access) -> Place {
    let mut place = place.clone();
    place.superblock = place.superblock.filter(|_| access != Access::Write);
    place
}

/// Writes the superblock anew from the backup that `place` names, where there is a log
/// that has to be exported. It is not done to a superblock that can be read.
pub fn restore(place: &Place) -> Result<()> {
    if place.superblock.is_none() {
        return Ok(());
    }
    let image = Image::open(place, Access::Read)?;
    let name = image.store.name();
    if crate::ext4::bit::primary(image.store.as_ref()).is_ok() {
        return Err(Error::usage(name, "the superblock is not damaged").remedy("leave -b out"));
    }
    if planned(&image).is_ok_and(|told| !told.is_ours()) {
        return Err(Error::refused(name, "there is nothing of ByteLog").remedy("use e2fsck -b"));
    }
    let store = FileStore::open(&place.path, Access::Write, place.offset, place.len)?;
    image.sb.restore(&store)
}

/// Exports a copy of what is `opened`.
fn in_copy(place: &Place, args: &Args, to: &Path, opened: &Opened, how: &How) -> Result<Exported> {
    let journal = match opened {
        Opened::Image(image) => journal_copy(image, args)?,
        Opened::WithoutJournal(..) => None,
    };
    apart(to, args.journal_to.as_deref())?;
    let interrupt = Interrupt::noted()?;
    let range = opened.range(place)?;
    let mut copies = vec![(place.path.clone(), range, NewFile::create(to)?)];
    if let Some((from, to, len)) = &journal {
        copies.push((from.clone(), 0..*len, NewFile::create(to)?));
    }
    let mut terminal = stderr();
    let is_watched = terminal.is_terminal();
    for (from, range, to) in &copies {
        let mut progress = Progress::new(is_watched.then_some(&mut terminal as _));
        copy(from, range, to, &interrupt, &mut progress)?;
    }
    let copied = Place {
        path: to.to_owned(),
        offset: 0,
        len: None,
        journal: journal.map(|(_, to, _)| to),
        superblock: place.superblock,
        falls_back: false,
    };
    let done = Opened::new(&copied, Access::Write, how.salvage)?.convert(how)?;
    if let Some((_, _, first)) = copies.first() {
        interrupt.check(first)?;
    }
    copies.into_iter().for_each(|(_, _, to)| to.keep());
    Ok(done)
}

/// The journal's own device, where it has one, and the file for a copy of it.
/// With the bytes that it has.
fn journal_copy(image: &Image, args: &Args) -> Result<Option<(PathBuf, PathBuf, u64)>> {
    let store = &image.journal.store;
    match (image.journal.is_external(), &args.journal_to) {
        (false, None) => Ok(None),
        (true, Some(to)) => Ok(Some((store.name().into(), to.clone(), store.len()))),
        (true, None) => Err(Error::refused(
            image.store.name(),
            "the journal is on a device of its own",
        )
        .remedy("name a file for its copy with --journal-to")),
        (false, Some(_)) => Err(Error::refused(
            image.store.name(),
            "the journal is in the filesystem",
        )
        .remedy("leave --journal-to out")),
    }
}

impl Told {
    fn of(device: String, exported: Exported, dry_run: bool) -> Self {
        Self {
            device,
            dry_run,
            exported,
            loss_told: false,
        }
    }

    /// Whether anything is changed, or would be.
    pub fn changes_log(&self) -> bool {
        let done = &self.exported;
        done.commits > 0 || done.resumed || done.bit_cleared || done.mark_cleared
    }

    /// Whether there is anything of ByteLog.
    pub fn is_ours(&self) -> bool {
        let done = &self.exported;
        !done.left_alone && (done.state != State::Clean || done.mark_cleared)
    }

    /// What is going to be lost.
    pub fn first_text(&self) -> String {
        let lost = self.exported.lost.as_ref();
        lost.map_or(String::new(), |loss| self.loss_text(loss))
    }

    fn loss_text(&self, loss: &Loss) -> String {
        let mut out = format!("{}: ", self.device);
        if loss.is_empty() {
            return out + "nothing is lost\n";
        }
        out += match self.exported.commits {
            0 => "no fast commit is kept; lost with the others are\n",
            _ => "what is behind the damage is lost:\n",
        };
        // Writing to a string does not fail, here and below.
        if loss.commits > 0 {
            let _ = writeln!(out, "  {}", count(loss.commits, "whole fast commit"));
        }
        for cause in &loss.unreadable {
            let _ = writeln!(out, "  what cannot be read: {cause}");
        }
        for file in &loss.files {
            let _ = writeln!(out, "  {file}");
        }
        out
    }
}

impl Report for Told {
    const NAME: Name = Name::Export;

    fn text(&self) -> String {
        let done = &self.exported;
        let mut out = match &done.lost {
            Some(loss) if !self.loss_told => self.loss_text(loss),
            _ => String::new(),
        };
        // Writing to a string does not fail, here and below.
        let _ = write!(out, "{}: ", self.device);
        let tid = done.tid.unwrap_or(0);
        let _ = match (done.state, self.dry_run) {
            (State::Clean, _) => writeln!(out, "clean, there is nothing to export"),
            (state, _) if done.left_alone => writeln!(
                out,
                "left alone, there is nothing of ByteLog ({}): e2fsck or a mount recovers it",
                state.text()
            ),
            (_, dry_run) if done.replayed => {
                let had = match dry_run {
                    true => "would be in the journal, there is room: the log is",
                    false => "are in the journal: the log was",
                };
                writeln!(
                    out,
                    "{} that {} of transaction {tid} change {had} replayed in memory, for it has \
                     directories or special files",
                    count(done.blocks, "block"),
                    count(done.commits, "fast commit"),
                )
            }
            (_, dry_run) if done.commits > 0 => {
                let (had, where_to) = match dry_run {
                    true => ("would be", "there is room"),
                    false => ("are now", "done"),
                };
                let staging = match done.staging {
                    Some(Staging::Ring) => " for a time at the end of the ring",
                    Some(Staging::Area) => " for a time behind the log",
                    _ => " over the log",
                };
                writeln!(
                    out,
                    "{} of transaction {tid} {had} {} in stock format, written{staging}: {where_to}",
                    count(done.commits, "fast commit"),
                    count(done.blocks, "block"),
                )
            }
            (State::Stock, _) if done.resumed => {
                writeln!(out, "an export that was cut is completed")
            }
            (_, true) if done.lost.is_some() => writeln!(out, "no fast commit would be kept"),
            (_, false) if done.lost.is_some() => writeln!(out, "no fast commit is kept"),
            (State::Stock, _) => writeln!(out, "the fast commits are in stock format already"),
            (state, _) => writeln!(out, "no fast commit to export ({})", state.text()),
        };
        if done.written_back > 0 {
            let _ = writeln!(
                out,
                "{} of the journal {} written back",
                count(done.written_back, "full commit"),
                match self.dry_run {
                    true => "would be",
                    false => "now",
                }
            );
        }
        if done.reused_inodes > 0 {
            let _ = writeln!(
                out,
                "{} had other files before: their old extents are kept from stock replay",
                count(done.reused_inodes, "inode")
            );
        }
        for (what, is_cleared) in [
            ("mark of the journal", done.mark_cleared),
            ("feature bit 0x40000", done.bit_cleared),
        ] {
            if is_cleared {
                let _ = writeln!(
                    out,
                    "{what} {}: stock kernels and e2fsck replay the journal",
                    match self.dry_run {
                        true => "would be cleared",
                        false => "cleared",
                    }
                );
            }
        }
        out
    }
}
