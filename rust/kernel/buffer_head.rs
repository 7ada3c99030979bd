// SPDX-License-Identifier: GPL-2.0

//! Buffer heads that own nothing but their data.
//!
//! C header: [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h)

use super::zeroed;
use crate::bindings;
use core::ptr::NonNull;
use kernel::prelude::*;

/// One journal block in DRAM, in the shape in which jbd2 hands blocks to a
/// replay callback: no page, no device, no reference count that matters.
///
/// # Invariants
///
/// `head.b_data` points to the first byte of `data`, whose length never changes.
pub(crate) struct DramBlock {
    head: KBox<bindings::buffer_head>,
    data: KVec<u8>,
}

impl DramBlock {
    /// Allocates a block of `size` zero bytes. Fails with `ENOMEM`.
    pub(crate) fn new(size: usize) -> Result<Self> {
        let mut data = zeroed::bytes(size)?;
        // SAFETY: All-zero bytes are a valid `struct buffer_head`: integers and
        // nullable pointers.
        let head =
            unsafe { core::mem::MaybeUninit::<bindings::buffer_head>::zeroed().assume_init() };
        let mut head = KBox::new(head, GFP_KERNEL)?;
        head.b_data = data.as_mut_ptr().cast();
        head.b_size = size;
        // INVARIANT: `b_data` was just set; moving the vector moves no bytes,
        // and nothing below changes its length.
        Ok(Self { head, data })
    }

    /// The block's bytes.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// The buffer head, for a callee that reads (and may write) the block.
    pub(crate) fn as_ptr(&mut self) -> *mut bindings::buffer_head {
        &mut *self.head
    }
}

/// A buffer head that jbd2 has read and holds for the duration of a callback.
///
/// # Invariants
///
/// The pointee is a valid, up-to-date `struct buffer_head` for as long as this
/// value exists.
pub(crate) struct BorrowedBlock(NonNull<bindings::buffer_head>);

impl BorrowedBlock {
    /// Wraps a buffer head.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, read from its device, and held by the caller for as
    /// long as the returned value exists.
    pub(crate) unsafe fn from_raw(ptr: NonNull<bindings::buffer_head>) -> Self {
        // INVARIANT: By the safety requirements of this function.
        Self(ptr)
    }

    /// Copies the block's first bytes to `out`, as many as both have.
    pub(crate) fn copy_prefix(&self, out: &mut [u8]) {
        // SAFETY: By the type invariants the buffer head is valid.
        let (data, size) = unsafe { ((*self.0.as_ptr()).b_data, (*self.0.as_ptr()).b_size) };
        let len = out.len().min(size);
        // SAFETY: `b_data` is mapped for `b_size` bytes while the buffer head is
        // held, `out` is valid for `len` bytes, and DRAM of ours does not
        // overlap the page cache.
        unsafe { core::ptr::copy_nonoverlapping(data.cast::<u8>(), out.as_mut_ptr(), len) };
    }

    /// The raw pointer, valid as long as `self` exists.
    pub(crate) fn as_ptr(&self) -> *mut bindings::buffer_head {
        self.0.as_ptr()
    }
}
