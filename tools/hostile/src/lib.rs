// SPDX-License-Identifier: GPL-2.0
//! Logs that mean harm: made field by field, with checksums that are right and
//! contents that are not, so that a reader cannot stop at the first CRC.

pub mod cases;
mod dir_cases;
pub mod fuzz;
pub mod log;
mod opener_cases;
mod record_cases;
mod tlv_cases;

use bytelog::crc::Crc32c;

/// The kernel's `crc32c()`.
pub struct Crc;

impl Crc32c for Crc {
    fn update(seed: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!seed, data)
    }
}
