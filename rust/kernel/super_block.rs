// SPDX-License-Identifier: GPL-2.0

//! The VFS superblock, as a fast-commit backend sees it.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use crate::bindings;
use kernel::{prelude::*, types::Opaque};

/// The superblock of a mount.
///
/// # Invariants
///
/// A `struct super_block` whose name, device and block size have been set; they do not
/// change while a reference to this exists.
#[repr(transparent)]
pub(crate) struct SuperBlock(Opaque<bindings::super_block>);

impl SuperBlock {
    /// Borrows a superblock.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a `struct super_block` that is valid for `'a`, and whose
    /// `s_id`, `s_dev` and `s_blocksize` are not written to for as long.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::super_block) -> &'a Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: `Self` has the layout of its field, and of what that wraps; the pointee
        // is valid for `'a` by the safety requirements.
        unsafe { &*ptr.cast() }
    }

    /// The name that ext4's own messages carry, such as `pmem0`.
    pub(crate) fn id(&self) -> &CStr {
        // SAFETY: By the type invariants `s_id` does not change while it is borrowed; the
        // kernel always terminates it.
        unsafe { CStr::from_char_ptr((&raw const (*self.0.get()).s_id).cast()) }
    }

    /// The number of the filesystem's device, as the kernel keeps it.
    pub(crate) fn dev(&self) -> u32 {
        // SAFETY: By the type invariants it does not change.
        unsafe { (*self.0.get()).s_dev }
    }

    /// Size of a filesystem block in bytes.
    pub(crate) fn block_size(&self) -> usize {
        // SAFETY: By the type invariants it does not change.
        unsafe { (*self.0.get()).s_blocksize }
    }

    /// The filesystem's UUID.
    ///
    /// # Safety
    ///
    /// The filesystem must not be given another one at the same time.
    pub(super) unsafe fn uuid(&self) -> [u8; 16] {
        // SAFETY: The superblock is valid, and by the safety requirements nothing writes
        // to this.
        unsafe { (*self.0.get()).s_uuid.b }
    }
}
