// SPDX-License-Identifier: GPL-2.0

//! The images in a checkout of e2fsprogs.

use anyhow::{Context, Result};
use bzip2::read::BzDecoder;
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file with one image, or an archive of some.
pub struct Packed {
    /// The test's directory and the file in it.
    pub name: String,
    path: PathBuf,
}

/// Names of files that are images: `image.gz`, `image1024.orig.bz2`, `m_image_mmp`.
fn is_image(name: &str) -> bool {
    let is_packed = [".gz", ".bz2"].iter().any(|end| name.ends_with(end));
    match name {
        "image" | "m_image_mmp" => true,
        _ => name.starts_with("image") && is_packed,
    }
}

/// The images of the checkout at `dir`, by name.
pub fn images(dir: &Path) -> Result<Vec<Packed>> {
    let tests = dir.join("tests");
    let entries = fs::read_dir(&tests).with_context(|| {
        format!(
            "{}: not a checkout of e2fsprogs, which has its tests there",
            tests.display()
        )
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let test = entry?.path();
        if !test.is_dir() {
            continue;
        }
        for file in fs::read_dir(&test)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if !path.is_file() || !name.is_some_and(is_image) {
                continue;
            }
            let name = path.strip_prefix(&tests)?.display().to_string();
            found.push(Packed { name, path });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl Packed {
    /// Its images, each with a name.
    pub fn unpack(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let packed = File::open(&self.path)?;
        let mut reader: Box<dyn Read> = match self.path.extension().and_then(|end| end.to_str()) {
            Some("gz") => Box::new(GzDecoder::new(packed)),
            Some("bz2") => Box::new(BzDecoder::new(packed)),
            _ => Box::new(packed),
        };
        let mut bytes = Vec::new();
        reader
            .read_to_end(&mut bytes)
            .with_context(|| self.name.clone())?;
        if !self.name.ends_with(".tar.bz2") {
            return Ok(vec![(self.name.clone(), bytes)]);
        }
        let mut images = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries()? {
            let mut entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = format!("{}/{}", self.name, entry.path()?.display());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            images.push((name, bytes));
        }
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        for name in ["image.gz", "image", "image.tar.bz2", "image1024.orig.bz2"] {
            assert!(is_image(name), "{name}");
        }
        for name in ["expect.gz", "script", "image.txt", "journal.gz"] {
            assert!(!is_image(name), "{name}");
        }
    }
}
