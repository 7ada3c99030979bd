// SPDX-License-Identifier: GPL-2.0 OR MIT

//! CRC32C as the kernel's `crc32c()` computes it, and the seeds of the format.

/// Raw CRC32C (Castagnoli), neither seed nor result inverted.
///
/// The kernel module implements this with its own `crc32c()`. With the `crc32c`
/// crate it is `!crc32c::crc32c_append(!seed, data)`.
pub trait Crc32c {
    /// Continues `seed` over `data`.
    fn update(seed: u32, data: &[u8]) -> u32;
}

/// Seed of payload CRCs, of version 1 header CRCs and of the opener's anchor.
pub const SEED: u32 = !0;

/// Seed of the first version 2 record of a log: binds the chain to one life of
/// one filesystem's log, so that a stale record can never continue it.
pub fn chain_seed<C: Crc32c>(uuid: &[u8; 16], tid: u32, nonce: u32) -> u32 {
    let crc = C::update(SEED, uuid);
    let crc = C::update(crc, &tid.to_le_bytes());
    C::update(crc, &nonce.to_le_bytes())
}
