// SPDX-License-Identifier: GPL-2.0
//! Workloads: sequences of operations, each with its fsync, made from a seed.
//! Host and guest derive the same sequence, so it is never sent.

use crate::blocks::{How, BLOCK};
use crate::model::Model;
use crate::ops::Op;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Every kind of operation, at random. Some lead to a full commit.
    Mixed,
    /// The same without those: no mkdir, no truncate.
    Fast,
    /// New files with contents, fsynced one by one.
    Files,
    /// Appends of `size` bytes to one file.
    Append,
    /// Empty files.
    Create,
    /// Files that exist before, renamed.
    Rename,
    /// Files that exist before, unlinked.
    Unlink,
    /// Directories with a file in each, made durable by fast commits.
    Mkdir,
    /// Directories that exist before, removed.
    Rmdir,
    /// Files that get their name when their contents are there.
    Tmpfile,
    /// Files unlinked and synced while they are open.
    UnlinkOpen,
    /// Two blocks preallocated for an empty file, then written one by one. After
    /// replay ext4, stock or not, takes the second for unwritten: it reads as zeros.
    Prealloc,
    /// Whole blocks of a few files: most overwrite one, and so change no mapping, the
    /// others append one.
    Blocks,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub kind: Kind,
    pub seed: u64,
    pub ops: u64,
    /// Bytes per write, where the kind has writes of one size.
    pub size: usize,
    /// Every name begins with this, so that workloads can share a directory.
    pub prefix: String,
    /// Now and then the directory is synced instead of a file, in a full commit.
    pub sync_dirs: bool,
    /// How [`Kind::Blocks`] writes.
    pub how: How,
    /// Rest between two operations.
    pub pause_us: u64,
}

/// Most files that a mixed workload keeps, and the largest size of each.
const MAX_FILES: usize = 120;
const MAX_SIZE: usize = 48 << 10;

/// Files of a workload of blocks, and the most blocks that each has.
const BLOCK_FILES: u64 = 4;
const MAX_BLOCKS: usize = 64;

pub struct Generator {
    spec: Spec,
    rng: fastrand::Rng,
    model: Model,
    next: u64,
}

impl Spec {
    pub fn new(kind: Kind, seed: u64, ops: u64) -> Self {
        Self {
            kind,
            seed,
            ops,
            size: 100,
            prefix: String::new(),
            sync_dirs: false,
            how: How::default(),
            pause_us: 0,
        }
    }

    pub fn size(mut self, size: usize) -> Self {
        self.size = size;
        self
    }

    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    pub fn how(mut self, how: How) -> Self {
        self.how = how;
        self
    }

    pub fn sync_dirs(mut self) -> Self {
        self.sync_dirs = true;
        self
    }

    /// Operations done and synced before the workload begins.
    pub fn setup(&self) -> Vec<Op> {
        let create = |path: String| Op::Create {
            path,
            sync_dir: false,
        };
        let mut ops = vec![create(self.anchor())];
        match self.kind {
            Kind::Rename | Kind::Unlink | Kind::UnlinkOpen => {
                ops.extend((1..=self.ops).map(|i| create(format!("{}old{i}", self.prefix))));
            }
            Kind::Rmdir => ops.extend((1..=self.ops).map(|i| Op::Mkdir {
                path: format!("{}old{i}", self.prefix),
                file: None,
            })),
            Kind::Append => ops.push(create(format!("{}log", self.prefix))),
            Kind::Blocks => ops.extend((0..BLOCK_FILES).flat_map(|i| {
                let path = format!("{}data{i}", self.prefix);
                let contents = Op::Append {
                    path: path.clone(),
                    len: 8 * BLOCK,
                    tag: self.seed ^ i,
                };
                [create(path), contents]
            })),
            _ => {}
        }
        ops
    }

    /// A file that no operation changes: it is touched and synced where the
    /// operation leaves no file to sync.
    fn anchor(&self) -> String {
        format!("{}anchor", self.prefix)
    }

    /// The model after [`Spec::setup`], and the operations from there.
    pub fn start(&self) -> Result<Generator> {
        let mut model = Model::new();
        for op in self.setup() {
            model.apply(&op)?;
        }
        Ok(Generator {
            spec: self.clone(),
            rng: fastrand::Rng::with_seed(self.seed),
            model,
            next: 1,
        })
    }
}

impl Generator {
    /// The state that the operations so far have led to.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The next operation, already applied to the model; the second part is the
    /// file whose contents it changed.
    pub fn step(&mut self) -> Result<Option<(Op, Option<usize>)>> {
        if self.next > self.spec.ops {
            return Ok(None);
        }
        let i = self.next;
        self.next += 1;
        let p = self.spec.prefix.clone();
        let op = match self.spec.kind {
            Kind::Mixed | Kind::Fast => self.mixed(i),
            Kind::Files if i % 2 == 1 => Op::Create {
                path: format!("{p}file{i}"),
                sync_dir: false,
            },
            Kind::Files => Op::Append {
                path: format!("{p}file{}", i - 1),
                len: self.spec.size,
                tag: self.tag(i),
            },
            Kind::Append => Op::Append {
                path: format!("{p}log"),
                len: self.spec.size,
                tag: self.tag(i),
            },
            Kind::Create => Op::Create {
                path: format!("{p}new{i}"),
                sync_dir: false,
            },
            Kind::Rename => Op::Rename {
                from: format!("{p}old{i}"),
                to: format!("{p}moved{i}"),
            },
            Kind::Unlink => Op::Unlink {
                path: format!("{p}old{i}"),
                touch: self.spec.anchor(),
            },
            Kind::Mkdir => Op::Mkdir {
                path: format!("{p}dir{i}"),
                file: Some(format!("{p}dir{i}/file")),
            },
            Kind::Rmdir => Op::Rmdir {
                path: format!("{p}old{i}"),
                touch: self.spec.anchor(),
            },
            Kind::Prealloc => self.prealloc(i),
            Kind::Blocks => self.block(i)?,
            Kind::Tmpfile => Op::Tmpfile {
                path: format!("{p}named{i}"),
                len: self.spec.size,
                tag: self.tag(i),
            },
            Kind::UnlinkOpen => Op::UnlinkOpen {
                path: format!("{p}old{i}"),
            },
        };
        let touched = self
            .model
            .apply(&op)
            .with_context(|| format!("operation {i}: {op:?}"))?;
        Ok(Some((op, touched)))
    }

    fn tag(&self, i: u64) -> u64 {
        self.spec.seed ^ i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// A name that is not there yet, in a random directory.
    fn fresh(&mut self, stem: &str, i: u64) -> String {
        let mut dirs: Vec<&str> = vec![""];
        dirs.extend(self.model.dirs());
        let dir = dirs[self.rng.usize(..dirs.len())];
        let p = &self.spec.prefix;
        if dir.is_empty() {
            format!("{p}{stem}{i}")
        } else {
            format!("{dir}/{stem}{i}")
        }
    }

    fn pick(&mut self) -> Option<String> {
        let anchor = self.spec.anchor();
        let files: Vec<&str> = self.model.files().filter(|f| *f != anchor).collect();
        if files.is_empty() {
            return None;
        }
        Some(files[self.rng.usize(..files.len())].to_owned())
    }

    fn prealloc(&self, i: u64) -> Op {
        let path = format!("{}pre{}", self.spec.prefix, (i - 1) / 4);
        let tag = self.tag(i);
        match i % 4 {
            1 => Op::Create {
                path,
                sync_dir: false,
            },
            2 => Op::Fallocate { path, len: 4200 },
            3 => Op::Overwrite {
                path,
                off: 3000,
                len: 200,
                tag,
            },
            _ => Op::Append {
                path,
                len: 500,
                tag,
            },
        }
    }

    fn block(&mut self, i: u64) -> Result<Op> {
        let path = format!("{}data{}", self.spec.prefix, self.rng.u64(..BLOCK_FILES));
        let blocks = self.model.len_of(&path)? / BLOCK;
        let append = blocks < MAX_BLOCKS && self.rng.u32(..4) == 0;
        Ok(Op::Block {
            path,
            block: if append {
                blocks
            } else {
                self.rng.usize(..blocks)
            },
            tag: self.tag(i),
            how: self.spec.how,
        })
    }

    fn mixed(&mut self, i: u64) -> Op {
        let sync_dir = self.spec.sync_dirs && i % 3 == 0;
        let create = |path| Op::Create { path, sync_dir };
        let Some(path) = self.pick() else {
            return create(self.fresh("f", i));
        };
        let touch = self.spec.anchor();
        let len = self.model.len_of(&path).unwrap_or(0);
        if self.model.files().count() > MAX_FILES || len > MAX_SIZE {
            return Op::Unlink { path, touch };
        }
        let tag = self.tag(i);
        // The last two make stock ext4 commit in full.
        let choices = if self.spec.kind == Kind::Fast {
            97
        } else {
            100
        };
        match self.rng.u32(0..choices) {
            0..22 => create(self.fresh("f", i)),
            22..47 => Op::Append {
                path,
                len: self.rng.usize(100..4000),
                tag,
            },
            47..60 if len > 0 => {
                let off = self.rng.usize(0..len);
                Op::Overwrite {
                    path,
                    off,
                    len: self.rng.usize(1..=(len - off).min(5000)),
                    tag,
                }
            }
            60..68 => Op::Rename {
                from: path,
                to: self.fresh("r", i),
            },
            68..71 => match self.pick() {
                // Onto another file. Two names of one file would be a no-op.
                Some(to) if self.model.node(&to) != self.model.node(&path) => {
                    Op::Rename { from: path, to }
                }
                _ => create(self.fresh("f", i)),
            },
            71..77 => Op::Link {
                from: path,
                to: self.fresh("l", i),
            },
            77..84 => Op::Unlink { path, touch },
            // Not for an empty file: see Kind::Prealloc.
            84..97 if len > 0 => Op::Fallocate {
                path,
                len: len + self.rng.usize(1..5000),
            },
            97..99 if len > 0 => Op::Truncate {
                path,
                len: self.rng.usize(0..len + 2000),
            },
            99..100 => Op::Mkdir {
                path: self.fresh("d", i),
                file: None,
            },
            _ => create(self.fresh("f", i)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(spec: &Spec) -> (Vec<Op>, Model) {
        let mut gen = spec.start().unwrap();
        let mut ops = Vec::new();
        while let Some((op, _)) = gen.step().unwrap() {
            ops.push(op);
        }
        (ops, gen.model.clone())
    }

    #[test]
    fn same_seed_same_sequence() {
        let spec = Spec::new(Kind::Mixed, 11, 600);
        assert_eq!(all(&spec).0, all(&spec).0);
        assert_ne!(all(&spec).0, all(&Spec::new(Kind::Mixed, 12, 600)).0);
    }

    #[test]
    fn a_real_directory_ends_as_the_model_says() {
        for kind in [
            Kind::Mixed,
            Kind::Files,
            Kind::Rename,
            Kind::Unlink,
            Kind::Rmdir,
        ] {
            let spec = Spec::new(kind, 5, 400);
            let dir = std::env::temp_dir().join(format!("bytelog-{}-{kind:?}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            let (ops, model) = all(&spec);
            for op in spec.setup().iter().chain(&ops) {
                crate::ops::sync(&op.run(&dir).unwrap()).unwrap();
            }
            let mut seen = crate::tree::walk(&dir).unwrap();
            let mut want = model.tree();
            std::fs::remove_dir_all(&dir).unwrap();
            // Not every host filesystem counts subdirectories as links.
            for tree in [&mut seen, &mut want] {
                tree.values_mut()
                    .filter(|e| e.dir)
                    .for_each(|e| e.nlink = 0);
            }
            assert_eq!(seen, want);
        }
    }
}
