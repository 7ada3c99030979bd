// SPDX-License-Identifier: GPL-2.0

//! The kernel's CRC32C, for the format crate.
//!
//! C header: [`include/linux/crc32.h`](srctree/include/linux/crc32.h)

use crate::{bindings, bytelog::crc::Crc32c};

/// CRC32C as `lib/crc` computes it: with the CPU's instructions where it has them.
pub(crate) struct KernelCrc32c;

impl Crc32c for KernelCrc32c {
    #[inline]
    fn update(seed: u32, data: &[u8]) -> u32 {
        // SAFETY: `data` is valid for reads of its own length.
        unsafe { bindings::crc32c(seed, data.as_ptr().cast(), data.len()) }
    }
}
