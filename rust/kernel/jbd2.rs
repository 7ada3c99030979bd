// SPDX-License-Identifier: GPL-2.0

//! A jbd2 journal, as a fast-commit backend sees it.
//!
//! C header: [`include/linux/jbd2.h`](srctree/include/linux/jbd2.h)

use super::block::BlockDevice;
use crate::bindings;
use core::{num::NonZeroUsize, ops::Range};
use kernel::{error::to_result, prelude::*, types::Opaque};

/// jbd2's `j_fc_replay_callback`.
pub(crate) type ReplayCallback = unsafe extern "C" fn(
    *mut bindings::journal_t,
    *mut bindings::buffer_head,
    bindings::passtype,
    kernel::ffi::c_int,
    bindings::tid_t,
) -> kernel::ffi::c_int;

/// The journal of a mount.
///
/// # Invariants
///
/// A `journal_t` that has been set up, with its devices open, while a reference to this
/// exists.
#[repr(transparent)]
pub(crate) struct Journal(Opaque<bindings::journal_t>);

impl Journal {
    /// Borrows a journal.
    ///
    /// # Safety
    ///
    /// `ptr` must point to a `journal_t` that is valid for `'a`, whose devices, block size
    /// and mapping to blocks have been set and are not written to for as long.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::journal_t) -> &'a Self {
        // INVARIANT: By the safety requirements of this function.
        // SAFETY: `Self` has the layout of its field, and of what that wraps; the pointee
        // is valid for `'a` by the safety requirements.
        unsafe { &*ptr.cast() }
    }

    /// The device that the journal is on; the filesystem's own unless the
    /// journal is external.
    pub(crate) fn device(&self) -> &BlockDevice {
        // SAFETY: By the type invariants the journal is valid, and its device is set, and
        // open for as long as `self` is borrowed.
        unsafe { BlockDevice::from_raw((*self.0.get()).j_dev) }
    }

    /// The device of the filesystem, if the journal has one of its own.
    pub(crate) fn other_device(&self) -> Option<&BlockDevice> {
        // SAFETY: By the type invariants both are set and do not change.
        let (own, other) = unsafe { ((*self.0.get()).j_dev, (*self.0.get()).j_fs_dev) };
        // SAFETY: By the type invariants it is open for as long as `self` is borrowed.
        (other != own && !other.is_null()).then(|| unsafe { BlockDevice::from_raw(other) })
    }

    /// Size of a journal block in bytes. Fails with `EINVAL` if there is none yet.
    pub(crate) fn block_size(&self) -> Result<NonZeroUsize> {
        // SAFETY: By the type invariants it is set and does not change.
        let size = usize::try_from(unsafe { (*self.0.get()).j_blocksize })?;
        NonZeroUsize::new(size).ok_or(EINVAL)
    }

    /// The journal blocks of the fast-commit area; `None` while the journal has
    /// none.
    ///
    /// Stable from when the journal's fast-commit feature is set: jbd2 writes
    /// these fields when it reads its superblock and when it sets the feature.
    pub(crate) fn fc_area(&self) -> Option<Range<u64>> {
        // SAFETY: By the type invariants the journal is valid. jbd2 writes to these in the
        // thread that mounts, in which we are before that.
        let (first, last) = unsafe { ((*self.0.get()).j_fc_first, (*self.0.get()).j_fc_last) };
        (first > 0 && first < last).then_some(first as u64..last as u64)
    }

    /// Whether flushes are wanted (no `nobarrier`).
    pub(crate) fn has_barrier(&self) -> bool {
        // SAFETY: Valid by the type invariants; an aligned word, which others
        // change under `j_state_lock`.
        let flags = unsafe { (&raw const (*self.0.get()).j_flags).read_volatile() };
        flags & bindings::JBD2_BARRIER as usize != 0
    }

    /// Where on [`Self::device`] a journal block is, as a block number.
    ///
    /// Fails with `EIO` for a block that is not mapped.
    pub(crate) fn bmap(&self, block: u64) -> Result<u64> {
        let journal = self.0.get();
        let mut at = block;
        // SAFETY: By the type invariants both are set and do not change.
        let (bmap, inode) = unsafe { ((*journal).j_bmap, (*journal).j_inode) };
        if let Some(bmap) = bmap {
            // SAFETY: It is the journal's own function, called with that journal.
            to_result(unsafe { bmap(journal, &mut at) })?;
        } else if !inode.is_null() {
            // SAFETY: A valid journal holds a reference to its inode.
            to_result(unsafe { bindings::bmap(inode, &mut at) })?;
        } else {
            // An external journal's blocks are those of its device.
            return Ok(block);
        }
        if at == 0 {
            return Err(EIO);
        }
        Ok(at)
    }

    /// The replay callback.
    ///
    /// # Safety
    ///
    /// Nothing writes to it at the same time: the journal has not been loaded, or jbd2 is
    /// recovering it in this thread.
    pub(super) unsafe fn replay(&self) -> Option<ReplayCallback> {
        // SAFETY: The journal is valid; no concurrent access by the safety requirements.
        unsafe { (*self.0.get()).j_fc_replay_callback }
    }

    /// Installs a replay callback.
    ///
    /// # Safety
    ///
    /// As [`Self::replay`]. `new` must be callable until the journal is destroyed or has
    /// another callback.
    pub(super) unsafe fn set_replay(&self, new: ReplayCallback) {
        // SAFETY: The journal is valid; no concurrent access by the safety requirements.
        unsafe { (*self.0.get()).j_fc_replay_callback = Some(new) };
    }
}
