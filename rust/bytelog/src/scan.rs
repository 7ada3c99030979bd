// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The look beyond the end of a log: torn or damaged?
//!
//! Only the one fast commit in flight can be torn. A record of a later one,
//! whole, means that what is missing in front of it had been acknowledged.

use super::crc::{Crc32c, SEED};
use super::error::{Damage, ReadError};
use super::log::ReadArea;
use super::record::{Candidate, ALIGN, HEADER_LEN};
use super::source::Source;

/// Bytes of the area that are looked through for headers at a time. A multiple of
/// [`ALIGN`].
pub(super) const CHUNK: usize = 4096;

/// Fails if a record of this tid, with a nonce that is `ours` and a good payload
/// CRC, stands at or beyond `from`, whose fast commit is at least 2 above `sealed`,
/// the last one found sealed. A line there that cannot be read hides at most that.
///
/// Payloads are checked for no more bytes than the area has. Records written by a
/// writer do not overlap and cannot exceed that; headers made to do so are damage
/// as well, for no power cut leaves even one header of such a commit.
pub(super) fn no_commit_beyond<C: Crc32c, A: ReadArea, S>(
    source: &Source<'_, A>,
    ours: impl Fn(u32) -> bool,
    sealed: u32,
    from: u64,
    scratch: &mut [u8],
) -> Result<(), ReadError<A::Error, S>> {
    let Some((chunk, buf)) = scratch.split_at_mut_checked(CHUNK) else {
        return Err(ReadError::Scratch);
    };
    let end = source.geometry.area_len();
    let mut budget = end;
    let mut chunk_at = from;
    while chunk_at < end {
        let left = usize::try_from(end.saturating_sub(chunk_at)).unwrap_or(CHUNK);
        let chunk = chunk.get_mut(..left.min(CHUNK)).unwrap_or_default();
        copy_what_can_be(source, chunk_at, chunk);
        let mut at = chunk_at;
        for slot in chunk.chunks_exact(ALIGN) {
            let candidate = slot.first_chunk::<HEADER_LEN>().and_then(Candidate::parse);
            if let Some(candidate) = candidate {
                if candidate.tid == source.tid
                    && candidate.commit.saturating_sub(sealed) >= 2
                    && ours(candidate.nonce)
                    && is_whole::<C, A, S>(source, &candidate, at, &mut budget, buf)?
                {
                    return Err(ReadError::Damaged {
                        offset: from,
                        damage: Damage::Beyond {
                            sealed,
                            commit: candidate.commit,
                            at,
                        },
                    });
                }
            }
            at = at.saturating_add(ALIGN as u64);
        }
        chunk_at = chunk_at.saturating_add(CHUNK as u64);
    }
    Ok(())
}

/// Fills `chunk` from the area, line by line if it cannot be read at once. What is lost is not
/// of the log, so that it does not matter: zeros stand for it, which are no header.
fn copy_what_can_be<A: ReadArea>(source: &Source<'_, A>, offset: u64, chunk: &mut [u8]) {
    if source.area.copy_out(offset, chunk).is_ok() {
        return;
    }
    let mut at = offset;
    for line in chunk.chunks_mut(ALIGN) {
        if source.area.copy_out(at, line).is_err() {
            line.fill(0);
        }
        at = at.saturating_add(ALIGN as u64);
    }
}

/// Whether the payload of the header at `offset` is inside the area and has its
/// CRC, or the budget for finding out is spent.
fn is_whole<C: Crc32c, A: ReadArea, S>(
    source: &Source<'_, A>,
    candidate: &Candidate,
    offset: u64,
    budget: &mut u64,
    buf: &mut [u8],
) -> Result<bool, ReadError<A::Error, S>> {
    let mut at = offset.saturating_add(HEADER_LEN as u64);
    let payload_len = u64::from(candidate.payload_len);
    let behind = at.saturating_add(payload_len);
    if behind > source.geometry.area_len() {
        return Ok(false);
    }
    *budget = match budget.checked_sub(payload_len) {
        Some(left) => left,
        None => return Ok(true),
    };
    let mut crc = SEED;
    while at < behind {
        let left = usize::try_from(behind.saturating_sub(at)).unwrap_or(usize::MAX);
        let step = left.min(buf.len());
        let part = buf.get_mut(..step).unwrap_or_default();
        if part.is_empty() {
            return Err(ReadError::Scratch);
        }
        source.copy_out(at, part)?;
        crc = C::update(crc, part);
        at = at.saturating_add(step as u64);
    }
    Ok(crc == candidate.payload_crc)
}
