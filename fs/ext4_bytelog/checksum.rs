// SPDX-License-Identifier: GPL-2.0

//! The kernel's CRC32C, for the format crate.

use crate::{abstractions::checksum::crc32c, bytelog::crc::Crc32c};

/// CRC32C as the kernel computes it.
pub(crate) struct KernelCrc32c;

impl Crc32c for KernelCrc32c {
    #[inline]
    fn update(seed: u32, data: &[u8]) -> u32 {
        crc32c(seed, data)
    }
}
