// SPDX-License-Identifier: GPL-2.0

//! Sources, licences and advisories of the crates in `Cargo.lock`.
//!
//! This reads `deny.toml` as cargo-deny does, which itself needs a network, and several
//! hundred crates to be built.

pub mod advisories;
pub mod licences;
pub mod lock;
pub mod policy;
