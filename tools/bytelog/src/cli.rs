// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::command::{capture, dump, export, feature, fsck, info, map, stat, top, verify};
use crate::error::{Error, Result, Status};
use crate::image::{Image, Place};
use crate::partition;
use crate::stats::sample::Selection;
use crate::store::Access;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Look at, check and convert the ByteLog fast-commit log of an ext4 filesystem.
///
/// Exit status: 0 done; 4 the log is damaged, or the filesystem is in a state that the
/// command refuses; 8 it could not be done; 16 wrong usage. That of fsck is e2fsck's.
#[derive(Parser)]
#[command(name = "bytelog", version)]
pub struct Cli {
    /// Write JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell about the journal, its fast-commit area and the log in it.
    Info(Where),
    /// Print every record and every TLV of the log.
    Dump {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        what: dump::Args,
    },
    /// Check the log: whole, torn at its end by a power cut, or damaged.
    Verify(Where),
    /// Draw the log to scale, in the terminal or as SVG.
    Map {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        how: map::Args,
    },
    /// Make the log one that stock kernels and e2fsck replay, safe against power cuts.
    Export {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        how: export::Args,
    },
    /// Copy what concerns the log to a sparse file, such as for a report; it is no
    /// filesystem for e2fsck or mount.
    Capture {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        to: capture::Args,
    },
    /// Set the feature bit of a clean filesystem: mounts need ByteLog from then on.
    Enable(Where),
    /// Clear the feature bit of a clean filesystem.
    Disable(Where),
    /// Check and export the log, then run e2fsck; refused with its -n where that writes.
    Fsck {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        args: fsck::Args,
    },
    /// Print what a shell needs to complete this command's arguments.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Tell what the kernel has counted of mounted filesystems with ByteLog.
    Stat(Selection),
    /// Show it live: what happens in each interval.
    Top(top::Args),
}

/// The filesystem.
#[derive(Args)]
struct Where {
    /// Device or image file with the filesystem.
    device: PathBuf,
    /// Bytes from its start to the filesystem, such as a partition of an image.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// Number of its partition, of a GPT or an MBR.
    #[arg(long, value_name = "N", conflicts_with = "offset")]
    partition: Option<u32>,
    /// Device or file of an external journal; found by its UUID where left out.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Read the backup of the superblock at this block, as for e2fsck.
    #[arg(short = 'b', long = "superblock", value_name = "BLOCK")]
    superblock: Option<u64>,
}

impl Where {
    fn place(&self) -> Result<Place> {
        let part = match self.partition {
            Some(number) => Some(partition::find(&self.device, number)?),
            None => None,
        };
        Ok(Place {
            path: self.device.clone(),
            offset: part.map_or(self.offset, |part| part.offset),
            len: part.map(|part| part.len),
            journal: self.journal.clone(),
            superblock: self.superblock,
            falls_back: false,
        })
    }

    fn open(&self, access: Access, err: &mut dyn Write) -> Result<Image> {
        let place = Place {
            falls_back: access == Access::Read,
            ..self.place()?
        };
        let image = Image::open(&place, access)?;
        if let Some(backup) = &image.backup {
            // Should this fail, the rest is told.
            let _ = writeln!(err, "bytelog: {}: {backup}", image.store.name());
        }
        Ok(image)
    }
}

/// What a command has to tell.
pub trait Report: Serialize {
    /// As text, with a newline at the end.
    fn text(&self) -> String;

    /// What the command ends with.
    fn status(&self) -> Status {
        Status::Fine
    }
}

impl Cli {
    /// Runs the command, writing to `out` and, for errors, to `err`.
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> Status {
        self.dispatch(out, err).unwrap_or_else(|error| {
            if self.json {
                // Should this fail, there is still the other.
                let _ = writeln!(out, "{}", serde_json::json!({ "error": error }));
                let _ = out.flush();
            }
            let _ = writeln!(err, "bytelog: {error}");
            error.status
        })
    }

    fn dispatch(&self, out: &mut dyn Write, err: &mut dyn Write) -> Result<Status> {
        match &self.command {
            Command::Info(place) => {
                let place = Place {
                    falls_back: true,
                    ..place.place()?
                };
                self.tell(out, &info::look(&place)?)
            }
            Command::Dump { place, what } => {
                let image = place.open(Access::Read, err)?;
                self.tell(out, &dump::dump(&image, what)?)
            }
            Command::Verify(place) => {
                let image = place.open(Access::Read, err)?;
                self.tell(out, &verify::verify(&image)?)
            }
            Command::Map { place, how } => {
                let image = place.open(Access::Read, err)?;
                self.tell(out, &map::map(&image, how)?)
            }
            Command::Export { place, how } => {
                let mut first = Ok(());
                let done = export::export(&place.place()?, how, |loss| {
                    if !self.json {
                        let text = loss.first_text();
                        first = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                    }
                })?;
                let status = self.tell(out, &done)?;
                written(first, status)
            }
            Command::Capture { place, to } => {
                self.tell(out, &capture::capture(&place.place()?, to)?)
            }
            Command::Enable(place) => self.switch(out, err, place, true),
            Command::Disable(place) => self.switch(out, err, place, false),
            Command::Fsck { place, args } => {
                let mut first = Ok(());
                let checked = fsck::fsck(&place.place()?, args, self.json, |told| {
                    if !self.json {
                        let text = told.text();
                        first = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                    }
                })?;
                let status = self.tell(out, &checked)?;
                written(first, status)
            }
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut Self::command(), "bytelog", &mut script);
                write_all(out, &script, Status::Fine)
            }
            Command::Stat(which) => self.tell(out, &stat::stat(which)?),
            Command::Top(args) => written(top::top(args, self.json, out)?, Status::Fine),
        }
    }

    fn switch(
        &self,
        out: &mut dyn Write,
        err: &mut dyn Write,
        place: &Where,
        on: bool,
    ) -> Result<Status> {
        let image = place.open(Access::Write, err)?;
        self.tell(out, &feature::switch(&image, on)?)
    }

    fn tell<R: Report>(&self, out: &mut dyn Write, report: &R) -> Result<Status> {
        let text = match self.json {
            true => {
                let json = serde_json::to_string_pretty(report);
                json.map_err(|error| Error::failed("JSON", error))? + "\n"
            }
            false => report.text(),
        };
        write_all(out, text.as_bytes(), report.status())
    }
}

fn write_all(out: &mut dyn Write, bytes: &[u8], status: Status) -> Result<Status> {
    written(out.write_all(bytes).and_then(|()| out.flush()), status)
}

/// What a command that would end with `status` ends with, now that its words have been
/// written, or not. A reader that has gone away, such as head, is no error.
pub fn written(result: std::io::Result<()>, status: Status) -> Result<Status> {
    match result {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::failed("standard output", error))
        }
        _ => Ok(status),
    }
}
