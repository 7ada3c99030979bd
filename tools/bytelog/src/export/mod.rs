// SPDX-License-Identifier: GPL-2.0

//! A ByteLog rewritten as conventional fast-commit blocks, so that a power cut at any
//! point leaves the one or the other.
//!
//! The log cannot be overwritten where it stands: its opener and the first
//! conventional block share a place. But the journal's superblock says how many blocks
//! are set aside for fast commits, and so where the area begins; and it says where
//! recovery begins in the ring. All of that, with its checksum, is in one sector. So
//! each step prepares something that nobody looks at yet, makes it durable, and then
//! switches to it with one write of that sector:
//!
//! 1. *Home.* What the ring's transactions write is written, as recovery does it, and
//!    inodes that nobody uses are cleared where the log needs that ([`reuse`]). Only
//!    the filesystem's superblock, which is in most journals and would bring the
//!    feature bit back, goes into a new transaction instead, in a free part of the
//!    ring. The switch makes that the only one. It has the number of the one before the
//!    log's, so that recovery goes on to expect the same.
//! 2. *Over.* The conventional blocks are written to a free place: the end of the ring,
//!    or the end of the area behind the log. Behind them a [`note`] tells how large the
//!    area was. Another such transaction is written, with the feature bit cleared. The
//!    switch moves both: the area begins at the conventional blocks.
//! 3. *Back.* The same blocks are written where the area began before, and the switch
//!    gives it its old size.
//! 4. The feature bit is cleared in the filesystem's superblock, without touching the
//!    sector that has its checksum. Recovery replaces it by the one of step 2.
//!
//! A log with feature bits holds what stock replay cannot do. It is replayed here
//! ([`apply`](crate::apply)), and what it changes goes into the ring as a transaction of
//! blocks ([`replayed`]), with the log's own number: once that is what the journal begins
//! with, the log is redundant.
//!
//! A cut leaves the ByteLog up to the switch of step 2, and the conventional log after
//! it. Up to step 4 the bit keeps stock tools away, unless the filesystem was mounted
//! with `force`. Another export completes what was cut.
//!
//! What has neither the bit nor anything of ours in its journal is left alone.

mod exported;
pub mod home;
pub mod note;
pub mod plan;
mod prepare;
pub mod replayed;
pub mod reuse;
pub mod salvage;
mod steps;
mod switch;

pub use exported::{Exported, How, Salvage};
pub use steps::{export, export_as};
