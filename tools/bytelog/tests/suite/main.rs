// SPDX-License-Identifier: GPL-2.0

//! Tests of the `bytelog` command over filesystems that mke2fs makes and e2fsck checks.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod fixture;
mod forge;
mod ram;
mod replay;
mod snapshots;
