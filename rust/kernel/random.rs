// SPDX-License-Identifier: GPL-2.0

//! Random numbers.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings;

/// A random number that is not zero.
pub(crate) fn nonzero_u32() -> u32 {
    // SAFETY: May be called from any context.
    unsafe { bindings::get_random_u32() }.max(1)
}
