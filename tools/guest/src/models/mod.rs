// SPDX-License-Identifier: GPL-2.0
//! Models of programs that make files durable: the system calls of each, without the
//! rest of it. And SQLite itself, which the agent is linked with.
//!
//! A model is run as a program of its own, `bytelog-guest model NAME DIRECTORY`, behind
//! which is `prepare` or `run OPERATIONS`. It has no chance in it: the same arguments
//! give the same system calls.

mod attributes;
mod data;
mod names;

use crate::database::{self, Inserts};
use crate::ops::fill;
use anyhow::{bail, Context, Result};
use rustix::fs::{fdatasync, fsync, syncfs};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// The agent's first argument where it is a model.
pub const ARGUMENT: &str = "model";

/// Rows that a database has before it is measured.
const ROWS: u64 = 20;

/// A program, or a model of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    SqliteDelete,
    SqliteWal,
    SqliteTruncate,
    SqlitePersist,
    /// A mail server of small files, as filebench has it.
    Varmail,
    /// Deliveries into a maildir.
    Maildir,
    /// An editor that saves: a new file is renamed over the old one.
    Editor,
    /// New files with a label.
    Selinux,
    /// New files that inherit an ACL.
    Acl,
    /// Attributes of files are set, changed and removed.
    XattrSet,
    /// Transactions of a B+ tree that is written at new places, as bbolt's.
    Bbolt,
    /// A log with its tables and their list, as RocksDB has them.
    Rocksdb,
    /// 16 blocks of a sparse file at random.
    RandomWrite16,
    /// Records at the end of a log.
    AppendLog,
    /// A file becomes shorter and longer.
    Truncate,
    /// Directories, each with a file.
    MkdirTree,
    /// Layers of containers' images are unpacked.
    SymlinkTree,
    /// A log is written beside a file that has no name any more.
    UnlinkedOpen,
    /// Files get their first name when they are whole.
    TmpfileLink,
}

impl Model {
    /// All, in the order of reports.
    pub const ALL: [Self; 19] = [
        Self::SqliteDelete,
        Self::SqliteWal,
        Self::SqliteTruncate,
        Self::SqlitePersist,
        Self::Varmail,
        Self::Maildir,
        Self::Editor,
        Self::Selinux,
        Self::Acl,
        Self::XattrSet,
        Self::Bbolt,
        Self::Rocksdb,
        Self::RandomWrite16,
        Self::AppendLog,
        Self::Truncate,
        Self::MkdirTree,
        Self::SymlinkTree,
        Self::UnlinkedOpen,
        Self::TmpfileLink,
    ];

    /// The name in tables and in workloads.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::SqliteDelete => "sqlite_delete",
            Self::SqliteWal => "sqlite_wal",
            Self::SqliteTruncate => "sqlite_truncate",
            Self::SqlitePersist => "sqlite_persist",
            Self::Varmail => "varmail",
            Self::Maildir => "maildir",
            Self::Editor => "editor",
            Self::Selinux => "selinux",
            Self::Acl => "acl",
            Self::XattrSet => "xattr_set",
            Self::Bbolt => "bbolt",
            Self::Rocksdb => "rocksdb",
            Self::RandomWrite16 => "random_write_16",
            Self::AppendLog => "append_log",
            Self::Truncate => "truncate",
            Self::MkdirTree => "mkdir_tree",
            Self::SymlinkTree => "symlink_tree",
            Self::UnlinkedOpen => "unlinked_open",
            Self::TmpfileLink => "tmpfile_link",
        }
    }

    /// The journal of SQLite, if this is SQLite.
    fn database(self) -> Option<database::Mode> {
        match self {
            Self::SqliteDelete => Some(database::Mode::Delete),
            Self::SqliteWal => Some(database::Mode::Wal),
            Self::SqliteTruncate => Some(database::Mode::Truncate),
            Self::SqlitePersist => Some(database::Mode::Persist),
            _ => None,
        }
    }

    /// Makes what has to be there beforehand, in a directory that is made if need be.
    pub fn prepare(self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        if let Some(mode) = self.database() {
            return Inserts::create(mode, dir)?.run(ROWS);
        }
        match self {
            Self::Varmail => names::prepare_varmail(dir),
            Self::Maildir => names::prepare_maildir(dir),
            Self::Editor => names::prepare_editor(dir),
            Self::Acl => attributes::prepare_acl(dir),
            Self::XattrSet => attributes::prepare_xattr_set(dir),
            Self::Bbolt => data::prepare_bbolt(dir),
            Self::Rocksdb => data::prepare_rocksdb(dir),
            Self::RandomWrite16 => data::prepare_random_write(dir),
            _ => Ok(()),
        }
    }

    /// Makes so many operations; returns the calls that make something durable, or
    /// nothing where SQLite makes them.
    pub fn run(self, dir: &Path, ops: u64) -> Result<Option<u64>> {
        if let Some(mode) = self.database() {
            Inserts::create(mode, dir)?.run(ops)?;
            return Ok(None);
        }
        let mut syncs = Syncs::default();
        let run = match self {
            Self::Maildir => names::maildir,
            Self::Editor => names::editor,
            Self::MkdirTree => names::mkdir_tree,
            Self::SymlinkTree => attributes::symlink_tree,
            Self::TmpfileLink => names::tmpfile_link,
            Self::Selinux => attributes::selinux,
            Self::Acl => attributes::acl,
            Self::XattrSet => attributes::xattr_set,
            Self::Bbolt => data::bbolt,
            Self::Rocksdb => data::rocksdb,
            Self::RandomWrite16 => data::random_write,
            Self::AppendLog => data::append_log,
            Self::Truncate => data::truncate,
            Self::UnlinkedOpen => data::unlinked_open,
            _ => names::varmail,
        };
        run(dir, ops, &mut syncs)?;
        Ok(Some(syncs.0))
    }
}

/// What a model prints when it has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Calls that made something durable, where they can be counted.
    pub fsyncs: Option<u64>,
}

/// Makes files durable, and counts.
#[derive(Debug, Default)]
struct Syncs(u64);

impl Syncs {
    fn file(&mut self, file: &File) -> Result<()> {
        self.0 += 1;
        fsync(file).context("fsync")
    }

    fn data(&mut self, file: &File) -> Result<()> {
        self.0 += 1;
        fdatasync(file).context("fdatasync")
    }

    fn dir(&mut self, dir: &Path) -> Result<()> {
        let dir = File::open(dir).with_context(|| dir.display().to_string())?;
        self.file(&dir)
    }

    /// The filesystem that a directory is on.
    fn filesystem(&mut self, dir: &Path) -> Result<()> {
        self.0 += 1;
        syncfs(File::open(dir)?).context("syncfs")
    }
}

/// A new file with some contents.
fn create(path: &Path, seed: u64, len: usize) -> Result<File> {
    let mut file = File::create_new(path).with_context(|| path.display().to_string())?;
    file.write_all(&fill(seed, len))?;
    Ok(file)
}

/// What the agent does as a model, with the arguments behind [`ARGUMENT`].
pub fn program(args: impl Iterator<Item = String>) -> Result<()> {
    let args: Vec<String> = args.collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (name, dir, step) = match args[..] {
        [name, dir, "prepare"] => (name, dir, None),
        [name, dir, "run", ops] => (name, dir, Some(ops)),
        _ => bail!("usage: {ARGUMENT} NAME DIRECTORY prepare, or run OPERATIONS"),
    };
    let model = Model::ALL.into_iter().find(|model| model.name() == name);
    let model = model.with_context(|| format!("there is no model {name}"))?;
    match step {
        None => model.prepare(Path::new(dir)),
        Some(ops) => {
            let ops = ops.parse().with_context(|| format!("{ops} operations"))?;
            let fsyncs = model.run(Path::new(dir), ops)?;
            println!("{}", serde_json::to_string(&Done { fsyncs })?);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::path::PathBuf;

    /// A directory of a test's own, gone with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let dir = format!("bytelog-models-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(dir))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Those that need root's rights or ext4: the machine's smoke test runs them.
    const ONLY_IN_THE_MACHINE: [Model; 4] = [
        Model::Selinux,
        Model::Acl,
        Model::XattrSet,
        Model::SymlinkTree,
    ];

    #[test]
    fn names_are_told_apart() {
        let names: HashSet<_> = Model::ALL.iter().map(|model| model.name()).collect();
        assert_eq!(names.len(), Model::ALL.len());
    }

    #[test]
    fn each_runs_and_runs_on() {
        let models = Model::ALL.into_iter();
        for model in models.filter(|model| !ONLY_IN_THE_MACHINE.contains(model)) {
            let scratch = Scratch::new(model.name());
            model.prepare(&scratch.0).unwrap();
            let fsyncs = model.run(&scratch.0, 32).unwrap();
            let counts = fsyncs.is_none_or(|fsyncs| fsyncs >= 32);
            assert!(counts, "{}: {fsyncs:?}", model.name());
        }
    }

    #[test]
    fn sqlite_has_the_rows_in_every_mode() {
        let models = Model::ALL.into_iter();
        for (model, mode) in models.filter_map(|model| model.database().map(|mode| (model, mode))) {
            let scratch = Scratch::new(&format!("rows-{}", model.name()));
            model.prepare(&scratch.0).unwrap();
            model.run(&scratch.0, 10).unwrap();
            let rows = Inserts::create(mode, &scratch.0).unwrap().rows().unwrap();
            assert_eq!(rows, ROWS + 10, "{}", model.name());
        }
    }

    #[test]
    fn wrong_arguments_are_named() {
        let run = |line: &str| program(line.split(' ').map(str::to_owned)).unwrap_err();
        assert!(run("maildir /tmp").to_string().starts_with("usage"));
        let said = run("mailbox /tmp prepare").to_string();
        assert_eq!(said, "there is no model mailbox");
        assert_eq!(run("maildir /tmp run many").to_string(), "many operations");
    }
}
