// SPDX-License-Identifier: GPL-2.0
//! What the agent in the test machine and the host side share: the protocol,
//! the workloads, and the model that says what a tree must look like after a
//! given number of operations.

pub mod blocks;
pub mod database;
pub mod load;
pub mod model;
pub mod models;
pub mod ops;
pub mod oracle;
pub mod proto;
pub mod ring;
pub mod short;
pub mod stress;
pub mod timed;
pub mod tree;
pub mod workload;
