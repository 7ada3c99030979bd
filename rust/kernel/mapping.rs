// SPDX-License-Identifier: GPL-2.0

//! Mappings of scattered blocks of a DAX device.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

use super::{
    dax::{AccessError, DaxDevice, Extent, ReadGuard},
    errno, pmem,
};
use crate::bindings;
use core::ops::Range;
use kernel::{ffi::c_void, page::PAGE_SIZE, prelude::*};

/// A piece of a [`Mapping`], and where in that it begins.
struct Segment {
    at: u64,
    len: usize,
    /// Virtually contiguous. `None`: a page that the device knows to be lost.
    extent: Option<Extent>,
}

/// What becomes of pages that the device knows to be lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// They cannot be mapped.
    Refused,
    /// They are a part of the mapping that cannot be accessed.
    Kept,
}

/// Blocks of a DAX device, mapped in a given order as one range of bytes.
///
/// The bytes are memory that others may change at any time. They are copied in
/// and out and never borrowed.
///
/// # Invariants
///
/// The segments are sorted, follow one another without a gap from offset 0, and
/// add up to `len`.
pub(crate) struct Mapping {
    dev: DaxDevice,
    segments: KVVec<Segment>,
    len: u64,
    synchronous: bool,
}

impl Mapping {
    /// Maps the runs of bytes of the block device that `runs` yields, as
    /// (offset, length), both multiples of the page size, in their order.
    ///
    /// Fails with what `runs` or the device fails with, `EINVAL` for a run that
    /// is empty or not page aligned; and if one is not within the device.
    pub(crate) fn new(
        dev: DaxDevice,
        runs: impl Iterator<Item = Result<(u64, usize)>>,
        lost: Lost,
    ) -> Result<Self, AccessError> {
        let mut wanted = KVec::new();
        // Finding a run can read the device, which is not to be done with the DAX lock.
        for run in runs {
            wanted.push(run?, GFP_KERNEL).map_err(Error::from)?;
        }
        let mut segments = KVVec::new();
        let mut total = 0u64;
        let guard = dev.read_lock();
        for (mut offset, mut len) in wanted {
            if len == 0 || len % PAGE_SIZE != 0 || offset % PAGE_SIZE as u64 != 0 {
                return Err(EINVAL.into());
            }
            while len > 0 {
                let extent = match dev.access(&guard, offset, len) {
                    Err(AccessError::Failed(error))
                        if lost == Lost::Kept && error == errno::poisoned() =>
                    {
                        dev.access_page(&guard, offset)?
                    }
                    extent => Some(extent?),
                };
                let got = extent.as_ref().map_or(PAGE_SIZE, Extent::len);
                if got == 0 {
                    return Err(ENXIO.into());
                }
                // INVARIANT: The segment follows the one before it.
                segments
                    .push(
                        Segment {
                            at: total,
                            len: got,
                            extent,
                        },
                        GFP_KERNEL,
                    )
                    .map_err(Error::from)?;
                total = total.checked_add(got as u64).ok_or(EOVERFLOW)?;
                offset = offset.checked_add(got as u64).ok_or(EOVERFLOW)?;
                len -= got;
            }
        }
        drop(guard);
        let synchronous = dev.is_synchronous();
        // INVARIANT: By the loop above.
        Ok(Self {
            dev,
            segments,
            len: total,
            synchronous,
        })
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Number of virtually contiguous pieces.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// See [`DaxDevice::is_synchronous`].
    pub(crate) fn is_synchronous(&self) -> bool {
        self.synchronous
    }

    /// Keeps what is mapped in place until the result is dropped.
    pub(crate) fn lock(&self) -> Locked<'_> {
        // INVARIANT: The guard is of this mapping's device; nothing is confirmed.
        Locked {
            guard: self.dev.read_lock(),
            mapping: self,
            first: self
                .segments
                .first()
                .and_then(|segment| segment.extent.as_ref()),
            confirmed: 0..0,
        }
    }

    /// Calls `f` with the extent, the first byte in it and the number of bytes of each
    /// piece of `[offset, offset + len)`, in order.
    ///
    /// Fails with `EFAULT` if the range is not within the mapping, with `EIO` if a part of
    /// it is lost, or with what `f` fails with.
    fn for_each_piece(
        &self,
        offset: u64,
        len: usize,
        mut f: impl FnMut(&Extent, usize, usize) -> Result,
    ) -> Result {
        let end = offset.checked_add(len as u64).ok_or(EFAULT)?;
        if end > self.len {
            return Err(EFAULT);
        }
        let mut offset = offset;
        let first = self
            .segments
            .partition_point(|s| s.at + s.len as u64 <= offset);
        for segment in self.segments.iter().skip(first) {
            if offset >= end {
                break;
            }
            // Within the segment: it is the first that ends beyond `offset`, and
            // begins where the one before it ends.
            let skip = (offset - segment.at) as usize;
            let piece = (segment.len - skip).min((end - offset) as usize);
            f(segment.extent.as_ref().ok_or(EIO)?, skip, piece)?;
            offset += piece as u64;
        }
        Ok(())
    }
}

/// A mapping whose bytes can be accessed.
///
/// A device can come to be another while nobody holds the lock: the table of a
/// device mapper is loaded anew, and what was below it is taken away. So every byte
/// is asked for again before it is touched.
///
/// # Invariants
///
/// `guard` is the DAX read lock. `confirmed` is within `mapping`, and mapped at its
/// segments' addresses for as long as `guard` exists: the device has said so since
/// it was taken.
pub(crate) struct Locked<'a> {
    guard: ReadGuard<'a>,
    mapping: &'a Mapping,
    /// The mapping's first piece, in which nearly every log lies.
    first: Option<&'a Extent>,
    confirmed: Range<u64>,
}

impl Locked<'_> {
    /// Sees to it that `[offset, offset + len)` is mapped where it has been. Returns
    /// where that is, if it lies in one piece, the mapping's first.
    ///
    /// Fails with `EFAULT` if the range is not within the mapping, with `ENXIO` if it
    /// is elsewhere now, or with what the device fails with, such as `EHWPOISON`.
    #[inline(always)]
    fn confirm(&mut self, offset: u64, len: usize) -> Result<Option<*mut u8>> {
        let end = offset.checked_add(len as u64).ok_or(EFAULT)?;
        if offset < self.confirmed.start || end > self.confirmed.end {
            self.ask(offset, end)?;
        }
        Ok(self.first(end).map(|first| first.at(offset as usize)))
    }

    /// The first extent, if `[0, end)` lies in it.
    #[inline(always)]
    fn first(&self, end: u64) -> Option<&'_ Extent> {
        self.first.filter(|first| end <= first.len() as u64)
    }

    /// As [`Self::confirm`], of what has been confirmed most often.
    #[inline(always)]
    fn confirm_again(&mut self, offset: u64, len: usize) -> Result<Option<*mut u8>> {
        let end = offset.checked_add(len as u64).ok_or(EFAULT)?;
        if offset < self.confirmed.start || end > self.confirmed.end {
            self.ask_again(offset, end)?;
        }
        Ok(self.first(end).map(|first| first.at(offset as usize)))
    }

    #[cold]
    #[inline(never)]
    fn ask_again(&mut self, offset: u64, end: u64) -> Result {
        self.ask(offset, end)
    }

    /// Asks the device for `[offset, end)`.
    #[inline(always)]
    fn ask(&mut self, offset: u64, end: u64) -> Result {
        match self.first(end) {
            Some(first) => {
                let dev = &self.mapping.dev;
                dev.confirm(&self.guard, first, offset as usize, end as usize)?;
            }
            None => self.ask_pieces(offset, end)?,
        }
        // INVARIANT: The device has just said so, and before of what is joined.
        self.confirmed = match self.confirmed {
            Range { start, end: before } if before == offset => start..end,
            _ => offset..end,
        };
        Ok(())
    }

    #[cold]
    fn ask_pieces(&self, offset: u64, end: u64) -> Result {
        let len = usize::try_from(end.saturating_sub(offset))?;
        self.mapping
            .for_each_piece(offset, len, |extent, skip, len| {
                let dev = &self.mapping.dev;
                dev.confirm(&self.guard, extent, skip, skip + len)
            })
    }

    /// Stores `bytes` at `offset`. They are not durable by that.
    #[inline(always)]
    pub(crate) fn copy_in(&mut self, offset: u64, bytes: &[u8]) -> Result {
        if let Some(addr) = self.confirm(offset, bytes.len())? {
            // SAFETY: By the type invariants that many bytes are mapped there: they have just
            // been confirmed, and the guard is held. DRAM of ours does not overlap a device.
            unsafe { pmem::copy(addr, bytes) };
            return Ok(());
        }
        self.copy_in_pieces(offset, bytes)
    }

    /// As [`Self::copy_in`], of what has been confirmed.
    #[cold]
    fn copy_in_pieces(&self, offset: u64, bytes: &[u8]) -> Result {
        let mut rest = bytes;
        self.mapping
            .for_each_piece(offset, bytes.len(), |extent, skip, len| {
                let (now, later) = rest.split_at_checked(len).ok_or(EFAULT)?;
                rest = later;
                let addr = extent.at(skip);
                // SAFETY: As in `copy_in()`; `now` has `len` bytes.
                unsafe { pmem::copy(addr, now) };
                Ok(())
            })
    }

    /// Copies bytes from `offset` to `out`. Fails with `EIO` if the media does
    /// (a poisoned line), without a machine check.
    pub(crate) fn copy_out(&mut self, offset: u64, out: &mut [u8]) -> Result {
        self.confirm_again(offset, out.len())?;
        let mut rest = &mut *out;
        let len = rest.len();
        self.mapping
            .for_each_piece(offset, len, |extent, skip, len| {
                let (now, later) = core::mem::take(&mut rest)
                    .split_at_mut_checked(len)
                    .ok_or(EFAULT)?;
                rest = later;
                let count = u32::try_from(len)?;
                let addr = extent.at(skip);
                // SAFETY: By the type invariants `len` bytes are mapped there, as they have
                // been confirmed and the guard is held; `now` is valid for writes of that
                // length. A byte that cannot be read is reported.
                let left = unsafe {
                    bindings::copy_mc_to_kernel(
                        now.as_mut_ptr().cast(),
                        addr.cast::<c_void>(),
                        count,
                    )
                };
                if left == 0 {
                    Ok(())
                } else {
                    Err(EIO)
                }
            })
    }

    /// Starts the write-back of the cache lines that `[offset, offset + len)`
    /// touches, if caches in front of the device are volatile at all. A fence
    /// completes it.
    #[inline(always)]
    pub(crate) fn write_back(&mut self, offset: u64, len: usize) -> Result {
        // Without a write cache, too: what was stored before the lock was taken can be elsewhere.
        let first = self.confirm_again(offset, len)?;
        if !self.mapping.dev.has_write_cache() {
            return Ok(());
        }
        if let Some(addr) = first {
            // SAFETY: By the type invariants that many bytes are mapped there: they have just
            // been confirmed, and the guard is held.
            unsafe { pmem::write_back(addr, len) };
            return Ok(());
        }
        self.write_back_pieces(offset, len)
    }

    /// As [`Self::write_back`], of what has been confirmed.
    #[cold]
    fn write_back_pieces(&self, offset: u64, len: usize) -> Result {
        self.mapping
            .for_each_piece(offset, len, |extent, skip, len| {
                let addr = extent.at(skip);
                // SAFETY: As in `write_back()`.
                unsafe { pmem::write_back(addr, len) };
                Ok(())
            })
    }
}
