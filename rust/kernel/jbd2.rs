// SPDX-License-Identifier: GPL-2.0

//! A jbd2 journal, as a fast-commit backend sees it.
//!
//! C header: [`include/linux/jbd2.h`](srctree/include/linux/jbd2.h)

use super::block::BlockDevice;
use crate::bindings;
use core::{ops::Range, ptr::NonNull};
use kernel::{error::to_result, prelude::*};

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
/// The pointee is a valid `journal_t` from the backend's attach until the
/// journal is destroyed; nobody calls a method after that.
#[derive(Clone, Copy)]
pub(crate) struct Journal(NonNull<bindings::journal_t>);

// SAFETY: jbd2 uses journals from many threads; what is read here is either
// constant while the backend is attached or read in one access.
unsafe impl Send for Journal {}
// SAFETY: As above.
unsafe impl Sync for Journal {}

impl Journal {
    /// Wraps a journal.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid whenever a method of the returned value or of a copy
    /// of it is called.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::journal_t>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self(ptr)
    }

    /// The raw pointer, valid as long as methods may be called.
    pub(crate) fn as_ptr(self) -> *mut bindings::journal_t {
        self.0.as_ptr()
    }

    /// The device that the journal is on; the filesystem's own unless the
    /// journal is external.
    pub(crate) fn device(self) -> Option<BlockDevice> {
        // SAFETY: Valid by the type invariants; `j_dev` is set once, before.
        let dev = NonNull::new(unsafe { (*self.0.as_ptr()).j_dev })?;
        // SAFETY: The journal keeps its device open for as long as it exists.
        Some(unsafe { BlockDevice::from_raw(dev) })
    }

    /// The device of the filesystem, if the journal has one of its own.
    pub(crate) fn other_device(self) -> Option<BlockDevice> {
        // SAFETY: Valid by the type invariants; both are set once, before.
        let (own, other) = unsafe { ((*self.0.as_ptr()).j_dev, (*self.0.as_ptr()).j_fs_dev) };
        let other = NonNull::new(other).filter(|other| other.as_ptr() != own)?;
        // SAFETY: The mount keeps its device open for longer than the journal.
        Some(unsafe { BlockDevice::from_raw(other) })
    }

    /// Size of a journal block in bytes.
    pub(crate) fn block_size(self) -> Result<usize> {
        // SAFETY: Valid by the type invariants; set once, before.
        Ok(usize::try_from(unsafe { (*self.0.as_ptr()).j_blocksize })?)
    }

    /// The journal blocks of the fast-commit area; `None` while the journal has
    /// none.
    ///
    /// Stable from when the journal's fast-commit feature is set: jbd2 writes
    /// these fields when it reads its superblock and when it sets the feature.
    pub(crate) fn fc_area(self) -> Option<Range<u64>> {
        // SAFETY: Valid by the type invariants.
        let (first, last) =
            unsafe { ((*self.0.as_ptr()).j_fc_first, (*self.0.as_ptr()).j_fc_last) };
        (first > 0 && first < last).then_some(first as u64..last as u64)
    }

    /// Whether flushes are wanted (no `nobarrier`).
    pub(crate) fn has_barrier(self) -> bool {
        // SAFETY: Valid by the type invariants; an aligned word, which others
        // change under `j_state_lock`.
        let flags = unsafe { (&raw const (*self.0.as_ptr()).j_flags).read_volatile() };
        flags & bindings::JBD2_BARRIER as usize != 0
    }

    /// Where on [`Self::device`] a journal block is, as a block number.
    ///
    /// Fails with `EIO` for a block that is not mapped.
    pub(crate) fn bmap(self, block: u64) -> Result<u64> {
        let journal = self.0.as_ptr();
        let mut at = block;
        // SAFETY: Valid by the type invariants; set once, before.
        let (bmap, inode) = unsafe { ((*journal).j_bmap, (*journal).j_inode) };
        if let Some(bmap) = bmap {
            // SAFETY: The journal's own function on the journal itself.
            to_result(unsafe { bmap(journal, &mut at) })?;
        } else if !inode.is_null() {
            // SAFETY: The journal holds a reference to its inode.
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
    /// As [`Self::set_replay`], but for what is said of `new`.
    pub(crate) unsafe fn replay(self) -> Option<ReplayCallback> {
        // SAFETY: Valid by the type invariants; no concurrent access by the
        // safety requirements of this function.
        unsafe { (*self.0.as_ptr()).j_fc_replay_callback }
    }

    /// Installs a replay callback.
    ///
    /// # Safety
    ///
    /// The journal is not being recovered, or the caller is its replay callback. `new`
    /// must be callable until the journal is destroyed or has another callback.
    pub(crate) unsafe fn set_replay(self, new: ReplayCallback) {
        // SAFETY: Valid by the type invariants; no concurrent access by the
        // safety requirements of this function: jbd2 reads this for each block while it
        // recovers the journal, in one thread.
        unsafe { (*self.0.as_ptr()).j_fc_replay_callback = Some(new) };
    }
}
