// SPDX-License-Identifier: GPL-2.0

//! What has to be known before an export writes anything.

use super::note::Note;
use super::plan::{self, Plan};
use crate::crc::Crc;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::jbd2::area::Area;
use crate::jbd2::superblock::MIN_RING;
use bytelog::translate::Translator;

/// The note of an export that was cut after its log had become the conventional one.
pub(super) fn unfinished(
    image: &Image,
    blocks: Option<u32>,
    tid: Option<u32>,
) -> Result<Option<Note>> {
    let Some(behind) = blocks.filter(|blocks| *blocks > 0) else {
        return Ok(None);
    };
    let area = Area::new(&image.journal, image.journal.sb.fc_blocks())?;
    if behind >= area.blocks() {
        return Ok(None);
    }
    let note = Note::decode(&image.journal.read_block(area.first() + behind)?);
    let mut sb = image.journal.sb.clone();
    Ok(note.filter(|note| {
        sb.set_fc_blocks(note.stored_fc_blocks);
        let ring = sb.maxlen().checked_sub(sb.fc_blocks());
        Some(note.tid) == tid
            && behind + 1 < sb.fc_blocks()
            && ring.is_some_and(|ring| ring >= MIN_RING)
    }))
}

/// The log `tlvs` of transaction `tid` as conventional blocks.
pub(super) fn translate(image: &Image, tlvs: &[u8], tid: u32) -> Result<Vec<Vec<u8>>> {
    let size = image.sb.block_size();
    let fail = |cause: String| Error::refused(image.journal.store.name(), cause);
    let mut translator =
        Translator::<Crc>::new(tlvs, tid, size as u32).map_err(|error| fail(error.to_string()))?;
    let mut blocks = Vec::new();
    loop {
        let mut block = vec![0; size as usize];
        match translator.next_block(&mut block) {
            Ok(true) => blocks.push(block),
            Ok(false) => return Ok(blocks),
            Err(error) => return Err(fail(error.to_string())),
        }
    }
}

/// A place for `blocks` of them, beside a log of `used` bytes.
pub(super) fn room(image: &Image, used: u64, blocks: u32, is_copy: bool) -> Result<Plan> {
    let used = u32::try_from(used.div_ceil(image.sb.block_size())).unwrap_or(u32::MAX);
    let needed = blocks.saturating_add(1);
    plan::plan(&image.journal.sb, used, needed, is_copy).map_err(|no| {
        let name = image.journal.store.name();
        if no.fits_over {
            Error::refused(
                name,
                format_args!(
                    "{} blocks of fast commits need a place beside the log, and the journal has none",
                    no.needed
                ),
            )
            .remedy(
                "export a copy with --to FILE, or mount the filesystem with an ext4 that has ByteLog",
            )
        } else {
            Error::refused(
                name,
                format_args!(
                    "as conventional blocks the log needs {} of them, and the area has {}",
                    no.needed, no.blocks
                ),
            )
            .remedy("mount the filesystem with an ext4 that has ByteLog")
        }
    })
}
