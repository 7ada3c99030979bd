// SPDX-License-Identifier: GPL-2.0

//! Why a mount is not served by ByteLog: the cause and the way out, one line.

use crate::abstractions::{dax::AccessError, errno};
use kernel::{fmt, prelude::*};

/// A reason for not serving a mount.
#[derive(Clone, Copy)]
pub(crate) enum Refusal {
    /// The mount forbids DAX.
    DaxNever,
    /// The journal's device is not one that can be mapped.
    NoDax,
    /// Blocks are not pages, so that DAX cannot map them.
    BlockSize {
        /// Bytes in a block.
        block: usize,
        /// Bytes in a page.
        page: usize,
    },
    /// The journal has no fast-commit area.
    NoArea,
    /// The area has no room for a log.
    AreaTooSmall {
        /// Blocks in the area.
        blocks: u64,
    },
    /// The area is not within the journal's device.
    Beyond {
        /// Bytes that the device would have to have.
        end: u64,
        /// Bytes that it has.
        device: u64,
    },
    /// The area cannot be mapped.
    Map(Error),
    /// The area cannot be written.
    Write(Error),
    /// No memory for the mount's state.
    NoMemory,
    /// The module's directory in debugfs is not there.
    Unloading,
    /// The buffer in which records are put together is too short.
    Staging,
}

impl Refusal {
    /// What an error means that came of mapping the area.
    pub(crate) fn of_mapping(error: AccessError) -> Self {
        match error {
            AccessError::Beyond { end, device } => Refusal::Beyond { end, device },
            AccessError::Failed(error) if error == ENOMEM => Refusal::NoMemory,
            AccessError::Failed(error) => Refusal::Map(error),
        }
    }

    /// What an error means that came of making the mount's statistics.
    pub(crate) fn of_statistics(error: Error) -> Self {
        match error == ENODEV {
            true => Refusal::Unloading,
            false => Refusal::NoMemory,
        }
    }

    /// The same of writing it.
    pub(crate) fn of_writing(error: Error) -> Self {
        if error == ENOMEM {
            Refusal::NoMemory
        } else {
            Refusal::Write(error)
        }
    }

    /// The error that ext4 is given.
    pub(crate) fn errno(self) -> Error {
        match self {
            Refusal::DaxNever | Refusal::NoDax | Refusal::BlockSize { .. } | Refusal::NoArea => {
                errno::not_supported()
            }
            Refusal::AreaTooSmall { .. } => ENOSPC,
            Refusal::Beyond { .. } => ENXIO,
            Refusal::Map(error) | Refusal::Write(error) => error,
            Refusal::NoMemory => ENOMEM,
            Refusal::Unloading => ENODEV,
            Refusal::Staging => EINVAL,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::DaxNever => {
                f.write_str("mounted with dax=never; leave that option out to use ByteLog")
            }
            Refusal::NoDax => f.write_str(
                "the journal's device has no DAX; put the journal on persistent memory \
                 (an fsdax namespace, page-aligned if it is a partition)",
            ),
            Refusal::BlockSize { block, page } => write!(
                f,
                "block size {block} is not the page size {page}; make the filesystem with \
                 mke2fs -b {page}"
            ),
            Refusal::NoArea => f.write_str(
                "the journal has no fast-commit area; enable the feature with \
                 tune2fs -O fast_commit",
            ),
            Refusal::AreaTooSmall { blocks } => write!(
                f,
                "the fast-commit area of {blocks} blocks is too small; make the journal with \
                 mke2fs -J fast_commit_size=256 or larger"
            ),
            Refusal::Beyond { end, device } => write!(
                f,
                "the fast-commit area reaches to {} KiB on the journal's device, which ends at \
                 {} KiB; check that the device has its full size, and the filesystem with e2fsck",
                end.div_ceil(1024),
                device / 1024
            ),
            Refusal::Map(error) => write!(
                f,
                "the fast-commit area cannot be mapped ({error:?}); check the device with \
                 ndctl list"
            ),
            Refusal::Write(error) => write!(
                f,
                "the fast-commit area cannot be written ({error:?}); check the device with \
                 ndctl list"
            ),
            Refusal::NoMemory => f.write_str("not enough memory; free some and mount again"),
            Refusal::Unloading => f.write_str(
                "the module is being loaded or unloaded; load ext4_bytelog and mount again",
            ),
            Refusal::Staging => f.write_str(
                "the buffer for a record is shorter than a record, which is a defect of the \
                 module; please report it",
            ),
        }
    }
}
