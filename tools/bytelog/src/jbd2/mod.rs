// SPDX-License-Identifier: GPL-2.0

//! The journal: its superblock, its blocks, the transactions in it, and the
//! fast-commit area at its end. Everything on the media is big endian.

pub mod area;
pub mod block;
pub mod compose;
pub mod journal;
pub mod recover;
pub mod recovered;
pub mod scan;
pub mod superblock;

/// What every block of a journal that is not a copy of another begins with:
/// `JBD2_MAGIC_NUMBER`.
pub const MAGIC: u32 = 0xc03b_3998;
