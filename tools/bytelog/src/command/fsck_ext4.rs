// SPDX-License-Identifier: GPL-2.0

//! `fsck.ext4`: what boots and fsck(8) call, where the package has put this program in the
//! place of e2fsck's link.
//!
//! e2fsck refuses a journal with ByteLog's mark, and a boot that asks it stops. A log that
//! can be replayed is nothing to repair: the mount does it. Where there is nothing of
//! ByteLog, this is e2fsck, with its arguments and its exit status.

use super::fsck::{self, Args, OptionWord};
use super::verify::{verify, Verdict};
use crate::error::{Error, Result, Status};
use crate::image::{Image, Place};
use crate::report::Report;
use std::ffi::{OsStr, OsString};
use std::io::{stderr, stdout, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name that this is called by.
pub const NAME: &str = "fsck.ext4";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// `-p` or `-a`: only what needs no answer.
    preen: bool,
    journal: Option<PathBuf>,
    superblock: Option<u64>,
    /// All that e2fsck is to be given besides these and the device.
    options: Vec<OsString>,
    device: Option<OsString>,
}

impl Asked {
    fn parse(args: &[OsString]) -> Self {
        let mut asked = Self::default();
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let Some(option) = OptionWord::parse(word) else {
                asked.device = Some(word.clone());
                continue;
            };
            asked.preen |= option.has(b'p') || option.has(b'a');
            let value = match option.argument() {
                None => None,
                Some((letter, inside)) if inside.is_empty() => {
                    words.next().map(|next| (letter, next.clone()))
                }
                Some((letter, inside)) => Some((letter, inside.to_owned())),
            };
            match value {
                Some((b'j', journal)) => asked.journal = Some(journal.into()),
                Some((b'b', block)) => {
                    asked.superblock = block.to_str().and_then(|block| block.parse().ok());
                }
                Some((_, value)) if option.ends_with_its_letter() => {
                    asked.options.extend([word.clone(), value]);
                }
                _ => asked.options.push(word.clone()),
            }
        }
        asked
    }

    fn place(&self) -> Option<Place> {
        let path = Path::new(self.device.as_ref()?);
        // What has another name, such as LABEL=, e2fsck finds.
        path.exists().then(|| Place {
            path: path.to_owned(),
            offset: 0,
            len: None,
            journal: self.journal.clone(),
            superblock: self.superblock,
            falls_back: true,
        })
    }
}

/// Checks what the arguments name; the exit status is one of fsck(8).
pub fn main(args: &[OsString]) -> Status {
    let asked = Asked::parse(args);
    let checked = match asked.place() {
        None => return e2fsck(args),
        Some(place) => check(&asked, &place),
    };
    match checked {
        Ok(Some(status)) => status,
        Ok(None) => e2fsck(args),
        Err(error) => {
            // There is nowhere else to say it.
            let _ = writeln!(stderr(), "{NAME}: {error}");
            Status::Refused
        }
    }
}

/// The exit status, or `None` if there is nothing of ByteLog.
fn check(asked: &Asked, place: &Place) -> Result<Option<Status>> {
    let Some(image) = fsck::ours(place)? else {
        return Ok(None);
    };
    if asked.preen {
        return before_a_mount(&image).map(Some);
    }
    drop(image);
    let args = Args {
        options: asked.options.clone(),
    };
    let checked = fsck::fsck(place, &args, false, |export| say(&export.text()))?;
    say(&checked.text());
    Ok(Some(checked.status()))
}

/// What a boot wants to know: whether the mount that follows will do.
fn before_a_mount(image: &Image) -> Result<Status> {
    let name = image.store.name();
    if !image.is_dirty() {
        say(&format!("{name}: clean, with the feature bit of ByteLog\n"));
        return Ok(Status::Fine);
    }
    let found = verify(image)?;
    match found.verdict() {
        Verdict::Whole | Verdict::Torn | Verdict::Nothing => {
            say(&format!("{name}: a ByteLog, which the mount replays\n"));
            Ok(Status::Fine)
        }
        Verdict::Later => {
            Err(Error::refused(name, "the log uses features of a later version")
                .remedy("mount it with the modules that wrote it"))
        }
        Verdict::Damaged => Err(Error::refused(name, "the log is damaged").remedy(
            "keep a copy; bytelog verify shows where, and bytelog export has ways to go on without \
             what is lost",
        )),
    }
}

/// A reader that is gone is no reason for another exit status.
fn say(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Becomes e2fsck.
fn e2fsck(args: &[OsString]) -> Status {
    let error = Command::new(OsStr::new("e2fsck")).args(args).exec();
    let _ = writeln!(stderr(), "{NAME}: e2fsck: {error}; install e2fsprogs");
    Status::E2fsck(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Asked {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Asked::parse(&words)
    }

    #[test]
    fn arguments_are_taken_apart() {
        let boot = asked("-a -C0 /dev/pmem0");
        assert!(boot.preen && boot.device == Some("/dev/pmem0".into()));
        assert_eq!(boot.options, ["-a", "-C0"]);
        let other = asked("-fy -C 3 -b 32768 -B 4096 -j /dev/pmem1 /dev/sda");
        assert!(!other.preen);
        assert_eq!(other.superblock, Some(32768));
        assert_eq!(other.journal, Some("/dev/pmem1".into()));
        assert_eq!(other.options, ["-fy", "-C", "3", "-B", "4096"]);
        // An argument of another option, and no option of its own.
        assert!(!asked("-E p /dev/sda").preen);
        assert!(asked("-pf /dev/sda").preen);
    }
}
