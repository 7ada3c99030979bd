// SPDX-License-Identifier: GPL-2.0
//! How far the whole has come.

use super::tally::Tally;
use anyhow::{Context, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The next position of the plan, and what all before it came to.
#[derive(Debug, Default)]
pub struct Record {
    path: Option<PathBuf>,
    pub next: u64,
    pub tally: Tally,
}

impl Record {
    /// Reads a record, which need not be there yet. Without a path nothing is kept.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let mut record = Self {
            path: path.map(Path::to_owned),
            ..Self::default()
        };
        let Some(path) = path else {
            return Ok(record);
        };
        match fs::read_to_string(path) {
            Ok(text) => {
                (record.next, record.tally) = serde_json::from_str(&text)
                    .with_context(|| format!("{}: remove it to start over", path.display()))?;
            }
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            Err(err) => return Err(err).with_context(|| path.display().to_string()),
        }
        Ok(record)
    }

    /// So many more workloads are done.
    pub fn note(&mut self, workloads: u64) -> Result<()> {
        self.next += workloads;
        if let Some(path) = &self.path {
            // Whole or not at all, if the run is interrupted.
            let new = path.with_extension("new");
            fs::write(&new, serde_json::to_vec(&(self.next, &self.tally))?)
                .and_then(|()| fs::rename(&new, path))
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}
