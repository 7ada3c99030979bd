// SPDX-License-Identifier: GPL-2.0

//! Block devices, as far as a journal needs them.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use kernel::{block::SECTOR_SIZE, error::to_result, prelude::*, types::Opaque};

/// A block device that a mount holds open.
///
/// # Invariants
///
/// A `struct block_device` that stays open while a reference to this exists.
#[repr(transparent)]
pub(crate) struct BlockDevice(Opaque<bindings::block_device>);

impl BlockDevice {
    /// Borrows a block device.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a `struct block_device` that is valid and open for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::block_device) -> &'a Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: `Self` has the layout of its field, and of what that wraps; the pointee
        // is valid for `'a` by the safety requirements.
        unsafe { &*ptr.cast() }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::block_device {
        self.0.get()
    }

    /// Size in bytes, as of now.
    pub(crate) fn len(&self) -> u64 {
        // SAFETY: By the type invariants the device is valid. The field is an aligned word,
        // which the kernel changes in one store.
        let sectors = unsafe { (&raw const (*self.0.get()).bd_nr_sectors).read_volatile() };
        sectors.saturating_mul(SECTOR_SIZE.into())
    }

    /// Makes everything that the device has completed durable. Sleeps.
    ///
    /// Fails with the device's error, `EIO` as a rule.
    pub(crate) fn flush(&self) -> Result {
        // SAFETY: By the type invariants the device is valid and open.
        to_result(unsafe { bindings::blkdev_issue_flush(self.0.get()) })
    }
}
