// SPDX-License-Identifier: GPL-2.0
//! The tests that need a machine.

use crate::config::VmConfig;
use anyhow::Result;

pub fn list() {}

pub fn run(_: &VmConfig, _: Option<&str>, _: u64, _: Option<&str>) -> Result<bool> {
    println!("0 passed, 0 failed");
    Ok(true)
}
