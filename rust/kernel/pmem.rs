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
    #[cfg(target_arch = "x86_64")]
    // SAFETY: A barrier has no requirements. It is what `pmem_wmb()` is on x86.
    unsafe {
        core::arch::asm!("sfence", options(nostack, preserves_flags))
    };
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: A barrier has no requirements.
    unsafe {
        bindings::bytelog_pmem_wmb()
    };
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

/// Stores `bytes` at `addr`. Where `addr` is a multiple of 8, the stores are of 8 bytes, but
/// for the last ones of a length that is no multiple: the least that a power cut can tear is
/// such a word, and the format depends on that.
///
/// On x86-64 this is one string instruction, which the CPU may carry out by lines: fewer
/// instructions than a loop, and now faster, now slower.
///
/// # Safety
///
/// `addr` must be valid for writes of that length, and not overlap `bytes`.
#[inline]
pub(crate) unsafe fn copy(addr: *mut u8, bytes: &[u8]) {
    const WORD: usize = size_of::<u64>();
    let whole = bytes.len() / WORD;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: Both are valid for that many words; the direction flag is clear, as
    // everywhere in the kernel.
    unsafe {
        core::arch::asm!(
            "rep movsq",
            inout("rsi") bytes.as_ptr() => _,
            inout("rdi") addr => _,
            inout("rcx") whole => _,
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let whole = match addr.cast::<u64>().is_aligned() {
        true => whole,
        false => 0,
    };
    #[cfg(not(target_arch = "x86_64"))]
    for (at, word) in bytes.chunks_exact(WORD).take(whole).enumerate() {
        let word = word
            .first_chunk()
            .map_or(0, |word| u64::from_ne_bytes(*word));
        // SAFETY: `addr` is aligned and valid for `whole` words, of which this is one. A
        // volatile access is neither split nor merged.
        unsafe { addr.cast::<u64>().wrapping_add(at).write_volatile(word) };
    }
    if whole * WORD != bytes.len() {
        // SAFETY: `addr` is valid for as many bytes as there are.
        unsafe { copy_bytes(addr, bytes, whole * WORD) };
    }
}

/// Stores `bytes` from the one at `from` on, one at a time.
///
/// # Safety
///
/// As [`copy`].
#[cold]
unsafe fn copy_bytes(addr: *mut u8, bytes: &[u8], from: usize) {
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        // SAFETY: By the safety requirements.
        unsafe { addr.wrapping_add(at).write_volatile(*byte) };
    }
}
