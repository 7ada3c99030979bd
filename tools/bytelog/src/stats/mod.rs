// SPDX-License-Identifier: GPL-2.0

//! What the kernel counts of mounted filesystems: the module's own counters in debugfs,
//! and beside them what ext4 and jbd2 say in /proc.
//!
//! Read from files below a root directory, which is `/` unless a recorded tree is to be
//! looked at.

pub mod counters;
pub mod ext4;
pub mod histogram;
pub mod interval;
pub mod mounts;
pub mod sample;
