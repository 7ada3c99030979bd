// SPDX-License-Identifier: GPL-2.0

//! What an export gives up when it is asked to, and what that loses.

use super::exported::{Exported, Salvage};
use super::home::Home;
use crate::error::{Error, Result};
use crate::ext4::bit;
use crate::ext4::paths::paths;
use crate::image::Image;
use crate::jbd2::journal::Journal;
use crate::log::inspect::{Inspection, State};
use crate::log::loss::{Given, Loss};
use crate::store::Store;

/// An error if the journal or the log is damaged and `salvage` does not give that up. A
/// log of a later version is not damaged: nobody knows what is in front of what in it.
pub fn refuse_damage(image: &Image, found: &Inspection<'_>, salvage: Salvage) -> Result<()> {
    if let (Some(later), State::Later) = (&found.damage, found.state) {
        let error = Error::refused(image.journal.store.name(), &later.reason).remedy(
            "use the bytelog export of that version, or mount with its module; --discard-log gives \
             the log up",
        );
        return match salvage {
            Salvage::Log => Ok(()),
            _ => Err(error),
        };
    }
    if salvage != Salvage::Nothing {
        return Ok(());
    }
    if let Some(fault) = found.journal_fault() {
        return Err(fault.clone());
    }
    let Some(damage) = &found.damage else {
        return Ok(());
    };
    let error = Error::refused(
        image.journal.store.name(),
        format_args!("the log is damaged: {}", damage.reason),
    );
    let error = error.remedy(
        "see bytelog verify, and keep a copy; --up-to-damage exports what is in front of the damage, \
         --discard-log nothing, and either with --dry-run tells what would be lost",
    );
    Err(match damage.file_offset {
        Some(offset) => error.at(offset),
        None => error,
    })
}

/// What is lost of what was `found`; `home` has the filesystem as recovery would leave it.
pub fn loss(image: &Image, found: &Inspection<'_>, home: Option<&Home>, all: bool) -> Loss {
    let max_tlv = (image.sb.block_size() as usize).saturating_sub(bytelog::tlv::TL_LEN);
    let given = Given::of(found, all, max_tlv);
    let wanted = given.wanted();
    let paths = match home {
        Some(home) => paths(&home.recovered(image), &image.sb, &wanted),
        None => paths(image.store.as_ref(), &image.sb, &wanted),
    };
    given.told(&paths)
}

/// Clears the feature bit of the filesystem on `store`, and the mark of its journal, which
/// cannot be read for `cause`: all that is in the journal is given up.
pub fn without_journal(store: &dyn Store, cause: &Error, dry_run: bool) -> Result<Exported> {
    let sb = bit::primary(store)?;
    let is_set = sb.has_bytelog() || sb.is_torn();
    if is_set && !dry_run {
        bit::write(store, false)?;
    }
    let mark_cleared = Journal::clear_damaged_mark(store, &sb, dry_run)?;
    Ok(Exported {
        lost: Some(Loss {
            unreadable: vec![format!("the journal: {}", cause.cause)],
            ..Loss::default()
        }),
        bit_cleared: is_set,
        mark_cleared,
        ..Exported::of(State::JournalDamaged, None)
    })
}
