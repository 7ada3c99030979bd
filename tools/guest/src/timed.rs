// SPDX-License-Identifier: GPL-2.0
//! Jobs that are timed as a whole: what the time of one call would not show.

use crate::database::{self, Inserts};
use crate::ops::fill;
use crate::ring::Ring;
use anyhow::{anyhow, Context, Result};
use rustix::fs::{fdatasync, fsync};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// Bytes of a read or a write.
const BLOCK: usize = 4096;

/// Blocks of a file that is read or written at random.
const BLOCKS: u64 = 2048;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timed {
    /// Files are created and unlinked; every so many operations one is synced.
    CreateUnlink { every: u64 },
    /// The same through io_uring; with fsync, or with fdatasync.
    RingCreateUnlink { every: u64, data_only: bool },
    /// A block at random, and fsync.
    RandomFsync,
    /// A block at random, and fdatasync.
    RandomFdatasync,
    /// Blocks in order, never synced.
    Write,
    /// Blocks at random, never synced.
    RandomWrite,
    /// Blocks in order.
    Read,
    /// Blocks at random.
    RandomRead,
    /// Threads that each append a block to a file of their own and fsync it.
    Threads { count: u64 },
    /// Transactions of SQLite, a row each.
    Sqlite { mode: database::Mode },
}

impl Timed {
    /// The name in tables and in bench.json.
    pub fn name(self) -> String {
        match self {
            Self::CreateUnlink { every } => format!("create_unlink_fsync{every}"),
            Self::RingCreateUnlink { every, data_only } => {
                let call = if data_only { "fdatasync" } else { "fsync" };
                format!("io_uring_create_unlink_{call}{every}")
            }
            Self::RandomFsync => "randwrite_fsync".to_owned(),
            Self::RandomFdatasync => "randwrite_fdatasync".to_owned(),
            Self::Write => "write".to_owned(),
            Self::RandomWrite => "randwrite".to_owned(),
            Self::Read => "read".to_owned(),
            Self::RandomRead => "randread".to_owned(),
            Self::Threads { count } => format!("threads_{count}"),
            Self::Sqlite { mode } => mode.name(),
        }
    }

    /// What the flushes of a job are divided by, as it is called in bench.json: SQLite's
    /// own fsyncs are not counted.
    pub fn flushes(self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "flushes_per_transaction",
            _ => "flushes_per_fsync",
        }
    }

    /// Whether the journal's part of it is a large one: names, and threads and databases
    /// that sync each step.
    pub fn is_of_the_journal(&self) -> bool {
        matches!(
            self,
            Self::CreateUnlink { .. }
                | Self::RingCreateUnlink { .. }
                | Self::Threads { .. }
                | Self::Sqlite { .. }
        )
    }

    /// Whether nothing is made durable, so that ByteLog has no part in it.
    pub fn is_without_fsync(self) -> bool {
        matches!(
            self,
            Self::Write | Self::RandomWrite | Self::Read | Self::RandomRead
        )
    }
}

/// A directory in which a job is about to be run.
pub struct Prepared<'a> {
    job: Timed,
    dir: &'a Path,
    ops: u64,
    file: File,
    database: Option<Inserts>,
}

/// Makes what the job needs, durable.
pub fn prepare(job: Timed, dir: &Path, ops: u64) -> Result<Prepared<'_>> {
    fs::create_dir_all(dir)?;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("file"))?;
    let block = fill(1, BLOCK);
    for i in 0..BLOCKS {
        file.write_all_at(&block, i * BLOCK as u64)?;
    }
    let database = match job {
        Timed::Sqlite { mode } => Some(Inserts::create(mode, dir)?),
        _ => None,
    };
    rustix::fs::sync();
    fsync(&file)?;
    Ok(Prepared {
        job,
        dir,
        ops,
        file,
        database,
    })
}

impl Prepared<'_> {
    /// Runs the job; returns the nanoseconds and the fsyncs, or the transactions.
    pub fn run(&self) -> Result<(u64, u64)> {
        let start = Instant::now();
        let fsyncs = match self.job {
            Timed::CreateUnlink { every } => self.create_unlink(every)?,
            Timed::RingCreateUnlink { every, data_only } => {
                self.ring_create_unlink(every, data_only)?
            }
            Timed::Threads { count } => self.threads(count)?,
            Timed::Sqlite { .. } => self.transactions()?,
            _ => self.blocks()?,
        };
        Ok((start.elapsed().as_nanos() as u64, fsyncs))
    }

    fn create_unlink(&self, every: u64) -> Result<u64> {
        let name = |i: u64| self.dir.join(format!("new{i}"));
        let mut fsyncs = 0;
        for i in 0..self.ops {
            let file = File::create_new(name(i))?;
            if let Some(before) = i.checked_sub(1) {
                fs::remove_file(name(before))?;
            }
            if (i + 1) % every == 0 {
                fsync(&file)?;
                fsyncs += 1;
            }
        }
        Ok(fsyncs)
    }

    fn ring_create_unlink(&self, every: u64, data_only: bool) -> Result<u64> {
        let name = |i: u64| self.dir.join(format!("new{i}"));
        let mut ring = Ring::new()?;
        let mut fsyncs = 0;
        for i in 0..self.ops {
            let before = i.checked_sub(1).map(name);
            let file = ring.create(&name(i), before.as_deref())?;
            if (i + 1) % every == 0 {
                ring.sync(&file, data_only)?;
                fsyncs += 1;
            }
        }
        Ok(fsyncs)
    }

    fn blocks(&self) -> Result<u64> {
        let mut block = fill(2, BLOCK);
        let mut random = fastrand::Rng::with_seed(3);
        let mut fsyncs = 0;
        for i in 0..self.ops {
            let at = match self.job {
                Timed::Write | Timed::Read => i % BLOCKS,
                _ => random.u64(..BLOCKS),
            };
            let at = at * BLOCK as u64;
            match self.job {
                Timed::Read | Timed::RandomRead => self.file.read_exact_at(&mut block, at)?,
                _ => self.file.write_all_at(&block, at)?,
            }
            match self.job {
                Timed::RandomFsync => fsync(&self.file)?,
                Timed::RandomFdatasync => fdatasync(&self.file)?,
                _ => continue,
            }
            fsyncs += 1;
        }
        Ok(fsyncs)
    }

    fn transactions(&self) -> Result<u64> {
        let database = self.database.as_ref().context("no database")?;
        database.run(self.ops)?;
        Ok(self.ops)
    }

    fn threads(&self, count: u64) -> Result<u64> {
        let (dir, each) = (self.dir, self.ops / count.max(1));
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|number| scope.spawn(move || appends(dir, number, each)))
                .collect();
            let mut outcomes = threads.into_iter().map(|thread| thread.join());
            outcomes.try_for_each(|outcome| outcome.map_err(|_| anyhow!("a thread"))?)
        })?;
        Ok(each * count)
    }
}

/// What each thread does, with a file of its own.
fn appends(dir: &Path, number: u64, count: u64) -> Result<()> {
    let file = File::create(dir.join(format!("thread{number}")))?;
    let block = fill(number, BLOCK);
    for i in 0..count {
        file.write_all_at(&block, i * BLOCK as u64)?;
        fsync(&file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_for_every_row() {
        let dir = std::env::temp_dir().join(format!("bytelog-inserts-{}", std::process::id()));
        for (mode, name) in [
            (database::Mode::Wal, "sqlite_wal_full"),
            (database::Mode::Delete, "sqlite_delete_full"),
        ] {
            let job = Timed::Sqlite { mode };
            assert_eq!(job.name(), name);
            let sub = dir.join(name);
            let prepared = prepare(job, &sub, 16).unwrap();
            assert_eq!(prepared.run().unwrap().1, 16);
            assert_eq!(prepared.database.unwrap().rows().unwrap(), 16);
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn every_job_runs() {
        let dir = std::env::temp_dir().join(format!("bytelog-timed-{}", std::process::id()));
        let jobs = [
            (Timed::CreateUnlink { every: 4 }, 4),
            (Timed::RandomFsync, 16),
            (Timed::RandomFdatasync, 16),
            (Timed::Write, 0),
            (Timed::RandomRead, 0),
            (Timed::Threads { count: 4 }, 16),
        ];
        for (job, fsyncs) in jobs {
            let sub = dir.join(job.name());
            let done = prepare(job, &sub, 16).unwrap().run().unwrap();
            assert_eq!(done.1, fsyncs, "{job:?}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
