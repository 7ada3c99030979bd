// SPDX-License-Identifier: GPL-2.0

//! `bytelog enable` and `bytelog disable`: the feature bit of a clean filesystem.

use super::obstacles::obstacles;
use super::table::count;
use crate::error::{Error, Result};
use crate::ext4::bit;
use crate::image::Image;
use crate::report::{Name, Report};
use schemars::JsonSchema;
use serde::Serialize;

/// What `bytelog enable` and `bytelog disable` tell.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Switched {
    device: String,
    /// The feature bit 0x40000.
    bytelog_bit: bool,
    /// Whether it was like that before.
    unchanged: bool,
    /// Backups of the superblock that could not be read, and were left alone.
    unreadable_backups: usize,
}

/// Sets or clears the bit of `image`, which must be clean.
pub fn switch(image: &Image, on: bool) -> Result<Switched> {
    let name = image.store.name();
    if image.is_dirty() {
        let error = Error::refused(name, "the filesystem needs recovery");
        return Err(error.remedy(match on {
            true => "mount and unmount it, or run bytelog fsck, first",
            false => "bytelog export makes its log one that stock tools can replay",
        }));
    }
    if let Some(obstacle) = obstacles(image).first().filter(|_| on) {
        return Err(Error::refused(
            name,
            format_args!("with the bit no mount would work: {obstacle}"),
        ));
    }
    let unchanged = image.sb.has_bytelog() == on && !image.sb.is_torn();
    Ok(Switched {
        device: name.to_owned(),
        bytelog_bit: on,
        unchanged,
        unreadable_backups: bit::write(image.store.as_ref(), on)?,
    })
}

impl Report for Switched {
    const NAME: Name = Name::Switch;

    fn text(&self) -> String {
        let mut out = format!(
            "{}: feature bit 0x40000 {}{}\n",
            self.device,
            match self.bytelog_bit {
                true => "set",
                false => "cleared",
            },
            match self.unchanged {
                true => " already",
                false => "",
            }
        );
        if self.bytelog_bit {
            out.push_str(
                "only an ext4 with ByteLog mounts it from now on, with or without the option\n",
            );
        }
        if self.unreadable_backups > 0 {
            let backups = count(self.unreadable_backups as u64, "backup");
            out.push_str(&format!(
                "{backups} of the superblock cannot be read: run e2fsck -f\n"
            ));
        }
        out
    }
}
