// SPDX-License-Identifier: GPL-2.0
//! The model: names, contents and link counts after each operation.

use crate::blocks::BLOCK;
use crate::ops::{fill, parent, Op};
use crate::tree::{content_hash, Entry, Tree};
use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
struct File {
    data: Vec<u8>,
    hash: u64,
    nlink: u64,
}

/// A file or a directory, by a number that survives renames.
pub type NodeId = usize;

#[derive(Debug, Clone)]
enum Node {
    Dir { subdirs: u64 },
    File(File),
}

impl Node {
    fn empty_file() -> Self {
        Node::File(File {
            data: Vec::new(),
            hash: content_hash(&[]),
            nlink: 1,
        })
    }
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    nodes: Vec<Node>,
    names: BTreeMap<String, NodeId>,
}

impl Model {
    pub fn new() -> Self {
        Self::default()
    }

    /// Paths of all files, in order; a file with two names is there twice.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.select(false)
    }

    /// Paths of all directories below the root, in order.
    pub fn dirs(&self) -> impl Iterator<Item = &str> {
        self.select(true)
    }

    fn select(&self, dirs: bool) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .filter(move |(_, id)| matches!(self.nodes[**id], Node::Dir { .. }) == dirs)
            .map(|(path, _)| path.as_str())
    }

    pub fn exists(&self, path: &str) -> bool {
        self.names.contains_key(path)
    }

    pub fn node(&self, path: &str) -> Option<NodeId> {
        self.names.get(path).copied()
    }

    /// Length of a file.
    pub fn len_of(&self, path: &str) -> Result<usize> {
        match self.nodes.get(self.id(path)?) {
            Some(Node::File(file)) => Ok(file.data.len()),
            _ => bail!("{path} is a directory"),
        }
    }

    fn id(&self, path: &str) -> Result<NodeId> {
        self.node(path).with_context(|| format!("no {path}"))
    }

    fn file_mut(&mut self, path: &str) -> Result<&mut File> {
        let id = self.id(path)?;
        match self.nodes.get_mut(id) {
            Some(Node::File(file)) => Ok(file),
            _ => bail!("{path} is a directory"),
        }
    }

    fn edit(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<NodeId> {
        let file = self.file_mut(path)?;
        change(&mut file.data);
        file.hash = content_hash(&file.data);
        self.id(path)
    }

    fn overwrite(&mut self, path: &str, off: usize, new: &[u8]) -> Result<NodeId> {
        self.edit(path, |data| {
            let end = (off + new.len()).max(data.len());
            data.resize(end, 0);
            data[off..off + new.len()].copy_from_slice(new);
        })
    }

    fn add(&mut self, path: &str, node: Node) -> Result<()> {
        if self.exists(path) {
            bail!("{path} exists");
        }
        self.names.insert(path.to_owned(), self.nodes.len());
        self.nodes.push(node);
        Ok(())
    }

    fn drop_name(&mut self, path: &str) -> Result<()> {
        self.file_mut(path)?.nlink -= 1;
        self.names.remove(path);
        Ok(())
    }

    fn subdirs_of(&mut self, path: &str) -> Option<&mut u64> {
        let id = self.node(path)?;
        match self.nodes.get_mut(id)? {
            Node::Dir { subdirs } => Some(subdirs),
            Node::File(_) => None,
        }
    }

    /// Applies an operation; returns the file whose contents it changed.
    pub fn apply(&mut self, op: &Op) -> Result<Option<NodeId>> {
        match op {
            Op::Create { path, .. } => self.add(path, Node::empty_file())?,
            Op::Append { path, len, tag } => {
                return self
                    .edit(path, |data| data.extend(fill(*tag, *len)))
                    .map(Some);
            }
            Op::Overwrite {
                path,
                off,
                len,
                tag,
            } => {
                return self.overwrite(path, *off, &fill(*tag, *len)).map(Some);
            }
            Op::Block {
                path, block, tag, ..
            } => {
                let data = fill(*tag, BLOCK);
                return self.overwrite(path, block * BLOCK, &data).map(Some);
            }
            Op::Truncate { path, len } => {
                return self.edit(path, |data| data.resize(*len, 0)).map(Some);
            }
            Op::Fallocate { path, len } => {
                return self
                    .edit(path, |data| data.resize((*len).max(data.len()), 0))
                    .map(Some);
            }
            Op::Rename { from, to } => {
                let id = self.id(from)?;
                if self.exists(to) {
                    self.drop_name(to)?;
                }
                self.names.remove(from);
                self.names.insert(to.clone(), id);
            }
            Op::Tmpfile { path, len, tag } => {
                self.add(path, Node::empty_file())?;
                return self.edit(path, |data| *data = fill(*tag, *len)).map(Some);
            }
            Op::Link { from, to } => {
                let id = self.id(from)?;
                self.file_mut(from)?.nlink += 1;
                self.names.insert(to.clone(), id);
            }
            Op::Unlink { path, .. } | Op::UnlinkOpen { path } => self.drop_name(path)?,
            Op::Mkdir { path, file } => {
                self.add(path, Node::Dir { subdirs: 0 })?;
                if let Some(file) = file {
                    self.add(file, Node::empty_file())?;
                }
                if let Some(subdirs) = self.subdirs_of(parent(path)) {
                    *subdirs += 1;
                }
            }
            Op::Rmdir { path, .. } => {
                if self.subdirs_of(path) != Some(&mut 0) {
                    bail!("{path} is no empty directory");
                }
                self.names.remove(path);
                if let Some(subdirs) = self.subdirs_of(parent(path)) {
                    *subdirs -= 1;
                }
            }
        }
        Ok(None)
    }

    /// What a name looks like.
    pub fn entry(&self, id: NodeId) -> Entry {
        match &self.nodes[id] {
            Node::Dir { subdirs } => Entry {
                dir: true,
                size: 0,
                nlink: 2 + subdirs,
                hash: 0,
            },
            Node::File(file) => Entry {
                dir: false,
                size: file.data.len() as u64,
                nlink: file.nlink,
                hash: file.hash,
            },
        }
    }

    /// All names with the file or directory each stands for.
    pub fn entries(&self) -> impl Iterator<Item = (&str, NodeId)> {
        self.names.iter().map(|(path, id)| (path.as_str(), *id))
    }

    pub fn tree(&self) -> Tree {
        self.entries()
            .map(|(path, id)| (path.to_owned(), self.entry(id)))
            .collect()
    }
}
