// SPDX-License-Identifier: GPL-2.0

//! DAX devices.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

use super::{block::BlockDevice, errno};
use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{error::to_result, ffi::c_void, page::PAGE_SIZE, prelude::*, types::NotThreadSafe};

/// Bytes of a page.
const PAGE: u64 = PAGE_SIZE as u64;

/// The DAX device behind a block device.
///
/// # Invariants
///
/// `dev` holds a reference that `fs_dax_get_by_bdev()` took. `start` is the
/// offset in bytes of the block device in it, `len` how many bytes it has; both
/// are multiples of the page size.
pub(crate) struct DaxDevice {
    dev: NonNull<bindings::dax_device>,
    start: u64,
    len: u64,
}

/// Why bytes of a device cannot be accessed.
#[derive(Clone, Copy)]
pub(crate) enum AccessError {
    /// They are not within the block device.
    Beyond {
        /// Offset behind them.
        end: u64,
        /// Bytes that the device has.
        device: u64,
    },
    /// The device, or the kernel, fails.
    Failed(Error),
}

impl From<Error> for AccessError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

// SAFETY: A reference to a DAX device may be released by another thread than the one that
// took it.
unsafe impl Send for DaxDevice {}
// SAFETY: The functions that the methods call read flags of the device in one access each, and
// ask its driver, which any number of threads may do at a time.
unsafe impl Sync for DaxDevice {}

impl DaxDevice {
    /// Looks up the DAX device of a block device or partition. `None`: it has
    /// none, is dead, or the partition is not page aligned.
    pub(crate) fn of(bdev: &BlockDevice) -> Option<Self> {
        let mut start = 0;
        // SAFETY: A `BlockDevice` is valid and open; without a holder no operations are
        // needed.
        let dev = unsafe {
            bindings::fs_dax_get_by_bdev(bdev.as_ptr(), &mut start, ptr::null_mut(), ptr::null())
        };
        // INVARIANT: A non-null result carries a reference; the function checks
        // the alignment of `start`.
        NonNull::new(dev).map(|dev| Self {
            dev,
            start,
            len: bdev.len() / PAGE * PAGE,
        })
    }

    /// Whether written-back and fenced stores are durable without a flush by
    /// the host or a controller.
    pub(crate) fn is_synchronous(&self) -> bool {
        // SAFETY: By the type invariants `dev` is valid.
        unsafe { bindings::dax_synchronous(self.dev.as_ptr()) }
    }

    /// Whether CPU caches in front of the device are volatile.
    pub(super) fn has_write_cache(&self) -> bool {
        // SAFETY: By the type invariants `dev` is valid.
        unsafe { bindings::dax_write_cache_enabled(self.dev.as_ptr()) }
    }

    /// Keeps what is mapped of the device in place: whoever takes a device away makes
    /// it dead first, so that [`Self::access`] fails, and then waits for everybody who
    /// holds the lock.
    pub(super) fn read_lock(&self) -> ReadGuard<'_> {
        ReadGuard {
            // SAFETY: It may be taken anywhere that may sleep; the guard releases it.
            index: unsafe { bindings::dax_read_lock() },
            device: PhantomData,
            _not_send: NotThreadSafe,
        }
    }

    /// Asks where `[offset, offset + len)` bytes of the block device are mapped; both are
    /// multiples of the page size. Returns a part of them, from `offset` on, that is
    /// mapped without a gap. Fails with `ENXIO` once the device has been removed.
    pub(super) fn access(
        &self,
        guard: &ReadGuard<'_>,
        offset: u64,
        len: usize,
    ) -> Result<Extent, AccessError> {
        // Drivers do not look at it: pmem adds any offset to its address.
        let end = offset.saturating_add(len as u64);
        if end > self.len {
            return Err(AccessError::Beyond {
                end,
                device: self.len,
            });
        }
        let offset = self.start.checked_add(offset).ok_or(EINVAL)?;
        let page = usize::try_from(offset / PAGE).map_err(Error::from)?;
        let (got, addr) = self.direct_access(guard, page, len / PAGE_SIZE);
        to_result(got.min(0) as i32)?;
        let pages = usize::try_from(got).map_err(Error::from)?;
        // INVARIANT: As the device says; it returns no more than it is asked for.
        Ok(Extent {
            page,
            addr: NonNull::new(addr).ok_or(ENXIO)?,
            len: pages.saturating_mul(PAGE_SIZE).min(len),
        })
    }

    /// As [`Self::access`] of one page. `None`: the device knows that it is lost.
    pub(super) fn access_page(
        &self,
        guard: &ReadGuard<'_>,
        offset: u64,
    ) -> Result<Option<Extent>, AccessError> {
        match self.access(guard, offset, PAGE_SIZE) {
            Err(AccessError::Failed(error)) if error == errno::poisoned() => Ok(None),
            extent => extent.map(Some),
        }
    }

    /// Asks whether those pages of `extent`, one of this device, are mapped where they
    /// have been that the bytes from `skip` to `end` of it touch. If so they are for as
    /// long as the guard exists: whoever takes a device away makes it dead first, and
    /// then waits for everybody who holds the lock.
    ///
    /// Fails with `ENXIO` if they are elsewhere now, or the device is gone; or with what
    /// it fails with, such as `EHWPOISON`.
    #[inline]
    pub(super) fn confirm(
        &self,
        guard: &ReadGuard<'_>,
        extent: &Extent,
        skip: usize,
        end: usize,
    ) -> Result {
        let first = skip / PAGE_SIZE;
        let pages = end.div_ceil(PAGE_SIZE).saturating_sub(first);
        let page = extent.page.wrapping_add(first);
        let was = extent.addr.as_ptr().wrapping_add(first * PAGE_SIZE);
        let (got, addr) = self.direct_access(guard, page, pages);
        if got == pages as isize && addr == was {
            return Ok(());
        }
        to_result(got.min(0) as i32)?;
        Err(ENXIO)
    }

    /// `dax_direct_access()`: how many pages from `page` on are accessible, or an error,
    /// and where they are.
    #[inline]
    fn direct_access(&self, _guard: &ReadGuard<'_>, page: usize, pages: usize) -> (isize, *mut u8) {
        let mut addr: *mut c_void = ptr::null_mut();
        // SAFETY: By the type invariants `dev` is valid. The call needs the read lock, which
        // is held as long as the guard exists. `addr` is valid for a write, and the pfn is
        // not asked for.
        let got = unsafe {
            bindings::dax_direct_access(
                self.dev.as_ptr(),
                page,
                pages as isize,
                bindings::dax_access_mode_DAX_ACCESS,
                &mut addr,
                ptr::null_mut(),
            )
        };
        (got, addr.cast())
    }
}

/// Pages of a DAX device that have been mapped without a gap.
///
/// # Invariants
///
/// The device has said so: `len` bytes from its page number `page` on were at `addr`.
/// Whether they still are [`DaxDevice::confirm`] asks.
pub(super) struct Extent {
    page: usize,
    addr: NonNull<u8>,
    len: usize,
}

// SAFETY: The address is that of device memory, which is mapped for all threads.
unsafe impl Send for Extent {}
// SAFETY: A shared reference gives the address and no access. Whoever accesses what is there
// does so in assembly or C, as one does with memory that others change at any time; no Rust
// reference to it exists.
unsafe impl Sync for Extent {}

impl Extent {
    /// Bytes, a multiple of the page size.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The address that byte `skip` had.
    #[inline]
    pub(super) fn at(&self, skip: usize) -> *mut u8 {
        self.addr.as_ptr().wrapping_add(skip)
    }
}

impl Drop for DaxDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own a reference; no holder was given.
        unsafe { bindings::fs_put_dax(self.dev.as_ptr(), ptr::null_mut()) };
    }
}

/// The DAX read lock: while it exists no device goes away. It is released in the thread that
/// took it, as SRCU demands.
pub(super) struct ReadGuard<'a> {
    index: kernel::ffi::c_int,
    device: PhantomData<&'a DaxDevice>,
    _not_send: NotThreadSafe,
}

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: `dax_read_lock()` returned the value in this thread, and this is the only
        // place where it is given back.
        unsafe { bindings::dax_read_unlock(self.index) };
    }
}
