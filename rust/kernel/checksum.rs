// SPDX-License-Identifier: GPL-2.0

//! The kernel's CRC32C.
//!
//! C header: [`include/linux/crc32.h`](srctree/include/linux/crc32.h)

use crate::bindings;

/// Continues the CRC32C `seed` over `data`, as `lib/crc` computes it: with the CPU's
/// instructions where it has them.
#[inline]
pub(crate) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    // SAFETY: `data` is valid for reads of its own length.
    unsafe { bindings::crc32c(seed, data.as_ptr().cast(), data.len()) }
}
