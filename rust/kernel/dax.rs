// SPDX-License-Identifier: GPL-2.0

//! DAX devices.
//!
//! C header: [`include/linux/dax.h`](srctree/include/linux/dax.h)

use super::block::BlockDevice;
use crate::bindings;
use core::ptr::{self, NonNull};
use kernel::{error::to_result, ffi::c_void, page::PAGE_SIZE, prelude::*};

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

impl AccessError {
    /// The error code.
    pub(crate) fn errno(self) -> Error {
        match self {
            Self::Beyond { .. } => ENXIO,
            Self::Failed(error) => error,
        }
    }
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
    pub(super) fn read_lock(&self) -> ReadGuard {
        // SAFETY: No requirements; the guard's drop releases it.
        ReadGuard(unsafe { bindings::dax_read_lock() })
    }

    /// Asks where the pages are mapped that `[offset, offset + len)` bytes of the
    /// block device touch. Returns the address of `offset`'s page, and how many
    /// bytes from there on are accessible without a gap, for as long as the guard
    /// exists. Fails with `ENXIO` once the device has been removed.
    pub(super) fn access(
        &self,
        _guard: &ReadGuard,
        offset: u64,
        len: usize,
    ) -> Result<(NonNull<u8>, usize), AccessError> {
        // Drivers do not look at it: pmem adds any offset to its address.
        let end = offset.saturating_add(len as u64);
        if end > self.len {
            return Err(AccessError::Beyond {
                end,
                device: self.len,
            });
        }
        Ok(self.direct_access(offset / PAGE, end.div_ceil(PAGE))?)
    }

    /// Asks for pages of the block device, as [`Self::access`], which has compared
    /// them with its length and has the lock.
    fn direct_access(&self, first: u64, end: u64) -> Result<(NonNull<u8>, usize)> {
        let at = (self.start / PAGE).checked_add(first).ok_or(EINVAL)?;
        let pages = end.checked_sub(first).ok_or(EINVAL)?;
        let mut addr: *mut c_void = ptr::null_mut();
        // SAFETY: By the type invariants `dev` is valid; the only caller has the
        // guard of the read lock that the call needs; the pfn is not asked for.
        let got = unsafe {
            bindings::dax_direct_access(
                self.dev.as_ptr(),
                at.try_into()?,
                pages.try_into()?,
                bindings::dax_access_mode_DAX_ACCESS,
                &mut addr,
                ptr::null_mut(),
            )
        };
        let got = usize::try_from(to_result(got.min(0) as i32).map(|()| got)?)?;
        let addr = NonNull::new(addr.cast::<u8>()).ok_or(ENXIO)?;
        Ok((addr, got.saturating_mul(PAGE_SIZE)))
    }
}

impl Drop for DaxDevice {
    fn drop(&mut self) {
        // SAFETY: By the type invariants we own a reference; no holder was given.
        unsafe { bindings::fs_put_dax(self.dev.as_ptr(), ptr::null_mut()) };
    }
}

/// The DAX read lock: while it exists no device goes away.
pub(super) struct ReadGuard(kernel::ffi::c_int);

impl Drop for ReadGuard {
    fn drop(&mut self) {
        // SAFETY: The value came from `dax_read_lock()` and is released once.
        unsafe { bindings::dax_read_unlock(self.0) };
    }
}
