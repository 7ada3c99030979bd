// SPDX-License-Identifier: GPL-2.0

//! The VFS superblock, as a fast-commit backend sees it.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// The superblock of a mount.
///
/// # Invariants
///
/// The pointee is a valid `struct super_block` from the backend's attach to its
/// detach, which bound the life of this value.
#[derive(Clone, Copy)]
pub(crate) struct SuperBlock(NonNull<bindings::super_block>);

// SAFETY: What is read here is set before the backend is attached and does not change
// after, but for the UUID, of which `uuid()` tells.
unsafe impl Send for SuperBlock {}
// SAFETY: As above.
unsafe impl Sync for SuperBlock {}

impl SuperBlock {
    /// Wraps a superblock.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for as long as the returned value or a copy of it is
    /// used.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::super_block>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self(ptr)
    }

    pub(super) fn as_ptr(self) -> *mut bindings::super_block {
        self.0.as_ptr()
    }

    /// The name that ext4's own messages carry, such as `pmem0`.
    pub(crate) fn id(&self) -> &CStr {
        // SAFETY: Valid by the type invariants; `s_id` is always terminated and
        // lives as long as the superblock.
        unsafe { CStr::from_char_ptr((*self.0.as_ptr()).s_id.as_ptr()) }
    }

    /// The number of the filesystem's device, as the kernel keeps it.
    pub(crate) fn dev(&self) -> u32 {
        // SAFETY: Valid by the type invariants; set once, before.
        unsafe { (*self.0.as_ptr()).s_dev }
    }

    /// The filesystem's UUID. Only for the backend's start and for replay.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        // SAFETY: Valid by the type invariants. ext4 writes it when it reads its
        // superblock and once more right before it starts the backend, in the thread
        // that mounts or remounts, which is the one that is here.
        unsafe { (*self.0.as_ptr()).s_uuid.b }
    }

    /// Size of a filesystem block in bytes.
    pub(crate) fn block_size(&self) -> usize {
        // SAFETY: Valid by the type invariants; set once, before.
        unsafe { (*self.0.as_ptr()).s_blocksize }
    }
}
