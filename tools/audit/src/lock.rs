// SPDX-License-Identifier: GPL-2.0

//! `Cargo.lock`.

use anyhow::{Context, Result};
use semver::Version;
use serde::Deserialize;

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

/// A crate in the lock file.
#[derive(Clone, Debug, Deserialize)]
pub struct Locked {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// Where it is from; `None` for the members of the workspace.
    pub source: Option<String>,
}

/// The crates of a lock file with this text.
pub fn parse(text: &str) -> Result<Vec<Locked>> {
    let lock: Lock = toml::from_str(text).context("the lock file")?;
    Ok(lock.package)
}
