// SPDX-License-Identifier: GPL-2.0

//! `bytelog export`: the log as conventional fast commits, in place or in a copy.

use super::table::count;
use crate::cli::Report;
use crate::error::{Error, Result};
use crate::export::plan::Staging;
use crate::export::{export as convert, Exported};
use crate::image::{Image, Place};
use crate::log::inspect::State;
use crate::new_file::{apart, NewFile};
use crate::store::Access;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How to export.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Leave the device as it is, and export a copy of it, written to this new file.
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// The same for a journal on a device of its own.
    #[arg(long, value_name = "FILE", requires = "to")]
    pub journal_to: Option<PathBuf>,
    /// Only tell what would be done, and whether there is room.
    #[arg(long)]
    pub dry_run: bool,
}

/// What `bytelog export` tells.
#[derive(Debug, Serialize)]
pub struct Told {
    device: String,
    dry_run: bool,
    #[serde(flatten)]
    exported: Exported,
}

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// Exports `image`, where it is.
pub fn in_place(image: &Image) -> Result<Told> {
    Ok(Told {
        device: image.store.name().to_owned(),
        dry_run: false,
        exported: convert(image, false, false)?,
    })
}

/// What an export of `image` would do.
pub fn planned(image: &Image) -> Result<Told> {
    Ok(Told {
        device: image.store.name().to_owned(),
        dry_run: true,
        exported: convert(image, false, true)?,
    })
}

/// Exports the filesystem at `place`.
pub fn export(place: &Place, args: &Args) -> Result<Told> {
    let exported = match (&args.to, args.dry_run) {
        (to, true) => {
            let image = Image::open(place, Access::Read)?;
            convert(&image, to.is_some(), true)?
        }
        (None, false) => convert(&Image::open(place, Access::Write)?, false, false)?,
        (Some(to), false) => {
            let image = Image::open(place, Access::Unused)?;
            let journal = journal_copy(&image, args)?;
            apart(to, args.journal_to.as_deref())?;
            // Before a large copy is made for nothing.
            convert(&image, true, true)?;
            let mut copies = vec![(place.path.clone(), NewFile::create(to)?)];
            if let Some((from, to)) = &journal {
                copies.push((from.clone(), NewFile::create(to)?));
            }
            for (from, to) in &copies {
                copy(from, to)?;
            }
            let place = Place {
                path: to.clone(),
                journal: journal.map(|(_, to)| to),
                ..place.clone()
            };
            let done = convert(&Image::open(&place, Access::Write)?, true, false)?;
            copies.into_iter().for_each(|(_, to)| to.keep());
            done
        }
    };
    Ok(Told {
        device: args
            .to
            .as_ref()
            .unwrap_or(&place.path)
            .display()
            .to_string(),
        dry_run: args.dry_run,
        exported,
    })
}

/// The journal's own device, where it has one, and the file for a copy of it.
fn journal_copy(image: &Image, args: &Args) -> Result<Option<(PathBuf, PathBuf)>> {
    match (image.journal.is_external(), &args.journal_to) {
        (false, None) => Ok(None),
        (true, Some(to)) => Ok(Some((image.journal.store.name().into(), to.clone()))),
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

/// Copies the whole file or device, leaving out what is zero.
fn copy(from: &Path, to: &NewFile) -> Result<()> {
    let from_name = from.display().to_string();
    let to_name = to.name();
    let read = |error: std::io::Error| Error::failed(&from_name, error);
    let wrote = |error: std::io::Error| Error::failed(&to_name, error);
    let mut source = File::open(from).map_err(read)?;
    let len = source.seek(SeekFrom::End(0)).map_err(read)?;
    source.rewind().map_err(read)?;
    let mut file = to.file();
    let mut chunk = vec![0; CHUNK];
    loop {
        let got = source.read(&mut chunk).map_err(read)?;
        let bytes = chunk.get(..got).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if bytes.iter().any(|byte| *byte != 0) {
            file.write_all(bytes).map_err(wrote)?;
        } else {
            file.seek(SeekFrom::Current(got as i64)).map_err(wrote)?;
        }
    }
    file.set_len(len).map_err(wrote)
}

impl Told {
    /// Whether fast commits or the feature bit are changed, or would be.
    pub fn changes_log(&self) -> bool {
        let done = &self.exported;
        done.commits > 0 || done.resumed || done.bit_cleared
    }
}

impl Report for Told {
    fn text(&self) -> String {
        let done = &self.exported;
        let mut out = String::new();
        // Writing to a string does not fail, here and below.
        let _ = write!(out, "{}: ", self.device);
        let tid = done.tid.unwrap_or(0);
        let _ = match (done.state, self.dry_run) {
            (State::Clean, _) => writeln!(out, "clean, there is nothing to export"),
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
            (State::Stock, _) => writeln!(out, "the fast commits are in stock format already"),
            (state, _) => writeln!(out, "no fast commit to export ({})", state.text()),
        };
        if done.reused_inodes > 0 {
            let _ = writeln!(
                out,
                "{} had other files before: their old extents are kept from stock replay",
                count(done.reused_inodes, "inode")
            );
        }
        if done.bit_cleared {
            let _ = writeln!(
                out,
                "feature bit 0x40000 {}: stock kernels and e2fsck replay the journal",
                match self.dry_run {
                    true => "would be cleared",
                    false => "cleared",
                }
            );
        }
        out
    }
}
