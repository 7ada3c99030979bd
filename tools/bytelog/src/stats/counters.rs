// SPDX-License-Identifier: GPL-2.0

//! The module's counters of a mount, a file for each.

use crate::error::{Error, Result};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What only grows, from the mount on.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Reads them from a mount's directory.
            pub fn read(dir: &Path) -> Result<Self> {
                Ok(Self { $($name: number(dir, stringify!($name))?,)* })
            }

            /// Each with that of `other`, in the order that they are declared in.
            fn pairs(&mut self, other: &Self) -> Vec<(&mut u64, u64)> {
                vec![$((&mut self.$name, other.$name),)*]
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
    /// Fast commits given up, for one of the next six reasons.
    aborted_commits,
    /// The log had no room.
    log_full,
    /// The log's opener did not name a feature that the commit needs.
    log_features,
    /// An earlier one failed half way.
    log_closed,
    /// The device failed.
    device_errors,
    /// ext4 asked for what the log cannot hold.
    other_refusals,
    /// ext4 dropped the commit itself.
    dropped_by_ext4,
    /// Logs begun, one for each transaction with a fast commit.
    logs,
    /// Records of the commits.
    records,
    /// Bytes of TLVs in them.
    payload_bytes,
    /// Bytes of log that they take.
    log_bytes,
    /// Bytes of range of cache-line write-back.
    written_back_bytes,
    /// Store fences.
    fences,
    /// Flushes asked of the device's host or controller.
    device_flushes,
    /// Flushes of the file data's own device.
    data_flushes,
    /// Fast commits replayed by this mount.
    replayed_commits,
    /// Records that they consisted of.
    replayed_records,
    /// Bytes of TLVs in them.
    replayed_bytes,
}

/// What goes up and down, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Levels {
    /// The fast-commit area; 0 until the mount logs.
    pub area_bytes: u64,
    /// What a log can have.
    pub log_capacity: u64,
    /// The running log, as of its last fast commit.
    pub log_used: u64,
    /// The fullest log so far.
    pub log_high_water: u64,
}

impl Counters {
    /// What has been added since `earlier`. All of it, where a counter has gone down:
    /// the filesystem has been mounted anew.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut added = self.clone();
        for (now, before) in added.pairs(earlier) {
            match now.checked_sub(before) {
                Some(difference) => *now = difference,
                None => return self.clone(),
            }
        }
        added
    }

    /// Why fast commits were given up, by the counters' names.
    pub fn reasons(&self) -> [(&'static str, u64); 6] {
        [
            ("log_full", self.log_full),
            ("log_features", self.log_features),
            ("log_closed", self.log_closed),
            ("device_errors", self.device_errors),
            ("other_refusals", self.other_refusals),
            ("dropped_by_ext4", self.dropped_by_ext4),
        ]
    }

    /// Fast commits that put something into the log.
    pub fn logged(&self) -> u64 {
        self.commits.saturating_sub(self.empty_commits)
    }
}

impl Levels {
    /// Reads them from a mount's directory.
    pub fn read(dir: &Path) -> Result<Self> {
        Ok(Self {
            area_bytes: number(dir, "area_bytes")?,
            log_capacity: number(dir, "log_capacity")?,
            log_used: number(dir, "log_used")?,
            log_high_water: number(dir, "log_high_water")?,
        })
    }

    /// The running log, in percent of what it can have.
    pub fn fill(&self) -> u64 {
        percent(self.log_used, self.log_capacity)
    }

    /// The fullest log so far, in percent of what it can have.
    pub fn highest(&self) -> u64 {
        percent(self.log_high_water, self.log_capacity)
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

/// The text of a counter's file.
pub(super) fn text(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    std::fs::read_to_string(&path)
        .map_err(|error| odd(&path, format_args!("the counter cannot be read: {error}")))
}

/// An error about a counter's file.
pub(super) fn odd(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::failed(&path.display().to_string(), cause)
        .remedy("was the filesystem unmounted? If not, ext4_bytelog.ko and bytelog are of different versions")
}

fn number(dir: &Path, name: &str) -> Result<u64> {
    let text = text(dir, name)?;
    text.trim()
        .parse()
        .map_err(|_| odd(&dir.join(name), format_args!("no number: {}", text.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_mount_counts_from_zero() {
        let earlier = Counters {
            commits: 10,
            fences: 12,
            ..Counters::default()
        };
        let mut later = Counters {
            commits: 15,
            fences: 20,
            ..Counters::default()
        };
        let added = later.since(&earlier);
        assert_eq!((added.commits, added.fences), (5, 8));
        later.fences = 2;
        assert_eq!(later.since(&earlier), later);
    }

    #[test]
    fn levels_in_percent() {
        let levels = Levels {
            area_bytes: 8192,
            log_capacity: 4096,
            log_used: 1024,
            log_high_water: 4096,
        };
        assert_eq!((levels.fill(), levels.highest()), (25, 100));
        assert_eq!(Levels::default().fill(), 0);
    }
}
