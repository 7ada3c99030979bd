// SPDX-License-Identifier: GPL-2.0
//! What has been run, one line a test and mode, so that a run that was interrupted
//! goes on where it was.

use super::counts::Counts;
use super::output::Outcome;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How the filesystems under test are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Stock ext4 with its own fast commits.
    Stock,
    /// `dax_fc_bytelog=on`.
    On,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Stock, Self::On];

    pub fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::On => "on",
        }
    }
}

/// One test, run once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub test: String,
    pub mode: Mode,
    pub outcome: Outcome,
    /// Seconds that it took, checks of the filesystem included.
    pub seconds: u64,
    pub text: String,
    pub counts: Counts,
}

/// All that is known: the runs of each test in each mode, the latest last.
pub struct Record {
    path: PathBuf,
    runs: BTreeMap<(String, Mode), Vec<Entry>>,
}

impl Record {
    /// Reads a record; one that is not there is empty.
    pub fn open(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(err) if err.kind() == ErrorKind::NotFound => Ok(String::new()),
            text => text.with_context(|| path.display().to_string()),
        }?;
        let mut record = Self {
            path: path.to_owned(),
            runs: BTreeMap::new(),
        };
        // The last line may have been cut short.
        for entry in text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
        {
            record.note(entry);
        }
        Ok(record)
    }

    /// Takes a run in, without writing it down.
    pub fn note(&mut self, entry: Entry) {
        let key = (entry.test.clone(), entry.mode);
        self.runs.entry(key).or_default().push(entry);
    }

    pub fn add(&mut self, entry: Entry) -> Result<()> {
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        file.write_all(&line)
            .with_context(|| self.path.display().to_string())?;
        self.note(entry);
        Ok(())
    }

    /// The runs of a test, the first one first.
    pub fn runs(&self, test: &str, mode: Mode) -> &[Entry] {
        let runs = self.runs.get(&(test.to_owned(), mode));
        runs.map_or(&[], Vec::as_slice)
    }

    /// Where files of this record are kept.
    pub fn dir(&self) -> PathBuf {
        self.path.with_extension("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back() {
        let name = format!("xfstests-record-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let entry = Entry {
            test: "generic/001".into(),
            mode: Mode::On,
            outcome: Outcome::Pass,
            seconds: 3,
            text: String::new(),
            counts: Counts::default(),
        };
        Record::open(&path).unwrap().add(entry.clone()).unwrap();
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"test\":\"gene").unwrap();
        let record = Record::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(record.runs("generic/001", Mode::On), [entry]);
        assert!(record.runs("generic/001", Mode::Stock).is_empty());
    }
}
