// SPDX-License-Identifier: GPL-2.0

//! Files that a command makes, which go again if it cannot finish.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// A file that was not there before.
pub struct NewFile {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl NewFile {
    /// Makes the file `path`, which must not exist.
    pub fn create(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(path);
        let name = path.display().to_string();
        Ok(Self {
            file: file.map_err(|error| Error::open(&name, &error))?,
            path: path.to_owned(),
            kept: false,
        })
    }

    /// To write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its name, for messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// It is to stay.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            // What went wrong is being told already.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// An error if both are to be the same file.
pub fn apart(to: &Path, journal_to: Option<&Path>) -> Result<()> {
    match journal_to {
        Some(other) if other == to => Err(Error::usage(
            &to.display().to_string(),
            "filesystem and journal cannot go to the same file",
        )
        .remedy("name another one with --journal-to")),
        _ => Ok(()),
    }
}
