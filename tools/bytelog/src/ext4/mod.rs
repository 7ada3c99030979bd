// SPDX-License-Identifier: GPL-2.0

//! The little of ext4 that leads to the journal: superblock, journal inode, its
//! blocks.
//!
//! Own code, because what has to be read here is a crashed filesystem with a feature
//! bit that no library knows and all of them refuse.

mod backups;
pub mod bit;
mod features;
pub mod group;
pub mod inode;
pub mod paths;
pub mod superblock;
