// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::command::{dump, info, verify};
use crate::error::{Result, Status};
use crate::image::{Image, Place};
use crate::store::Access;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Look at, check and convert the ByteLog fast-commit log of an ext4 filesystem.
///
/// Exit status: 0 done; 4 the log is damaged, or the filesystem is in a state that the
/// command refuses; 8 it could not be done; 16 wrong usage.
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
}

/// The filesystem.
#[derive(Args)]
struct Where {
    /// Device or image file with the filesystem.
    device: PathBuf,
    /// Bytes from its start to the filesystem, such as a partition of an image.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// Device or file of an external journal; found by its UUID where left out.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

impl Where {
    fn open(&self, access: Access) -> Result<Image> {
        let place = Place {
            path: self.device.clone(),
            offset: self.offset,
            len: None,
            journal: self.journal.clone(),
        };
        Image::open(&place, access)
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
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> std::io::Result<Status> {
        match self.dispatch(out) {
            Ok(status) => status,
            Err(error) => {
                if self.json {
                    writeln!(out, "{}", serde_json::json!({ "error": error }))?;
                }
                writeln!(err, "bytelog: {error}")?;
                Ok(error.status)
            }
        }
    }

    fn dispatch(&self, out: &mut dyn Write) -> Result<std::io::Result<Status>> {
        Ok(match &self.command {
            Command::Info(place) => {
                let image = place.open(Access::Read)?;
                self.tell(out, &info::info(&image)?)
            }
            Command::Dump { place, what } => {
                let image = place.open(Access::Read)?;
                self.tell(out, &dump::dump(&image, what)?)
            }
            Command::Verify(place) => {
                let image = place.open(Access::Read)?;
                self.tell(out, &verify::verify(&image)?)
            }
        })
    }

    fn tell<R: Report>(&self, out: &mut dyn Write, report: &R) -> std::io::Result<Status> {
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
        } else {
            write!(out, "{}", report.text())?;
        }
        Ok(report.status())
    }
}
