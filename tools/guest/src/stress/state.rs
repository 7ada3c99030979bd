// SPDX-License-Identifier: GPL-2.0
//! The model of a thread's directory: what each name is after each operation, and
//! what syncs have promised so far.

use super::shared::SHARED;
use super::step::{dirs_of, Action, How, Step, Sync};
use crate::ops::fill;
use anyhow::{bail, ensure, Context, Result};
use std::collections::BTreeMap;

pub type NodeId = usize;
pub type Xattrs = BTreeMap<String, Vec<u8>>;

/// The contents of a file from operation `op` on.
#[derive(Debug, Clone)]
pub struct Version {
    pub op: u64,
    pub data: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub struct File {
    /// Oldest first, never empty.
    pub versions: Vec<Version>,
    /// Operation up to which the data is durable.
    pub durable: u64,
    /// Stores through a mapping that nothing has synced yet.
    mapped: bool,
    /// The last operation that changed the size.
    resized: u64,
}

impl File {
    pub fn data(&self) -> &[u8] {
        self.versions.last().map_or(&[], |version| &version.data)
    }
}

#[derive(Debug, Clone)]
pub enum Kind {
    File(File),
    Dir { subdirs: u64 },
    Symlink(String),
}

#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    pub nlink: u64,
    pub xattrs: Xattrs,
    /// The last operation on what fsync makes durable beside data: names, size,
    /// xattrs; of a directory, entries.
    changed: u64,
}

#[derive(Debug, Clone)]
pub struct State {
    nodes: Vec<Node>,
    names: BTreeMap<String, NodeId>,
    /// Operations that a crash may not undo: that many were promised.
    pub floor: u64,
}

impl Default for State {
    fn default() -> Self {
        let mut state = Self {
            nodes: Vec::new(),
            names: BTreeMap::new(),
            floor: 0,
        };
        for (id, path) in ["", SHARED].into_iter().enumerate() {
            state.nodes.push(Node {
                kind: Kind::Dir { subdirs: 0 },
                nlink: 2,
                xattrs: Xattrs::new(),
                changed: 0,
            });
            state.names.insert(path.to_owned(), id);
        }
        state
    }
}

impl State {
    /// All names but those of the two directories that are there in any case, of which
    /// one is not this thread's alone; in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, NodeId)> {
        let given = ["", SHARED];
        let names = self
            .names
            .iter()
            .filter(move |(path, _)| !given.contains(&path.as_str()));
        names.map(|(path, id)| (path.as_str(), *id))
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub fn id(&self, path: &str) -> Option<NodeId> {
        self.names.get(path).copied()
    }

    /// The file that a path names.
    pub fn file(&self, path: &str) -> Option<&File> {
        match &self.nodes.get(self.id(path)?)?.kind {
            Kind::File(file) => Some(file),
            _ => None,
        }
    }

    fn node_mut(&mut self, path: &str) -> Result<&mut Node> {
        let id = self.id(path).with_context(|| format!("no {path}"))?;
        self.nodes.get_mut(id).with_context(|| format!("no {path}"))
    }

    fn file_mut(&mut self, path: &str) -> Result<&mut File> {
        match &mut self.node_mut(path)?.kind {
            Kind::File(file) => Ok(file),
            _ => bail!("{path} is no file"),
        }
    }

    fn add(&mut self, op: u64, path: &str, kind: Kind) -> Result<()> {
        ensure!(!self.names.contains_key(path), "{path} exists");
        self.names.insert(path.to_owned(), self.nodes.len());
        self.nodes.push(Node {
            nlink: if matches!(kind, Kind::Dir { .. }) {
                2
            } else {
                1
            },
            kind,
            xattrs: Xattrs::new(),
            changed: op,
        });
        Ok(())
    }

    fn drop_name(&mut self, op: u64, path: &str) -> Result<()> {
        let node = self.node_mut(path)?;
        node.nlink -= 1;
        node.changed = op;
        self.names.remove(path);
        Ok(())
    }

    /// The directory `from` has become `to`: so have the names in it.
    fn move_below(&mut self, from: &str, to: &str) {
        let inside = format!("{from}/");
        let moved: Vec<String> = self
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(&inside).map(str::to_owned))
            .collect();
        for rest in moved {
            if let Some(id) = self.names.remove(&format!("{inside}{rest}")) {
                self.names.insert(format!("{to}/{rest}"), id);
            }
        }
    }

    fn subdirs(&mut self, path: &str, add: bool) -> Result<()> {
        let node = self.node_mut(path)?;
        let Kind::Dir { subdirs } = &mut node.kind else {
            bail!("{path} is no directory");
        };
        *subdirs = if add { *subdirs + 1 } else { *subdirs - 1 };
        node.nlink = 2 + *subdirs;
        Ok(())
    }

    fn edit(&mut self, op: u64, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let file = self.file_mut(path)?;
        let mut data = file.data().to_vec();
        let before = data.len();
        change(&mut data);
        let resized = data.len() != before;
        if resized {
            file.resized = op;
        }
        file.versions.push(Version { op, data });
        if resized {
            self.node_mut(path)?.changed = op;
        }
        Ok(())
    }

    /// Applies operation number `op`.
    pub fn apply(&mut self, op: u64, action: &Action) -> Result<()> {
        match action {
            Action::Create { path, .. } => {
                let mut file = File::default();
                file.versions.push(Version {
                    op,
                    data: Vec::new(),
                });
                self.add(op, path, Kind::File(file))?;
            }
            Action::Write {
                path,
                off,
                len,
                tag,
                how,
            } => {
                self.edit(op, path, |data| {
                    data.resize(data.len().max(off + len), 0);
                    data[*off..off + len].copy_from_slice(&fill(*tag, *len));
                })?;
                if *how == How::Mapped {
                    self.file_mut(path)?.mapped = true;
                }
            }
            Action::Truncate { path, len } | Action::Fallocate { path, len } => {
                self.edit(op, path, |data| data.resize(*len, 0))?;
            }
            Action::Punch { path, off, len } => self.edit(op, path, |data| {
                let end = (off + len).min(data.len());
                data[*off..end].fill(0);
            })?,
            Action::Rename { from, to } => {
                let id = self.id(from).with_context(|| format!("no {from}"))?;
                if self.names.contains_key(to) {
                    self.drop_name(op, to)?;
                }
                self.node_mut(from)?.changed = op;
                self.names.remove(from);
                self.names.insert(to.clone(), id);
                if matches!(self.node(id).kind, Kind::Dir { .. }) {
                    self.move_below(from, to);
                    self.subdirs(crate::ops::parent(from), false)?;
                    self.subdirs(crate::ops::parent(to), true)?;
                }
            }
            Action::Link { from, to } => {
                let node = self.node_mut(from)?;
                node.nlink += 1;
                node.changed = op;
                let id = self.id(from).with_context(|| format!("no {from}"))?;
                self.names.insert(to.clone(), id);
            }
            Action::Unlink { path } => self.drop_name(op, path)?,
            Action::Symlink { path, target } => {
                self.add(op, path, Kind::Symlink(target.clone()))?;
            }
            Action::Mkdir { path } => {
                self.add(op, path, Kind::Dir { subdirs: 0 })?;
                self.subdirs(crate::ops::parent(path), true)?;
            }
            Action::Rmdir { path } => {
                self.names.remove(path);
                self.subdirs(crate::ops::parent(path), false)?;
            }
            Action::SetXattr {
                path,
                name,
                len,
                tag,
            } => {
                let node = self.node_mut(path)?;
                node.xattrs.insert(name.clone(), fill(*tag, *len));
                node.changed = op;
            }
            Action::RemoveXattr { path, name } => {
                let node = self.node_mut(path)?;
                node.xattrs.remove(name);
                node.changed = op;
            }
        }
        for dir in dirs_of(action) {
            self.node_mut(dir)?.changed = op;
        }
        Ok(())
    }

    /// Step number `op`, applied before, has been acknowledged: notes what its
    /// sync has promised.
    pub fn acknowledged(&mut self, op: u64, step: &Step) -> Result<()> {
        if let Action::Write { path, how, .. } = &step.action {
            match how {
                How::Sync => self.promise(path, op, false, true)?,
                How::Dsync => self.promise(path, op, true, true)?,
                _ => {}
            }
        }
        match &step.sync {
            Sync::None => {}
            Sync::File(path) => self.promise(path, op, false, false)?,
            Sync::Data(path) => self.promise(path, op, true, false)?,
            Sync::Dir(path) => self.floor = self.floor.max(self.node_mut(path)?.changed),
            Sync::All => {
                self.floor = op;
                for node in &mut self.nodes {
                    if let Kind::File(file) = &mut node.kind {
                        file.durable = op;
                        file.mapped = false;
                    }
                }
            }
        }
        Ok(())
    }

    /// A sync of one file. `range_only`: of the bytes just written, so that stores
    /// through a mapping stay as they are.
    fn promise(&mut self, path: &str, op: u64, data_only: bool, range_only: bool) -> Result<()> {
        let node = self.node_mut(path)?;
        let changed = node.changed;
        let Kind::File(file) = &mut node.kind else {
            bail!("{path} is no file");
        };
        if !range_only {
            file.mapped = false;
        }
        if !file.mapped {
            file.durable = op;
        }
        let reached = if data_only { file.resized } else { changed };
        self.floor = self.floor.max(reached);
        Ok(())
    }
}
