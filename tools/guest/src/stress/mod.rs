// SPDX-License-Identifier: GPL-2.0
//! Random operations of one thread in a directory of its own, and under names of its
//! own in one that several threads share, some of them synced in one of many ways; and
//! the oracle for what a power cut leaves.
//!
//! What the oracle holds the filesystem to, on a DAX mount:
//!
//! * Order: names, types, link counts, sizes, symlink targets and xattrs are those
//!   after the thread's first k operations, for one k.
//! * fsync of a file: k is at least the last operation that changed the file's
//!   names, size or xattrs. fsync of a directory: the last that changed its
//!   entries. fdatasync: the last that changed the file's size. O_SYNC and O_DSYNC
//!   are those two for the file written to. syncfs: everything so far.
//! * Each of them makes the file's data durable, syncfs that of all files. Of a
//!   byte written after that, any value that was there since may be found.
//!
//! Only what was acknowledged to the host counts.

mod generator;
mod judge;
mod look;
#[cfg(test)]
mod real;
mod shared;
mod state;
mod step;

pub use generator::{Generator, Job};
pub use judge::{judge, Verdict, IN_FLIGHT};
pub use look::{look, Found, Tree};
pub use shared::{Member, SHARED};
pub use step::{Action, How, Step, Sync};
