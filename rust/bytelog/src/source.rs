// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The area being read, with what is expected of it: bounded, checked copies out
//! of it, for the readers of both versions.

use super::crc::Crc32c;
use super::error::{Fault, ReadError};
use super::features::Features;
use super::geometry::Geometry;
use super::log::{Found, Log, ReadArea};
use super::opener::Opener;
use super::record::{Record, ALIGN, HEADER_LEN};

/// A result whose error ends reading, with one inside whose error ends the log.
pub(super) type Outcome<T, A, S> = Result<Result<T, Fault>, ReadError<A, S>>;

/// An area with what is expected of it, shared by the readers of both versions.
pub(super) struct Source<'a, A> {
    pub(super) area: &'a A,
    pub(super) geometry: Geometry,
    pub(super) tid: u32,
}

impl<A: ReadArea> Source<'_, A> {
    /// Fills `buf` from the area.
    pub(super) fn copy_out<S>(
        &self,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), ReadError<A::Error, S>> {
        self.area
            .copy_out(offset, buf)
            .map_err(|error| ReadError::Area { offset, error })
    }

    /// A copy of the record header at `offset`, if one fits in front of `end`.
    pub(super) fn header<S>(
        &self,
        offset: u64,
        end: u64,
    ) -> Result<Option<[u8; HEADER_LEN]>, ReadError<A::Error, S>> {
        match offset.checked_add(HEADER_LEN as u64) {
            Some(behind) if behind <= end => {
                let mut header = [0; HEADER_LEN];
                self.copy_out(offset, &mut header)?;
                Ok(Some(header))
            }
            _ => Ok(None),
        }
    }

    /// Copies the body of `record`, which starts at `offset`, to `scratch` and
    /// checks it there. The inner result has the payload and where the record
    /// ends.
    pub(super) fn body<'s, C: Crc32c, S>(
        &self,
        record: &Record,
        offset: u64,
        end: u64,
        scratch: &'s mut [u8],
    ) -> Outcome<(&'s [u8], u64), A::Error, S> {
        let body_len = record.record_len().saturating_sub(HEADER_LEN);
        let body_at = offset.saturating_add(HEADER_LEN as u64);
        let behind = match body_at.checked_add(body_len as u64) {
            Some(behind) if behind <= end => behind,
            _ => return Ok(Err(Fault::Bounds)),
        };
        let body = scratch.get_mut(..body_len).ok_or(ReadError::Scratch)?;
        self.copy_out(body_at, body)?;
        let max_tlv = self.geometry.block_size().max_tlv();
        Ok(record
            .check_body::<C>(body, max_tlv)
            .map(|payload| (payload, behind)))
    }

    /// Whether `opener`'s window lies in the log, aligned.
    pub(super) fn window_is_valid(&self, opener: &Opener) -> bool {
        const ALIGN_MASK: u64 = ALIGN as u64 - 1;
        opener.tail & ALIGN_MASK == 0
            && opener.head & ALIGN_MASK == 0
            && self.geometry.log_start() <= opener.tail
            && opener.tail <= opener.head
            && opener.head <= self.geometry.area_len()
    }

    /// A log with nothing in it to replay.
    pub(super) fn nothing(&self, found: Found, head: u64) -> Log {
        Log {
            found,
            tid: self.tid,
            features: Features::NONE,
            commits: 0,
            records: 0,
            bytes: 0,
            head,
            stop: None,
        }
    }
}
