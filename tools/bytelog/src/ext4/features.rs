// SPDX-License-Identifier: GPL-2.0

//! Features of a filesystem, as its superblock names them. ByteLog's own is in
//! [`superblock`](super::superblock).

use super::superblock::{field, Superblock, INCOMPAT_RECOVER};
use crate::bytes::le32;

const COMPAT_HAS_JOURNAL: u32 = 0x4;
const COMPAT_FAST_COMMIT: u32 = 0x400;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_FILETYPE: u32 = 0x2;
const INCOMPAT_EXTENTS: u32 = 0x40;
const INCOMPAT_EA_INODE: u32 = 0x400;
const RO_COMPAT_QUOTA: u32 = 0x100;
const RO_COMPAT_BIGALLOC: u32 = 0x200;

impl Superblock {
    /// Whether directory entries say what their inodes are.
    pub fn has_file_types(&self) -> bool {
        self.incompat() & INCOMPAT_FILETYPE != 0
    }

    /// Whether files have extents.
    pub fn has_extents(&self) -> bool {
        self.incompat() & INCOMPAT_EXTENTS != 0
    }

    /// Whether values of xattrs can be in inodes of their own.
    pub fn has_ea_inodes(&self) -> bool {
        self.incompat() & INCOMPAT_EA_INODE != 0
    }

    /// Whether there is a journal.
    pub fn has_journal(&self) -> bool {
        self.compat() & COMPAT_HAS_JOURNAL != 0
    }

    /// Whether blocks are allocated in clusters.
    pub fn has_bigalloc(&self) -> bool {
        le32(&self.raw, field::RO_COMPAT) & RO_COMPAT_BIGALLOC != 0
    }

    /// Whether there is quota.
    pub fn has_quota(&self) -> bool {
        le32(&self.raw, field::RO_COMPAT) & RO_COMPAT_QUOTA != 0
    }

    /// Whether fast commits are enabled.
    pub fn has_fast_commit(&self) -> bool {
        self.compat() & COMPAT_FAST_COMMIT != 0
    }

    /// Whether the journal may have something to recover.
    pub fn needs_recovery(&self) -> bool {
        self.incompat() & INCOMPAT_RECOVER != 0
    }

    /// Whether this is the superblock of a journal's own device.
    pub fn is_journal_device(&self) -> bool {
        self.incompat() & INCOMPAT_JOURNAL_DEV != 0
    }
}
