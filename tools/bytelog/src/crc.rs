// SPDX-License-Identifier: GPL-2.0

//! CRC32C as the kernel computes it.

use bytelog::crc::Crc32c;

/// The CRC of the `crc32c` crate, which inverts at both ends.
pub struct Crc;

impl Crc32c for Crc {
    fn update(seed: u32, data: &[u8]) -> u32 {
        !crc32c::crc32c_append(!seed, data)
    }
}

/// CRC32C of `data` continued from `seed`, neither inverted.
pub(crate) fn crc32c(seed: u32, data: &[u8]) -> u32 {
    Crc::update(seed, data)
}

/// CRC32C of `data` with the 4 bytes at `field` taken as zero.
pub(crate) fn crc32c_without(seed: u32, data: &[u8], field: usize) -> u32 {
    let (front, rest) = data.split_at(field.min(data.len()));
    let crc = crc32c(crc32c(seed, front), &[0; 4]);
    crc32c(crc, rest.get(4..).unwrap_or_default())
}

/// The 4 bytes that, between `front` and `behind`, give all of it the CRC `target`.
pub(crate) fn compensate(seed: u32, front: &[u8], behind: &[u8], target: u32) -> [u8; 4] {
    /// Castagnoli's polynomial, reflected.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let back = |crc: u32, bits: u32| {
        (0..bits).fold(crc, |crc, _| match crc >> 31 {
            0 => crc << 1,
            _ => ((crc ^ POLYNOMIAL) << 1) | 1,
        })
    };
    let wanted = behind
        .iter()
        .rev()
        .fold(target, |crc, byte| back(crc, 8) ^ u32::from(*byte));
    (crc32c(seed, front) ^ back(wanted, 32)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_left_out() {
        let with = [1, 2, 3, 4, 9, 9, 9, 9, 5];
        let without = [1, 2, 3, 4, 0, 0, 0, 0, 5];
        assert_eq!(crc32c_without(!0, &with, 4), crc32c(!0, &without));
    }

    #[test]
    fn any_crc_can_be_had() {
        let (front, behind) = (b"in front", b"behind it all");
        for target in [0, 1, 0x8000_0000, 0xdead_beef] {
            let bytes = compensate(!0, front, behind, target);
            assert_eq!(crc32c(!0, &[&front[..], &bytes, behind].concat()), target);
        }
    }
}
