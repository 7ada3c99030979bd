// SPDX-License-Identifier: GPL-2.0
//! What the writer of version 1, which is the format crate's own, asks for.

use bytelog::crc::Crc32c;

pub const BLOCK: u32 = 4096;

pub struct Crc;

impl Crc32c for Crc {
    fn update(seed: u32, bytes: &[u8]) -> u32 {
        // The library inverts before and after; the kernel's function does not.
        !crc32c::crc32c_append(!seed, bytes)
    }
}
