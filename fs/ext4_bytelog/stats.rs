// SPDX-License-Identifier: GPL-2.0

//! What has happened on a mount since it was mounted: a file for each counter in
//! `debugfs/ext4_bytelog/<device>/`.

use crate::{abstractions::debugfs::Root, counter::Counter, histogram::Histogram};
use core::convert::Infallible;
use kernel::{c_str, debugfs::Scope, prelude::*};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a mount.
        pub(crate) struct Stats {
            $($(#[$doc])* pub(crate) $name: Counter,)*
            /// How long the fast commits took that were made durable, nanoseconds.
            pub(crate) commit_latency_ns: Histogram,
        }

        impl Stats {
            const fn new() -> Self {
                Self {
                    $($name: Counter::new(),)*
                    commit_latency_ns: Histogram::new(),
                }
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
                        dir.read_only_file(c"commit_latency_ns", &stats.commit_latency_ns);
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
    /// Fast commits that were given up; ext4 committed in full instead. The next
    /// six tell why, and add up to this.
    aborted_commits,
    /// The log had no room.
    log_full,
    /// The log's opener did not name a feature that the commit needs.
    log_features,
    /// An earlier one failed half way: nothing may follow it in its transaction. ext4
    /// asks for nothing more of such a transaction, so this guards.
    log_closed,
    /// The device failed.
    device_errors,
    /// ext4 asked for something that the log cannot hold.
    other_refusals,
    /// ext4 dropped the commit itself.
    dropped_by_ext4,
    /// Logs begun: one for each transaction with a fast commit.
    logs,
    /// Records sealed or belonging to a sealed commit.
    records,
    /// TLV bytes in them.
    payload_bytes,
    /// Bytes of log they take, headers and padding included.
    log_bytes,
    /// Bytes of the fast-commit area; 0 until the mount logs.
    area_bytes,
    /// Bytes that a log can have.
    log_capacity,
    /// Bytes of the running log, as of its last fast commit.
    log_used,
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
    /// Records that they consisted of.
    replayed_records,
    /// TLV bytes replayed at mount.
    replayed_bytes,
}
