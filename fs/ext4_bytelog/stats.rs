// SPDX-License-Identifier: GPL-2.0

//! What has happened on a mount since it was mounted: a file for each counter in
//! `debugfs/ext4_bytelog/<device>/`.

use crate::kapi::debugfs::Root;
// Not the kernel crate's atomics: they are calls of C helpers, and these counters
// are plain loads and stores on the path of every fsync.
use core::{
    convert::Infallible,
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use kernel::{c_str, debugfs::Scope, prelude::*};

/// A counter that one thread at a time adds to and anybody reads.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to the counter. Commits of a mount run one at a time, so that no
    /// locked instruction is needed.
    pub(crate) fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Raises the counter to `value` if it is lower.
    pub(crate) fn raise(&self, value: u64) {
        if self.0.load(Relaxed) < value {
            self.0.store(value, Relaxed);
        }
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.0.load(Relaxed))
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a mount.
        pub(crate) struct Stats {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        impl Stats {
            const fn new() -> Self {
                Self { $($name: Counter::new(),)* }
            }

            /// Counters at zero, and their files in the directory of `device`.
            pub(crate) fn with_files(device: &CStr) -> Result<Pin<KBox<Scope<Self>>>> {
                let root = Root::dir().ok_or(ENODEV)?;
                KBox::pin_init(
                    root.scope::<Self, Infallible, _>(Self::new(), device, |stats, dir| {
                        $(dir.read_only_file(
                            c_str!(stringify!($name)),
                            &stats.$name,
                        );)*
                    }),
                    GFP_KERNEL,
                )
            }
        }
    };
}

counters! {
    /// Fast commits made durable, empty ones included.
    commits,
    /// Those of them that had nothing to log.
    empty_commits,
    /// Those of them that described file data.
    data_commits,
    /// Fast commits that the backend gave up; ext4 committed in full instead.
    aborted_commits,
    /// Times a TLV found the log full.
    log_full,
    /// Fast commits refused because ext4's replay could not have applied them.
    not_replayable,
    /// Logs begun: one for each transaction with a fast commit.
    logs,
    /// Records sealed or belonging to a sealed commit.
    records,
    /// TLV bytes in them.
    payload_bytes,
    /// Bytes of log they take, headers and padding included.
    log_bytes,
    /// Bytes of the fullest log so far.
    log_high_water,
    /// Cache-line write-backs asked for, in bytes of range.
    written_back_bytes,
    /// Store fences.
    fences,
    /// Flushes asked of the device's host or controller.
    device_flushes,
    /// Flushes of the file data's own device, where the journal is external.
    data_flushes,
    /// Fast commits replayed at mount.
    replayed_commits,
    /// TLV bytes replayed at mount.
    replayed_bytes,
}
