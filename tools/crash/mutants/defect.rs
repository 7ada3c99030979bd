// SPDX-License-Identifier: GPL-2.0

//! Which of the deliberate defects is switched on. Part of the copy of the format
//! crate that scripts/check-crash makes, and of no other.

extern crate std;

use std::string::String;
use std::sync::OnceLock;

/// Whether the defect called `name` is the one that the environment asks for.
pub(super) fn on(name: &str) -> bool {
    static CHOSEN: OnceLock<String> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| std::env::var("BYTELOG_DEFECT").unwrap_or_default());
    chosen == name
}
