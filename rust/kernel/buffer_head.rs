// SPDX-License-Identifier: GPL-2.0

//! Buffer heads that own nothing but their data.
//!
//! C header: [`include/linux/buffer_head.h`](srctree/include/linux/buffer_head.h)

use crate::bindings;
use core::marker::PhantomData;
use kernel::prelude::*;

/// A journal block in DRAM, in the shape in which jbd2 hands blocks to a replay callback:
/// no page, no device, no reference count that matters.
///
/// # Invariants
///
/// `head.b_data` points to `head.b_size` bytes that are borrowed for `'a`.
pub(super) struct DramBlock<'a> {
    head: bindings::buffer_head,
    data: PhantomData<&'a mut [u8]>,
}

impl<'a> DramBlock<'a> {
    /// A block of these bytes.
    pub(super) fn new(data: &'a mut [u8]) -> Self {
        // SAFETY: All-zero bytes are a valid `struct buffer_head`: it has integers and
        // nullable pointers only.
        let mut head: bindings::buffer_head = unsafe { core::mem::zeroed() };
        head.b_size = data.len();
        head.b_data = data.as_mut_ptr().cast();
        // INVARIANT: Just set.
        Self {
            head,
            data: PhantomData,
        }
    }

    /// The buffer head, valid as long as `self` exists.
    pub(super) fn as_ptr(&mut self) -> *mut bindings::buffer_head {
        &raw mut self.head
    }
}

/// Appends a copy of a buffer's bytes to `out`. Fails with `ENOMEM`.
///
/// # Safety
///
/// `head` must be valid and have its data mapped for the duration of the call.
pub(super) unsafe fn copy_to(head: *const bindings::buffer_head, out: &mut KVVec<u8>) -> Result {
    // SAFETY: By the safety requirements the buffer head is valid.
    let (data, len) = unsafe { ((*head).b_data, (*head).b_size) };
    out.reserve(len, GFP_KERNEL)?;
    let room = out.spare_capacity_mut();
    // SAFETY: `b_data` is mapped for `b_size` bytes, and there is room for as many. They are
    // in the page cache, which has no part in our memory. Others can have the device open and
    // write to them, so that no reference to them is made.
    unsafe { core::ptr::copy_nonoverlapping(data.cast::<u8>(), room.as_mut_ptr().cast(), len) };
    // SAFETY: That many bytes behind the vector's end have just been written.
    unsafe { out.inc_len(len) };
    Ok(())
}
