// SPDX-License-Identifier: GPL-2.0

//! DAX devices and mappings of scattered blocks of them.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

use super::{block::BlockDevice, pmem};
use crate::bindings;
use core::ptr::{self, NonNull};
use kernel::{ffi::c_void, page::PAGE_SIZE, prelude::*};

/// The DAX device behind a block device.
///
/// # Invariants
///
/// `dev` holds a reference that `fs_dax_get_by_bdev()` took. `start` is the
/// offset in bytes of the block device in it, a multiple of the page size.
pub(crate) struct DaxDevice {
    dev: NonNull<bindings::dax_device>,
    start: u64,
}

// SAFETY: DAX devices are reference counted and may be used from any context.
unsafe impl Send for DaxDevice {}
// SAFETY: As above; C synchronises what the methods touch.
unsafe impl Sync for DaxDevice {}

impl DaxDevice {
    /// Looks up the DAX device of a block device or partition. `None`: it has
    /// none, is dead, or the partition is not page aligned.
    pub(crate) fn of(bdev: BlockDevice) -> Option<Self> {
        let mut start = 0;
        // SAFETY: `bdev` is a valid open block device; no holder is registered,
        // so no operations are needed.
        let dev = unsafe {
            bindings::fs_dax_get_by_bdev(bdev.as_ptr(), &mut start, ptr::null_mut(), ptr::null())
        };
        // INVARIANT: A non-null result carries a reference; the function checks
        // the alignment of `start`.
        NonNull::new(dev).map(|dev| Self { dev, start })
    }

    /// Whether written-back and fenced stores are durable without a flush by
    /// the host or a controller.
    pub(crate) fn is_synchronous(&self) -> bool {
        // SAFETY: By the type invariants `dev` is valid.
        unsafe { bindings::dax_synchronous(self.dev.as_ptr()) }
    }

    /// Whether CPU caches in front of the device are volatile.
    fn has_write_cache(&self) -> bool {
        // SAFETY: By the type invariants `dev` is valid.
        unsafe { bindings::dax_write_cache_enabled(self.dev.as_ptr()) }
    }

    /// Keeps the device's mappings in place. Fails with `ENXIO` once the device
    /// has been removed.
    fn read_lock(&self) -> Result<ReadGuard> {
        // SAFETY: No requirements; the guard's drop releases it.
        let guard = ReadGuard(unsafe { bindings::dax_read_lock() });
        // SAFETY: By the type invariants `dev` is valid, and the lock is held.
        if unsafe { bindings::dax_alive(self.dev.as_ptr()) } {
            Ok(guard)
        } else {
            Err(ENXIO)
        }
    }

    /// Asks where `[offset, offset + len)` bytes of the block device are mapped.
    /// Returns the address and how many bytes from there on are accessible.
    fn access(&self, _guard: &ReadGuard, offset: u64, len: usize) -> Result<(NonNull<u8>, usize)> {
        let page = self.start.checked_add(offset).ok_or(EINVAL)? / PAGE_SIZE as u64;
        let pages = len.div_ceil(PAGE_SIZE);
        let mut addr: *mut c_void = ptr::null_mut();
        // SAFETY: By the type invariants `dev` is valid; the guard is the read
        // lock that the call needs; the pfn is not asked for.
        let got = unsafe {
            bindings::dax_direct_access(
                self.dev.as_ptr(),
                page.try_into()?,
                pages.try_into()?,
                bindings::dax_access_mode_DAX_ACCESS,
                &mut addr,
                ptr::null_mut(),
            )
        };
        let got = usize::try_from(kernel::error::to_result(got.min(0) as i32).map(|()| got)?)?;
        let addr = NonNull::new(addr.cast::<u8>()).ok_or(ENXIO)?;
        Ok((addr, got.saturating_mul(PAGE_SIZE).min(len)))
    }
}

impl Drop for DaxDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own a reference; no holder was given.
        unsafe { bindings::fs_put_dax(self.dev.as_ptr(), ptr::null_mut()) };
    }
}

/// The DAX read lock: while it exists no device goes away.
struct ReadGuard(kernel::ffi::c_int);

impl Drop for ReadGuard {
    fn drop(&mut self) {
        // SAFETY: The value came from `dax_read_lock()` and is released once.
        unsafe { bindings::dax_read_unlock(self.0) };
    }
}

/// One virtually contiguous piece of a [`Mapping`].
///
/// # Invariants
///
/// While its device is alive and the DAX read lock held, `addr` is mapped for
/// `len` bytes. `at` is where the piece begins in the mapping.
struct Segment {
    at: u64,
    len: usize,
    addr: NonNull<u8>,
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
    write_cache: bool,
    synchronous: bool,
}

// SAFETY: The addresses are those of device memory, mapped for everybody.
unsafe impl Send for Mapping {}
// SAFETY: The bytes are only copied, under the DAX read lock; who writes where
// is the business of the caller, as it is with any device memory.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the runs of bytes of the block device that `runs` yields, as
    /// (offset, length), both multiples of the page size, in their order.
    ///
    /// Fails with what `runs` or the device fails with; `EINVAL` for a run that
    /// is empty or not page aligned.
    pub(crate) fn new(
        dev: DaxDevice,
        runs: impl Iterator<Item = Result<(u64, usize)>>,
    ) -> Result<Self> {
        let mut segments = KVVec::new();
        let mut total = 0u64;
        let guard = dev.read_lock()?;
        for run in runs {
            let (mut offset, mut len) = run?;
            if len == 0 || len % PAGE_SIZE != 0 || offset % PAGE_SIZE as u64 != 0 {
                return Err(EINVAL);
            }
            while len > 0 {
                let (addr, got) = dev.access(&guard, offset, len)?;
                if got == 0 {
                    return Err(ENXIO);
                }
                // INVARIANT: `access()` says that `got` bytes are mapped; the
                // segment follows the one before it.
                segments.push(
                    Segment {
                        at: total,
                        len: got,
                        addr,
                    },
                    GFP_KERNEL,
                )?;
                total = total.checked_add(got as u64).ok_or(EOVERFLOW)?;
                offset = offset.checked_add(got as u64).ok_or(EOVERFLOW)?;
                len -= got;
            }
        }
        drop(guard);
        let write_cache = dev.has_write_cache();
        let synchronous = dev.is_synchronous();
        // INVARIANT: By the loop above.
        Ok(Self {
            dev,
            segments,
            len: total,
            write_cache,
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

    /// Keeps the mapping in place until the result is dropped. Fails with `ENXIO`
    /// once the device is gone.
    pub(crate) fn lock(&self) -> Result<Locked<'_>> {
        // INVARIANT: The guard is of this mapping's device.
        Ok(Locked {
            _guard: self.dev.read_lock()?,
            mapping: self,
        })
    }
}

/// A mapping whose bytes can be accessed.
///
/// # Invariants
///
/// The device of `mapping` was alive when `_guard` had been taken.
pub(crate) struct Locked<'a> {
    _guard: ReadGuard,
    mapping: &'a Mapping,
}

impl Locked<'_> {
    /// Where `[offset, offset + len)` is, if it lies in the mapping's first piece,
    /// as nearly every log does.
    #[inline]
    fn in_first_piece(&self, offset: u64, len: usize) -> Option<*mut u8> {
        let first = self.mapping.segments.first()?;
        let skip = usize::try_from(offset).ok()?;
        if skip.checked_add(len)? > first.len {
            return None;
        }
        // SAFETY: Not beyond the segment's end.
        Some(unsafe { first.addr.as_ptr().add(skip) })
    }

    /// Calls `f` with the address and the length of each piece of
    /// `[offset, offset + len)`, in order.
    ///
    /// Fails with `EFAULT` if the range is not within the mapping, or with what
    /// `f` fails with.
    fn for_each_piece(
        &self,
        offset: u64,
        len: usize,
        mut f: impl FnMut(*mut u8, usize) -> Result,
    ) -> Result {
        let end = offset.checked_add(len as u64).ok_or(EFAULT)?;
        let Mapping {
            segments,
            len: mapped,
            ..
        } = self.mapping;
        if end > *mapped {
            return Err(EFAULT);
        }
        let mut offset = offset;
        let first = segments.partition_point(|s| s.at + s.len as u64 <= offset);
        for segment in segments.iter().skip(first) {
            if offset >= end {
                break;
            }
            // Within the segment: it is the first that ends beyond `offset`, and
            // begins where the one before it ends.
            let skip = (offset - segment.at) as usize;
            let piece = (segment.len - skip).min((end - offset) as usize);
            // SAFETY: `skip` is less than the segment's length.
            f(unsafe { segment.addr.as_ptr().add(skip) }, piece)?;
            offset += piece as u64;
        }
        Ok(())
    }

    /// Stores `bytes` at `offset`. They are not durable by that.
    #[inline]
    pub(crate) fn copy_in(&self, offset: u64, bytes: &[u8]) -> Result {
        if let Some(addr) = self.in_first_piece(offset, bytes.len()) {
            // SAFETY: The piece is mapped for that length under the read lock, and
            // our DRAM does not overlap the device.
            unsafe { pmem::copy(addr, bytes) };
            return Ok(());
        }
        self.copy_in_pieces(offset, bytes)
    }

    #[cold]
    fn copy_in_pieces(&self, offset: u64, bytes: &[u8]) -> Result {
        let mut rest = bytes;
        self.for_each_piece(offset, bytes.len(), |addr, len| {
            let (now, later) = rest.split_at_checked(len).ok_or(EFAULT)?;
            rest = later;
            // SAFETY: The piece is mapped for `len` bytes under the read lock,
            // `now` has that length, and our DRAM does not overlap the device.
            unsafe { pmem::copy(addr, now) };
            Ok(())
        })
    }

    /// Copies bytes from `offset` to `out`. Fails with `EIO` if the media does
    /// (a poisoned line), without a machine check.
    pub(crate) fn copy_out(&self, offset: u64, out: &mut [u8]) -> Result {
        let mut rest = &mut *out;
        let len = rest.len();
        self.for_each_piece(offset, len, |addr, len| {
            let (now, later) = core::mem::take(&mut rest)
                .split_at_mut_checked(len)
                .ok_or(EFAULT)?;
            rest = later;
            let count = u32::try_from(len)?;
            // SAFETY: The piece is mapped for `len` bytes under the read lock,
            // and `now` is valid for writes of that length.
            let left = unsafe {
                bindings::copy_mc_to_kernel(now.as_mut_ptr().cast(), addr.cast::<c_void>(), count)
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
    #[inline]
    pub(crate) fn write_back(&self, offset: u64, len: usize) -> Result {
        if !self.mapping.write_cache {
            return Ok(());
        }
        if let Some(addr) = self.in_first_piece(offset, len) {
            // SAFETY: The piece is mapped for that length under the read lock.
            unsafe { pmem::write_back(addr, len) };
            return Ok(());
        }
        self.write_back_pieces(offset, len)
    }

    #[cold]
    fn write_back_pieces(&self, offset: u64, len: usize) -> Result {
        self.for_each_piece(offset, len, |addr, len| {
            // SAFETY: The piece is mapped for `len` bytes under the read lock.
            unsafe { pmem::write_back(addr, len) };
            Ok(())
        })
    }
}
