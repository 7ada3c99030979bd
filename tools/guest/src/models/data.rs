// SPDX-License-Identifier: GPL-2.0
//! Models of programs that write into files that stay.

use super::{create, Syncs};
use crate::ops::fill;
use anyhow::Result;
use fastrand::Rng;
use rustix::fs::{fallocate, FallocateFlags};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a page or a block.
const PAGE: u64 = 4096;

/// Pages of a new bbolt file; and those that it grows by at most.
const FIRST_PAGES: u64 = 8;
const GROWS_BY: u64 = 256;

/// Blocks of the sparse file, and those written at a time.
const SPARSE: u64 = 16384;
const AT_A_TIME: u64 = 16;

/// Records of a RocksDB log, behind which a table is made of it; tables, behind which
/// they become one.
const LOG_RECORDS: u64 = 30;
const TABLES: u64 = 4;

/// Bytes of a table.
const TABLE: usize = 48 << 10;

/// Bytes that are allocated for a log before it has them.
const LOG_BYTES: u64 = 1 << 20;

fn write_page(file: &File, page: u64, seed: u64) -> Result<()> {
    Ok(file.write_all_at(&fill(seed, PAGE as usize), page * PAGE)?)
}

fn open(path: PathBuf) -> Result<File> {
    Ok(File::options().read(true).write(true).open(path)?)
}

pub fn prepare_bbolt(dir: &Path) -> Result<()> {
    create(&dir.join("db"), 1, (FIRST_PAGES * PAGE) as usize)?;
    Ok(())
}

/// A transaction: pages at new places, made durable, then one of the first two, which
/// says where they are.
pub fn bbolt(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let file = open(dir.join("db"))?;
    let mut random = Rng::with_seed(5);
    let (mut pages, mut used) = (FIRST_PAGES, 4);
    for i in 0..ops {
        if used == pages {
            pages += pages.min(GROWS_BY);
            file.set_len(pages * PAGE)?;
            syncs.file(&file)?;
        }
        // Two that a transaction before has left, and a new one.
        for page in [random.u64(2..used), random.u64(2..used), used] {
            write_page(&file, page, i)?;
        }
        used += 1;
        syncs.data(&file)?;
        write_page(&file, i % 2, i)?;
        syncs.data(&file)?;
    }
    Ok(())
}

pub fn prepare_rocksdb(dir: &Path) -> Result<()> {
    create(&dir.join("MANIFEST-000001"), 1, 200)?;
    create(&dir.join("CURRENT"), 1, 16)?;
    Ok(())
}

fn table(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}.sst"))
}

fn log_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:06}.log"))
}

/// Makes a table durable, the directory that has its name, the list that names it.
fn add_table(
    dir: &Path,
    number: u64,
    bytes: usize,
    manifest: &mut File,
    syncs: &mut Syncs,
) -> Result<()> {
    let new = create(&table(dir, number), number, bytes)?;
    syncs.file(&new)?;
    syncs.dir(dir)?;
    manifest.write_all(&fill(number, 90))?;
    syncs.file(manifest)
}

/// A log that has room already.
fn new_log(dir: &Path, number: u64) -> Result<File> {
    let file = File::create_new(log_of(dir, number))?;
    fallocate(&file, FallocateFlags::KEEP_SIZE, 0, LOG_BYTES)?;
    Ok(file)
}

/// A record is put into the log. A full log becomes a table; some tables become one.
pub fn rocksdb(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let mut manifest = File::options()
        .append(true)
        .open(dir.join("MANIFEST-000001"))?;
    // Logs and tables are numbered together.
    let mut number = 10;
    let mut next = || {
        number += 1;
        number
    };
    let mut current = next();
    let mut log = new_log(dir, current)?;
    let mut tables = Vec::new();
    for i in 0..ops {
        log.write_all(&fill(i, 150 + (i * 37 % 800) as usize))?;
        syncs.data(&log)?;
        if (i + 1) % LOG_RECORDS > 0 {
            continue;
        }
        let full = std::mem::replace(&mut current, next());
        log = new_log(dir, current)?;
        let new = next();
        add_table(dir, new, TABLE, &mut manifest, syncs)?;
        tables.push(new);
        fs::remove_file(log_of(dir, full))?;
        if tables.len() as u64 == TABLES {
            add_table(dir, next(), TABLE * TABLES as usize, &mut manifest, syncs)?;
            for old in tables.drain(..) {
                fs::remove_file(table(dir, old))?;
            }
        }
    }
    Ok(())
}

pub fn prepare_random_write(dir: &Path) -> Result<()> {
    let file = File::create_new(dir.join("sparse"))?;
    Ok(file.set_len(SPARSE * PAGE)?)
}

/// Blocks at random, most of them new.
pub fn random_write(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let file = open(dir.join("sparse"))?;
    let mut random = Rng::with_seed(6);
    for i in 0..ops {
        for _ in 0..AT_A_TIME {
            write_page(&file, random.u64(..SPARSE), i)?;
        }
        syncs.data(&file)?;
    }
    Ok(())
}

/// A record at the end.
pub fn append_log(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let mut log = File::create_new(dir.join("log"))?;
    for i in 0..ops {
        log.write_all(&fill(i, 80 + (i * 31 % 300) as usize))?;
        syncs.data(&log)?;
    }
    Ok(())
}

/// A file grows by some blocks and is cut: to within a block, to nothing, or made
/// longer without blocks.
pub fn truncate(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let file = File::create_new(dir.join("file"))?;
    for i in 0..ops {
        let len = file.metadata()?.len();
        file.write_all_at(&fill(i, 3 * PAGE as usize), len)?;
        syncs.file(&file)?;
        let len = len + 3 * PAGE;
        file.set_len(match i % 8 {
            7 => 0,
            3 => len + 5 * PAGE + 100,
            _ => len - PAGE - 1000,
        })?;
        syncs.file(&file)?;
    }
    Ok(())
}

/// A record is put into a log; a file without a name is written meanwhile.
pub fn unlinked_open(dir: &Path, ops: u64, syncs: &mut Syncs) -> Result<()> {
    let gone = File::create_new(dir.join("gone"))?;
    fs::remove_file(dir.join("gone"))?;
    let mut log = File::create_new(dir.join("log"))?;
    for i in 0..ops {
        write_page(&gone, i, i)?;
        log.write_all(&fill(i, 200))?;
        syncs.file(&log)?;
    }
    Ok(())
}
