// SPDX-License-Identifier: GPL-2.0

//! Tests of the `bytelog` command over filesystems that mke2fs makes and e2fsck checks.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod backup;
mod common;
mod completions;
mod cuts;
mod errors;
mod export;
mod external;
mod feature;
mod fixture;
mod forge;
mod fsck;
mod fsck_ext4;
mod fuzz;
mod fuzz_commands;
mod golden;
mod locks;
mod output;
mod partition;
mod ram;
mod replay;
mod replayed;
mod replayed_fuzz;
mod replayed_salvage;
mod reuse;
mod said;
mod salvage;
mod snapshots;
mod stale;
mod stat;
mod terminal;
mod tree;
#[path = "../../../../rust/bytelog/tests/suite/v1.rs"]
#[allow(dead_code)]
mod v1;
