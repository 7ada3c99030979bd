// SPDX-License-Identifier: GPL-2.0

//! Why a fast commit is given up, so that ext4 commits in full.

use crate::{
    abstractions::errno, bindings, bytelog::error::WriteError, counter::Counter, stats::Stats,
};
use kernel::prelude::*;

/// A reason for giving a fast commit up. Each has a counter of its name.
#[derive(Clone, Copy)]
pub(crate) enum Fallback {
    /// The area has no room for it.
    LogFull,
    /// The log's opener does not name a feature that it needs: the next one does.
    LogFeatures,
    /// An earlier commit failed with its seal perhaps on the medium: nothing can
    /// follow it before the next full commit. A guard: ext4 asks for nothing more of
    /// a transaction that has failed to commit fast.
    LogClosed,
    /// The device failed.
    Device(Error),
    /// ext4 asked for what the writer does not take.
    Other,
    /// ext4 itself dropped what it had reserved.
    ByExt4,
}

impl Fallback {
    /// What the writer's error means. `None`: the commit has been given up before,
    /// and the reason has been counted then.
    pub(crate) fn of(error: WriteError<Error>) -> Option<Self> {
        Some(match error {
            WriteError::Aborted => return None,
            WriteError::Full => Self::LogFull,
            WriteError::Features(_) => Self::LogFeatures,
            WriteError::Closed => Self::LogClosed,
            WriteError::Medium(error) => Self::Device(error),
            WriteError::NotStarted
            | WriteError::TlvLen(_)
            | WriteError::Tlv(_)
            | WriteError::Undeclared(_)
            | WriteError::Staging => Self::Other,
        })
    }

    /// What ext4 is told. Any error makes it commit in full.
    pub(crate) fn errno(self) -> Error {
        match self {
            Self::LogFull => ENOSPC,
            Self::Device(error) => error,
            Self::LogFeatures | Self::LogClosed | Self::Other | Self::ByExt4 => errno::canceled(),
        }
    }

    /// Its number in the tracepoint.
    pub(crate) fn trace_reason(self) -> u32 {
        match self {
            Self::LogFull => bindings::BYTELOG_ABORT_LOG_FULL,
            Self::LogFeatures => bindings::BYTELOG_ABORT_LOG_FEATURES,
            Self::LogClosed => bindings::BYTELOG_ABORT_LOG_CLOSED,
            Self::Device(_) => bindings::BYTELOG_ABORT_DEVICE_ERROR,
            Self::Other => bindings::BYTELOG_ABORT_OTHER_REFUSAL,
            Self::ByExt4 => bindings::BYTELOG_ABORT_BY_EXT4,
        }
    }

    /// Its counter.
    pub(crate) fn counter(self, stats: &Stats) -> &Counter {
        match self {
            Self::LogFull => &stats.log_full,
            Self::LogFeatures => &stats.log_features,
            Self::LogClosed => &stats.log_closed,
            Self::Device(_) => &stats.device_errors,
            Self::Other => &stats.other_refusals,
            Self::ByExt4 => &stats.dropped_by_ext4,
        }
    }
}
