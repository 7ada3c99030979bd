// SPDX-License-Identifier: GPL-2.0
//! Reads what is really there.

use super::shared::{Member, SHARED};
use super::state::Xattrs;
use anyhow::{Context, Result};
use rustix::fs::{lgetxattr, llistxattr};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    File(Vec<u8>),
    Dir,
    Symlink(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub content: Content,
    pub nlink: u64,
    pub xattrs: Xattrs,
}

/// Path below the thread's directory to what is there.
pub type Tree = BTreeMap<String, Found>;

fn xattrs(path: &Path) -> Result<Xattrs> {
    let mut list = vec![0; 4096];
    let len = llistxattr(path, &mut list)?;
    let mut found = Xattrs::new();
    for name in list[..len].split(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(name).into_owned();
        if name.starts_with("user.") {
            let mut value = vec![0; 4096];
            let len = lgetxattr(path, name.as_str(), &mut value)?;
            value.truncate(len);
            found.insert(name, value);
        }
    }
    Ok(found)
}

/// Everything below a thread's directory, and what is a member's in the shared one.
pub fn look(root: &Path, member: Option<Member>) -> Result<Tree> {
    let mut tree = Tree::new();
    let mut todo = vec![String::new()];
    todo.extend(member.map(|_| SHARED.to_owned()));
    while let Some(dir) = todo.pop() {
        let abs = root.join(&dir);
        for item in fs::read_dir(&abs).with_context(|| format!("read {}", abs.display()))? {
            let item = item?;
            let name = item.file_name().to_string_lossy().into_owned();
            if dir == SHARED && !member.is_some_and(|member| member.owns(&name)) {
                continue;
            }
            let path = if dir.is_empty() {
                name
            } else {
                format!("{dir}/{name}")
            };
            let meta = item.metadata().with_context(|| format!("stat {path}"))?;
            let at = item.path();
            let content = if meta.is_dir() {
                todo.push(path.clone());
                Content::Dir
            } else if meta.is_symlink() {
                Content::Symlink(fs::read_link(&at)?.to_string_lossy().into_owned())
            } else {
                Content::File(fs::read(&at).with_context(|| format!("read {path}"))?)
            };
            let found = Found {
                content,
                nlink: meta.nlink(),
                xattrs: xattrs(&at).with_context(|| format!("xattrs of {path}"))?,
            };
            tree.insert(path, found);
        }
    }
    Ok(tree)
}
