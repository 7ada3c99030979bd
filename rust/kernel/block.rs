// SPDX-License-Identifier: GPL-2.0

//! Block devices, as far as a journal needs them.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::{error::to_result, prelude::*};

/// Bytes of a sector, the unit of `struct block_device`.
const SECTOR_SIZE: u64 = 512;

/// A block device that somebody else holds open.
///
/// # Invariants
///
/// The pointee is a valid `struct block_device`, kept open by the mount for as
/// long as this value is used.
#[derive(Clone, Copy)]
pub(crate) struct BlockDevice(NonNull<bindings::block_device>);

// SAFETY: A `struct block_device` may be used from any context; the type
// invariants keep it alive.
unsafe impl Send for BlockDevice {}
// SAFETY: As above; the methods take shared references and C does the locking.
unsafe impl Sync for BlockDevice {}

impl BlockDevice {
    /// Wraps a block device.
    ///
    /// # Safety
    ///
    /// `ptr` must be a valid open block device and stay so for as long as the
    /// returned value or a copy of it is used.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::block_device>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self(ptr)
    }

    /// The raw pointer, valid as long as `self` may be used.
    pub(crate) fn as_ptr(self) -> *mut bindings::block_device {
        self.0.as_ptr()
    }

    /// Size in bytes, as of now.
    pub(crate) fn len(self) -> u64 {
        // SAFETY: By the type invariants the device is valid; an aligned word, which
        // others may change.
        let sectors = unsafe { (&raw const (*self.0.as_ptr()).bd_nr_sectors).read_volatile() };
        sectors.saturating_mul(SECTOR_SIZE)
    }

    /// Makes everything that the device has completed durable. Sleeps.
    ///
    /// Fails with the device's error, `EIO` as a rule.
    pub(crate) fn flush(self) -> Result {
        // SAFETY: By the type invariants the device is valid and open.
        to_result(unsafe { bindings::blkdev_issue_flush(self.0.as_ptr()) })
    }
}
