// SPDX-License-Identifier: GPL-2.0

//! The fast-commit area: the journal's last blocks, mapped one by one.

use crate::{
    abstractions::{
        dax::DaxDevice,
        jbd2::Journal,
        mapping::{Lost, Mapping},
    },
    bytelog::{geometry::Geometry, reader::ReadArea},
    refusal::Refusal,
};
use core::ops::Range;
use kernel::{page::PAGE_SIZE, prelude::*};

/// The area of a journal, as one range of bytes from the opener on.
///
/// # Invariants
///
/// `mapping` has the size that `geometry` says.
pub(crate) struct FcArea {
    mapping: Mapping,
    geometry: Geometry,
}

impl FcArea {
    /// Maps the area of `journal`. The journal's blocks are pages.
    pub(crate) fn map(journal: &Journal, lost: Lost) -> Result<Self, Refusal> {
        let blocks = journal.fc_area().ok_or(Refusal::NoArea)?;
        let count = blocks.end - blocks.start;
        let geometry = u32::try_from(count)
            .ok()
            .and_then(|count| Geometry::new(PAGE_SIZE as u32, count).ok())
            .ok_or(Refusal::AreaTooSmall { blocks: count })?;
        let dax = DaxDevice::of(journal.device()).ok_or(Refusal::NoDax)?;
        let mapping =
            Mapping::new(dax, runs(journal, blocks), lost).map_err(Refusal::of_mapping)?;
        // INVARIANT: The runs are of `count` pages.
        Ok(Self { mapping, geometry })
    }

    /// The size.
    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The mapped bytes.
    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }
}

impl ReadArea for FcArea {
    type Error = Error;

    fn len(&self) -> u64 {
        self.mapping.len()
    }

    fn copy_out(&self, off: u64, buf: &mut [u8]) -> Result {
        self.mapping.lock().copy_out(off, buf)
    }
}

/// The given journal blocks as (offset, length) in bytes on the journal's device,
/// joined where they follow one another there.
fn runs(
    journal: &Journal,
    mut blocks: Range<u64>,
) -> impl Iterator<Item = Result<(u64, usize)>> + '_ {
    let mut offsets = core::iter::from_fn(move || {
        let block = blocks.next()?;
        let at = journal.bmap(block);
        Some(at.and_then(|at| at.checked_mul(PAGE_SIZE as u64).ok_or(EOVERFLOW)))
    })
    .peekable();
    core::iter::from_fn(move || {
        let start = match offsets.next()? {
            Ok(start) => start,
            Err(error) => return Some(Err(error)),
        };
        let mut len = PAGE_SIZE;
        let follows = |next: &Result<u64>, len: usize| matches!(next, Ok(next) if Some(*next) == start.checked_add(len as u64));
        while offsets.next_if(|next| follows(next, len)).is_some() {
            len += PAGE_SIZE;
        }
        Some(Ok((start, len)))
    })
}
