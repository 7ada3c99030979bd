// SPDX-License-Identifier: GPL-2.0

//! Short times, measured with the CPU's cycle counter: reading it takes a few
//! instructions, where the kernel's clocks take a hundred.
//!
//! C header: [`arch/x86/include/asm/tsc.h`](srctree/arch/x86/include/asm/tsc.h)

use crate::bindings;

/// A point in time.
#[derive(Clone, Copy)]
pub(crate) struct Cycles(u64);

impl Cycles {
    /// Now.
    #[inline]
    pub(crate) fn now() -> Self {
        // SAFETY: Reading the counter has no requirements.
        #[cfg(target_arch = "x86_64")]
        let now = unsafe { core::arch::x86_64::_rdtsc() };
        // SAFETY: As above.
        #[cfg(not(target_arch = "x86_64"))]
        let now = unsafe { bindings::bytelog_cycles() };
        Self(now)
    }
}

/// How fast the counter runs.
#[derive(Clone, Copy)]
pub(crate) struct CycleClock {
    /// Nanoseconds per cycle, times 2^32.
    scale: u64,
}

impl CycleClock {
    /// The clock of this machine, as well as its speed is known by now.
    pub(crate) fn new() -> Self {
        // SAFETY: C reads a variable, one word, which the kernel may still refine a
        // while after boot.
        let khz = unsafe { bindings::bytelog_cycles_khz() };
        Self {
            scale: (1_000_000u64 << 32).checked_div(khz).unwrap_or(0),
        }
    }

    /// Nanoseconds since `start`; 0 where the counter of this CPU is behind that
    /// of the one on which `start` was taken.
    #[inline]
    pub(crate) fn nanos_since(self, start: Cycles) -> u64 {
        let cycles = Cycles::now().0.saturating_sub(start.0);
        // No product of two 64-bit numbers exceeds 128 bits.
        (u128::from(cycles).wrapping_mul(u128::from(self.scale)) >> 32) as u64
    }
}
