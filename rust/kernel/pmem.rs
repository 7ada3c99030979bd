// SPDX-License-Identifier: GPL-2.0

//! Persistence of CPU stores to memory-mapped media.
//!
//! C headers: [`include/linux/libnvdimm.h`](srctree/include/linux/libnvdimm.h),
//! [`include/asm-generic/barrier.h`](srctree/include/asm-generic/barrier.h)

use crate::bindings;
use kernel::ffi::c_void;

/// Orders all write-backs and non-temporal stores before it against everything
/// after it: once it has passed they are in the power-fail protected domain.
#[inline]
pub(crate) fn fence() {
    // SAFETY: A barrier has no requirements.
    unsafe { bindings::bytelog_pmem_wmb() };
}

/// Starts the write-back of the cache lines that `[addr, addr + len)` touches.
///
/// # Safety
///
/// The range must be mapped for the duration of the call.
#[inline]
pub(crate) unsafe fn write_back(addr: *mut u8, len: usize) {
    // SAFETY: The range is mapped by the safety requirements of this function.
    unsafe { bindings::arch_wb_cache_pmem(addr.cast::<c_void>(), len) };
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Stores `bytes` at `addr`; whole lines eight bytes at a time where `addr` allows
/// it: a call of `memcpy()` costs more than the few lines of a fast commit.
///
/// # Safety
///
/// `addr` must be valid for writes of that length, and not overlap `bytes`.
#[inline]
pub(crate) unsafe fn copy(addr: *mut u8, bytes: &[u8]) {
    let (mut from, mut to, mut left) = (bytes.as_ptr(), addr, bytes.len());
    while left >= LINE && to.cast::<u64>().is_aligned() {
        for word in 0..LINE / size_of::<u64>() {
            // SAFETY: Both are valid for the `left` bytes that remain, which are a
            // line at least, and `to` is aligned. Volatile: the compiler would call
            // `memcpy()` after all.
            unsafe {
                let value = from.cast::<u64>().add(word).read_unaligned();
                to.cast::<u64>().add(word).write_volatile(value);
            }
        }
        // SAFETY: As above.
        unsafe {
            from = from.add(LINE);
            to = to.add(LINE);
        }
        left -= LINE;
    }
    if left > 0 {
        // SAFETY: Both are valid for what is left.
        unsafe { core::ptr::copy_nonoverlapping(from, to, left) };
    }
}
