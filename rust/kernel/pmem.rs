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

/// Stores `bytes` at `addr`, eight at a time: a log consists of whole words, and the
/// least that a power cut can tear is one.  One string instruction, which the CPU may
/// carry out by lines: fewer instructions than a loop, and now faster, now slower.
///
/// # Safety
///
/// `addr` must be valid for writes of that length, and not overlap `bytes`.
#[inline]
pub(crate) unsafe fn copy(addr: *mut u8, bytes: &[u8]) {
    const WORD: usize = size_of::<u64>();
    let (mut from, mut to, mut left) = (bytes.as_ptr(), addr, bytes.len());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: Both are valid for that many words; the direction flag is clear, as
    // everywhere in the kernel.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            inout("rsi") from,
            inout("rdi") to,
            inout("rcx") left / WORD => _,
            options(nostack, preserves_flags)
        );
        left %= WORD;
    }
    if left > 0 {
        // SAFETY: Both are valid for what is left.
        unsafe { core::ptr::copy_nonoverlapping(from, to, left) };
    }
}
