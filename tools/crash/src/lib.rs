// SPDX-License-Identifier: GPL-2.0

//! Crash-state checker: runs the format crate's own writer over a simulated
//! persistent memory, builds the images that a power cut could leave at every step,
//! and has the format crate's own reader read them.
//!
//! [`driver`] records what the writer does as a [`trace`]; [`checker`] follows a
//! trace with a [`memory`] and an [`oracle`] and builds the [`images`];
//! [`explore`] does that for all short [`workload`]s and for random ones. What is
//! [`kernel`] does the same with a trace of a running kernel. What is
//! checked, and what is not: Documentation/testing/crash-states.rst.

// Offsets here come from the checker's own simulation, in memory it has made; a
// wrong one is a bug of the checker that has to be seen.
#![allow(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod checker;
mod damage;
pub mod driver;
pub mod explore;
pub mod images;
pub mod kernel;
pub mod memory;
pub mod oracle;
pub mod recorder;
pub mod report;
pub mod text;
pub mod tlvs;
pub mod trace;
pub mod workload;
