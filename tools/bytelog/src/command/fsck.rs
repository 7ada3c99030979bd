// SPDX-License-Identifier: GPL-2.0

//! `bytelog fsck`: the log checked and exported, then e2fsck.

use super::export;
use crate::cli::Report;
use crate::error::{Error, Result, Status};
use crate::ext4::bit;
use crate::image::{Image, Place};
use crate::store::Access;
use serde::Serialize;
use std::ffi::OsString;
use std::process::{Command, Stdio};

/// What to give to e2fsck.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Args {
    /// Options for e2fsck, such as -fy or -p.
    #[arg(last = true, value_name = "E2FSCK OPTIONS")]
    pub options: Vec<OsString>,
}

/// What `bytelog fsck` tells.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What became of the log.
    export: export::Told,
    /// The feature bit was set on a clean filesystem, and is set again.
    bit_restored: bool,
    /// Exit status of e2fsck.
    e2fsck_status: u8,
    /// What e2fsck said; with `--json` only.
    e2fsck_output: Option<String>,
}

/// Checks the filesystem at `place`. `exported` is told what became of the log before
/// e2fsck runs. `keep_output`: e2fsck's words are for the report and not for the
/// terminal.
pub fn fsck(
    place: &Place,
    args: &Args,
    keep_output: bool,
    exported: impl FnOnce(&export::Told),
) -> Result<Checked> {
    if place.offset > 0 && Image::open(place, Access::Read)?.is_dirty() {
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
    fsck_with(
        |access| Image::open(place, access),
        exported,
        || run(place, args, keep_output),
    )
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
        export,
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
    command.arg(device);
    let fail = |error| {
        Error::failed("e2fsck", error).remedy("install e2fsprogs; the log has been exported")
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
