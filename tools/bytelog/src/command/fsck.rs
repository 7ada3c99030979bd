// SPDX-License-Identifier: GPL-2.0

//! `bytelog fsck`: the log checked and exported, then e2fsck.

use super::capture::is_capture;
use super::export;
use crate::error::{Error, Result, Status};
use crate::ext4::bit;
use crate::image::{Image, Place};
use crate::report::{Name, Report};
use crate::store::{Access, FileStore, Store};
use schemars::JsonSchema;
use serde::Serialize;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

/// What to give to e2fsck.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Options for e2fsck, such as -fy or -p. With -n nothing is written, and what
    /// e2fsck cannot read as it is, a ByteLog or the feature bit, is refused.
    #[arg(last = true, value_name = "E2FSCK OPTIONS")]
    pub options: Vec<OsString>,
}

/// What `bytelog fsck` tells.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Checked {
    /// What became of the log; `None` where there is nothing of ByteLog, so that e2fsck
    /// does all.
    export: Option<export::Told>,
    /// The feature bit was set on a clean filesystem, and is set again.
    bit_restored: bool,
    /// Exit status of e2fsck.
    e2fsck_status: u8,
    /// What e2fsck said; with `--json` only.
    e2fsck_output: Option<String>,
}

/// Checks the filesystem at `place`. Where there is nothing of ByteLog, that is what
/// e2fsck does, and nothing else. `exported` is told what became of the log before
/// e2fsck runs. `keep_output`: e2fsck's words are for the report and not for the
/// terminal.
pub fn fsck(
    place: &Place,
    args: &Args,
    keep_output: bool,
    exported: impl FnOnce(&export::Told),
) -> Result<Checked> {
    let Some(image) = ours(place)? else {
        let (e2fsck_status, e2fsck_output) = run(place, args, keep_output)?;
        return Ok(Checked {
            export: None,
            bit_restored: false,
            e2fsck_status,
            e2fsck_output,
        });
    };
    if changes_nothing(&args.options) {
        return look(&image, exported, || run(place, args, keep_output));
    }
    if place.offset > 0 && image.is_dirty() {
        // It opens the file once more after recovery, at its beginning.
        let name = place.path.display().to_string();
        let size = place.len.map(|len| format!(" --sizelimit {len}"));
        return Err(
            Error::refused(&name, "e2fsck recovers no journal at an offset").remedy(format_args!(
                "name the partition's device, or for an image that of losetup -f --show -o {}{} {name}",
                place.offset,
                size.unwrap_or_default(),
            )),
        );
    }
    drop(image);
    export::restore(place)?;
    let place = Place {
        superblock: None,
        ..place.clone()
    };
    fsck_with(
        |access| Image::open(&place, access),
        exported,
        || run(&place, args, keep_output),
    )
}

/// The filesystem at `place`, if anything of it is ByteLog's: the feature bit, or a log.
pub fn ours(place: &Place) -> Result<Option<Image>> {
    // What is no file is none for e2fsck either.
    let store = FileStore::open(&place.path, Access::Read, place.offset, place.len)?;
    if is_capture(&store)? {
        return Err(
            Error::refused(store.name(), "this is a capture, and no whole filesystem")
                .remedy("info, dump, verify and map can read it; e2fsck cannot"),
        );
    }
    let has_bit = bit::primary(&store).is_ok_and(|sb| sb.has_bytelog() || sb.is_torn());
    let place = Place {
        falls_back: true,
        ..place.clone()
    };
    match Image::open(&place, Access::Read) {
        Ok(image) if has_bit || image.journal.sb.is_marked() => Ok(Some(image)),
        Ok(image) => {
            // What cannot be exported is ours, too.
            let is_ours = export::planned(&image).map_or(true, |told| told.is_ours());
            Ok(is_ours.then_some(image))
        }
        Err(error) if has_bit || error.status == Status::Usage => Err(error),
        Err(_) => Ok(None),
    }
}

/// A word of e2fsck's arguments that is an option, or some of them.
pub struct OptionWord<'a> {
    /// Those without an argument, and the first one with one.
    letters: &'a [u8],
    /// What is behind that.
    rest: &'a [u8],
}

impl<'a> OptionWord<'a> {
    /// Options with an argument.
    const WITH_ARGUMENT: &'static [u8] = b"CBEMbIjPlLNz";

    /// `None` if `word` is no option.
    pub fn parse(word: &'a OsStr) -> Option<Self> {
        let cluster = word.as_bytes().strip_prefix(b"-")?;
        let is_last = |letter: &u8| Self::WITH_ARGUMENT.contains(letter);
        let end = match cluster.iter().position(is_last) {
            Some(at) => at + 1,
            None => cluster.len(),
        };
        let (letters, rest) = cluster.split_at_checked(end)?;
        Some(Self { letters, rest })
    }

    /// Whether this option is among them.
    pub fn has(&self, letter: u8) -> bool {
        self.letters.contains(&letter)
    }

    /// The option that has an argument, and what of that is in the word; nothing if it is
    /// the next word.
    pub fn argument(&self) -> Option<(u8, &'a OsStr)> {
        let last = *self.letters.last()?;
        Self::WITH_ARGUMENT
            .contains(&last)
            .then(|| (last, OsStr::from_bytes(self.rest)))
    }

    /// Whether the argument is the next word.
    pub fn ends_with_its_letter(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Whether `options` have e2fsck's `-n`, which changes nothing.
fn changes_nothing(options: &[OsString]) -> bool {
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let Some(option) = OptionWord::parse(word) else {
            continue;
        };
        if option.has(b'-') {
            return false;
        }
        if option.has(b'n') {
            return true;
        }
        if option.argument().is_some() && option.ends_with_its_letter() {
            words.next();
        }
    }
    false
}

/// Checks `image`, which is not written to, with `e2fsck`.
fn look(
    image: &Image,
    exported: impl FnOnce(&export::Told),
    e2fsck: impl FnOnce() -> Result<(u8, Option<String>)>,
) -> Result<Checked> {
    let name = image.store.name();
    let export = export::planned(image)?;
    if export.changes_log() {
        return Err(Error::refused(
            name,
            "-n changes nothing, and the log would have to be exported first",
        )
        .remedy("use bytelog verify, or bytelog export --to FILE and e2fsck -n on that copy"));
    }
    if image.sb.has_bytelog() || image.sb.is_torn() {
        return Err(Error::refused(
            name,
            "-n changes nothing, and e2fsck refuses the feature bit, which is set",
        )
        .remedy("leave -n out: the bit is cleared while e2fsck runs, and set again"));
    }
    exported(&export);
    let (e2fsck_status, e2fsck_output) = e2fsck()?;
    Ok(Checked {
        export: Some(export),
        bit_restored: false,
        e2fsck_status,
        e2fsck_output,
    })
}

/// Checks the filesystem that `open` gives, with `e2fsck`, whose exit status and words
/// that returns.
pub fn fsck_with(
    open: impl Fn(Access) -> Result<Image>,
    exported: impl FnOnce(&export::Told),
    e2fsck: impl FnOnce() -> Result<(u8, Option<String>)>,
) -> Result<Checked> {
    let was_clean = !open(Access::Read)?.is_dirty();
    let export = export::in_place(&open(Access::Write)?)?;
    // A bit on a clean filesystem was set on purpose. A cut before it is set again leaves
    // it in the backups only; the filesystem is clean then, and open to every tool.
    let masked = was_clean && mask(&open(Access::Write)?)?;
    exported(&export);
    let (status, output) = e2fsck()?;
    let image = open(Access::Write)?;
    let bit_restored = masked && !image.is_dirty();
    if bit_restored {
        bit::write(image.store.as_ref(), true)?;
    }
    Ok(Checked {
        export: Some(export),
        bit_restored,
        e2fsck_status: status,
        e2fsck_output: output,
    })
}

/// Clears the bit where e2fsck looks; whether it was set.
fn mask(image: &Image) -> Result<bool> {
    let was_set = image.sb.has_bytelog() || image.sb.is_torn();
    bit::write_primary(image.store.as_ref(), false)?;
    Ok(was_set)
}

fn run(place: &Place, args: &Args, keep_output: bool) -> Result<(u8, Option<String>)> {
    let mut device = place.path.clone().into_os_string();
    if place.offset > 0 {
        device.push(format!("?offset={}", place.offset));
    }
    let mut command = Command::new("e2fsck");
    command.args(&args.options);
    if let Some(journal) = &place.journal {
        command.arg("-j").arg(journal);
    }
    if let Some(block) = place.superblock {
        command.arg("-b").arg(block.to_string());
    }
    command.arg(device);
    let fail = |error| {
        Error::failed("e2fsck", error).remedy("install e2fsprogs; a log has been exported by now")
    };
    let code = |code: Option<i32>| code.and_then(|code| u8::try_from(code).ok()).unwrap_or(8);
    if keep_output {
        let output = command.stdin(Stdio::null()).output().map_err(fail)?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        return Ok((code(output.status.code()), Some(said)));
    }
    let status = command.status().map_err(fail)?;
    Ok((code(status.code()), None))
}

impl Report for Checked {
    const NAME: Name = Name::Fsck;

    fn text(&self) -> String {
        // The rest was said before e2fsck ran.
        match self.bit_restored {
            true => "feature bit 0x40000 set again\n".to_owned(),
            false => String::new(),
        }
    }

    fn status(&self) -> Status {
        Status::E2fsck(self.e2fsck_status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds_n(line: &str) -> bool {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        changes_nothing(&words)
    }

    #[test]
    fn n_is_found_among_other_options() {
        for line in [
            "-n",
            "-fn",
            "-nf",
            "-f -v -n",
            "-b 32768 -n",
            "-C0 -fn",
            "-E discard -n",
        ] {
            assert!(finds_n(line), "{line}");
        }
        for line in [
            "",
            "-fy",
            "-p",
            "-E nodiscard",
            "-Enodiscard",
            "-z n.undo",
            "-j -n",
            "-- -n",
            "n",
        ] {
            assert!(!finds_n(line), "{line}");
        }
    }
}
