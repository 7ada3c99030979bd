// SPDX-License-Identifier: GPL-2.0

//! What the `bytelog` command does, apart from its command line.
//!
//! Data goes one way: a [`store`] has bytes, [`ext4`] finds the journal in them,
//! [`jbd2`] finds the fast-commit area in the journal and the transaction that
//! recovery ends before, [`log`] reads the area with the format crate, and each
//! [`command`] tells or changes something. What the kernel counts of mounted
//! filesystems is apart from all that, in [`stats`].

#![forbid(unsafe_code)]

pub mod apply;
mod bytes;
pub mod cli;
pub mod command;
mod copy;
pub mod crc;
pub mod error;
pub mod export;
pub mod ext4;
pub mod image;
pub mod jbd2;
pub mod log;
mod new_file;
pub mod partition;
pub mod report;
pub mod schema;
mod signature;
mod size;
pub mod stats;
pub mod store;
