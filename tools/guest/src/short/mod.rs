// SPDX-License-Identifier: GPL-2.0
//! Every short workload: sequences of one to three operations, each with a way to be
//! synced, numbered; what a tree looks like, whole; and whether what a power cut left
//! is what the syncs promised.

mod act;
mod job;
mod judge;
mod look;
mod ops;
mod space;
mod start;
mod track;

pub use act::Held;
pub use job::{Failure, Job, Kind, Report, Times};
pub use judge::{judge, same, Verdict};
pub use look::{look, Extent, Node, State};
pub use ops::{Op, Step, Sync, OPS, SYNCS};
pub use space::{Space, Workload};
pub use start::{Start, STARTS};
pub use track::{Commit, Promise, Track};
