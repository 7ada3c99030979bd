// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::command::{capture, dump, export, feature, fsck, info, man, map, stat, top, verify};
use crate::error::{Error, Result, Status};
use crate::image::{Image, Place};
use crate::partition;
use crate::report::{versioned, Failed, Name, Report};
use crate::schema::schema;
use crate::size;
use crate::stats::sample::Selection;
use crate::store::Access;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Printed by `--version`.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\nlog format: version 2, and 1 to read\nfeatures of a log: directories, special\nJSON: version 1",
);

const AFTER: &str = "\
Sizes and offsets are bytes, or numbers with a unit: KiB, MiB, GiB, TiB, as in 65MiB.

Examples:
  bytelog info /dev/pmem0                        can ByteLog be used, is there a log
  bytelog verify /dev/pmem0                      after a crash: is the log whole
  bytelog export /dev/pmem0 && e2fsck -p /dev/pmem0
                                                 after a crash, without ByteLog's ext4
  bytelog export --to copy.img /dev/pmem0        the same in a copy
  bytelog export --up-to-damage --dry-run /dev/pmem0
                                                 what a damaged log loses, if it is given up
  bytelog info --offset 65MiB disk.img           a filesystem within an image
  bytelog --json info --partition 2 disk.img     the same by number, for programs
  bytelog map --svg log.svg /dev/pmem0           a picture of the log
  bytelog top /mnt                               what happens on a mounted filesystem

Exit status: 0 done; 4 the log is damaged, or the filesystem is in a state that the command
refuses; 8 it could not be done, such as for want of an ext4 filesystem, of the transaction that
dump is asked for, or of room for what is printed; 16 wrong usage. That of fsck is e2fsck's,
unless it was not run.

See also: ext4_bytelog(5), e2fsck(8), debugfs(8).";

/// Look at, check and convert the ByteLog fast-commit log of an ext4 filesystem.
///
/// ByteLog is a format of ext4's fast commits for persistent memory. DEVICE is a block
/// device or an image file. stat and top are for mounted filesystems; the others read
/// the device. Only export, enable, disable and fsck write to it, and not while it is
/// mounted.
#[derive(Parser)]
#[command(name = "bytelog", version, long_version = VERSION, after_long_help = AFTER)]
#[command(after_help = "bytelog help has examples; bytelog help COMMAND has more about a command.")]
pub struct Cli {
    /// Write JSON instead of text; bytelog schema describes it.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell about the journal, its fast-commit area and the log in it.
    ///
    /// Whether ByteLog can be used with the filesystem, and what is in the way; the state
    /// of the log; of a block device, whether the kernel's module is loaded, and whether
    /// the mount uses it.
    Info(Where),
    /// Print every record and every TLV of the log.
    ///
    /// In the manner of debugfs's logdump. On a clean filesystem, the log that is still
    /// there. Behind damage, what survives.
    Dump {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        what: dump::Args,
    },
    /// Check the log: whole, torn at its end by a power cut, or damaged.
    ///
    /// With the reason for each record that does not count. What is torn was not
    /// acknowledged; a torn log is as good as a whole one.
    Verify(Where),
    /// Draw the log to scale, in the terminal or as SVG.
    Map {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        how: map::Args,
    },
    /// Make the log one that stock kernels and e2fsck replay, safe against power cuts.
    ///
    /// The log becomes conventional fast commits, or a transaction, and the journal's mark
    /// and the feature bit are cleared. A power cut at any point leaves one log or the
    /// other, and another export completes what was cut. A filesystem that has neither
    /// mark, feature bit nor ByteLog is left alone.
    ///
    /// With --to the device is left alone, and a copy of the filesystem is written and
    /// exported; a journal on a device of its own is copied to the file that --journal-to
    /// names. The copy is of the filesystem, not of the disk that it is a partition of.
    ///
    /// A damaged log is refused. --up-to-damage exports the whole fast commits in front of
    /// the damage; --discard-log gives up all of them, and what of the journal cannot be
    /// read. Each first tells what is lost, as names and sizes; with --dry-run it tells
    /// that and does nothing.
    Export {
        #[command(flatten)]
        place: Where,
        #[command(flatten)]
        how: export::Args,
    },
    /// Copy what concerns the log to a sparse file, such as for a report.
    ///
    /// That is what the other commands read: superblocks, journal, inode tables and names,
    /// but no contents of files. Names of files are in it, and contents of small files that
    /// are in their inodes. It is no filesystem for e2fsck or mount; fsck refuses it.
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
    ///
    /// A feature bit that a clean filesystem had is set again afterwards. With e2fsck's -n
    /// nothing is written: a log, which would have to be exported, and a feature bit that
    /// is set are refused. Where there is neither mark, bit nor ByteLog, this is
    /// e2fsck, with its options and its exit status.
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
    /// Print the JSON Schema of what a subcommand writes with --json.
    ///
    /// Each document has the name of its schema and a version. A member that is new leaves
    /// the version as it is.
    Schema {
        /// The document.
        name: Name,
    },
    /// Write the man pages to a directory.
    #[command(hide = true)]
    Man {
        /// The directory.
        dir: PathBuf,
    },
    /// Tell what the kernel has counted of mounted filesystems with ByteLog.
    ///
    /// Since they were mounted: fast commits, their size and latency, how full the log is
    /// and was, and how often and why a commit was a full one.
    Stat(Selection),
    /// Show it live: what happens in each interval.
    ///
    /// A screen on a terminal, until q is pressed; elsewhere a line for each filesystem,
    /// with --json a document on a line. GIVEN UP are fast commits that the module gave
    /// up, RULED OUT transactions that ext4 did not offer it, FULL full commits; HALF and
    /// 99 % are what so many of the fast commits were faster than.
    Top(top::Args),
}

/// The filesystem.
#[derive(Args)]
struct Where {
    /// Device or image file with the filesystem.
    device: PathBuf,
    /// Bytes from its start to the filesystem, such as a partition of an image.
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = size::bytes)]
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

impl Cli {
    /// Runs the command, writing to `out` and, for errors, to `err`.
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> Status {
        self.dispatch(out, err).unwrap_or_else(|error| {
            if self.json {
                // Should this fail, there is still the other.
                let failed = versioned(Name::Error, Failed { error: &error });
                let _ = out.write_all(&serde_json::to_vec(&failed).unwrap_or_default());
                let _ = writeln!(out);
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
            Command::Schema { name } => {
                let text = serde_json::to_string_pretty(&schema(*name));
                let text = text.map_err(|error| Error::failed("JSON", error))? + "\n";
                write_all(out, text.as_bytes(), Status::Fine)
            }
            Command::Man { dir } => {
                man::write(Self::command(), dir)?;
                Ok(Status::Fine)
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
                let json = serde_json::to_string_pretty(&versioned(R::NAME, report));
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytelog::features::Features;
    use bytelog::record::Version;

    #[test]
    fn the_version_is_that_of_the_formats() {
        let newest = Version::V2; // a later one has to be named below
        assert!(match newest {
            Version::V1 | Version::V2 => VERSION.contains("log format: version 2, and 1 to read"),
        });
        assert!(VERSION.contains(&format!("features of a log: {}\n", Features::KNOWN)));
        assert!(VERSION.ends_with(&format!("JSON: version {}", crate::report::VERSION)));
    }
}
