// SPDX-License-Identifier: GPL-2.0

//! How values are spread, in powers of two: a line for each bucket, with the
//! least value that falls into it and how many have.

use crate::counter::Counter;
use core::fmt;

/// Buckets: 0, 1, 2 to 3, 4 to 7, and so on; the last takes 2^30 and more.
const BUCKETS: usize = 32;

/// A histogram that one thread at a time adds to and anybody reads.
pub(crate) struct Histogram([Counter; BUCKETS]);

impl Histogram {
    pub(crate) const fn new() -> Self {
        Self([const { Counter::new() }; BUCKETS])
    }

    /// Counts a value.
    #[inline]
    pub(crate) fn add(&self, value: u64) {
        let bits = value.checked_ilog2().map_or(0, |log| log as usize + 1);
        if let Some(bucket) = self.0.get(bits.min(BUCKETS - 1)) {
            bucket.add(1);
        }
    }
}

// What a file shows; debugfs ends the last line.
impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lower = 0u64;
        for bucket in &self.0 {
            if lower > 0 {
                writeln!(f)?;
            }
            write!(f, "{lower}: {}", bucket.get())?;
            lower = lower.saturating_mul(2).max(1);
        }
        Ok(())
    }
}
