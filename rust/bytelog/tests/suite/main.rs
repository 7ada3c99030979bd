// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Tests of the format crate through its public interface.

#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod checks;
mod common;
mod corrupt;
mod crash;
mod damage;
mod features;
mod golden;
mod hostile;
mod legacy;
mod roundtrip;
mod sim;
mod text;
mod tlv;
mod translate;
mod v1;
mod writer;
