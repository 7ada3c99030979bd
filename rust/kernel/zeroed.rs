// SPDX-License-Identifier: GPL-2.0

//! Zeroed buffers.

use kernel::{
    alloc::{flags::__GFP_ZERO, Allocator, Vec},
    prelude::*,
};

/// `len` zero bytes, zeroed by the allocator, which often does that anyway: they are
/// not zeroed once more. Fails with `ENOMEM`.
pub(crate) fn bytes<A: Allocator>(len: usize) -> Result<Vec<u8, A>> {
    let mut bytes = Vec::with_capacity(len, GFP_KERNEL | __GFP_ZERO)?;
    // SAFETY: The vector is empty and has room for `len` bytes, which the allocator
    // has initialized: it was asked for zeroes.
    unsafe { bytes.inc_len(len) };
    Ok(bytes)
}
