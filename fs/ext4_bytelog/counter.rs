// SPDX-License-Identifier: GPL-2.0

//! Numbers that count what happens.

// Not the kernel crate's atomics: they are calls of C helpers, and these counters
// are plain loads and stores on the path of every fsync.
use core::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A counter that one thread at a time adds to and anybody reads.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to the counter. Commits of a mount run one at a time, so that no
    /// locked instruction is needed.
    pub(crate) fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// The present value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Puts another value in its place: of a counter that shows a level.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Raises the counter to `value` if it is lower.
    pub(crate) fn raise(&self, value: u64) {
        if self.0.load(Relaxed) < value {
            self.0.store(value, Relaxed);
        }
    }
}

// What a file shows; debugfs ends the line.
impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}
