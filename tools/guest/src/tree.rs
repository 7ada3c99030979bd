// SPDX-License-Identifier: GPL-2.0
//! What a directory tree looks like: read from a mount, or said by the model.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub dir: bool,
    /// Bytes of a file; 0 for a directory, whose size is the filesystem's own affair.
    pub size: u64,
    pub nlink: u64,
    /// Hash of a file's contents; 0 for a directory.
    pub hash: u64,
}

/// Path below the mount point to what is there.
pub type Tree = BTreeMap<String, Entry>;

pub fn content_hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Reads the tree below `root`, without `lost+found`.
pub fn walk(root: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut todo = vec![String::new()];
    while let Some(dir) = todo.pop() {
        let abs = root.join(&dir);
        let list = fs::read_dir(&abs).with_context(|| format!("read {}", abs.display()))?;
        for item in list {
            let item = item?;
            let name = item.file_name().to_string_lossy().into_owned();
            if dir.is_empty() && name == "lost+found" {
                continue;
            }
            let path = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            let meta = item.metadata().with_context(|| format!("stat {path}"))?;
            let entry = if meta.is_dir() {
                todo.push(path.clone());
                Entry {
                    dir: true,
                    size: 0,
                    nlink: meta.nlink(),
                    hash: 0,
                }
            } else {
                let bytes = fs::read(item.path()).with_context(|| format!("read {path}"))?;
                Entry {
                    dir: false,
                    size: bytes.len() as u64,
                    nlink: meta.nlink(),
                    hash: content_hash(&bytes),
                }
            };
            tree.insert(path, entry);
        }
    }
    Ok(tree)
}
