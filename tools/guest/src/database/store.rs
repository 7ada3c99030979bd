// SPDX-License-Identifier: GPL-2.0
//! The database itself: made, changed, looked at.

use super::transaction::{Change, Row, Transaction};
use super::Job;
use anyhow::{ensure, Context, Result};
use rusqlite::{params, Connection};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A log of so many pages goes into the database.
const CHECKPOINT_PAGES: u32 = 60;

/// A larger transaction is written out before its end.
const CACHE_PAGES: u32 = 12;

const SCHEMA: &str = "
    CREATE TABLE committed (number INTEGER NOT NULL);
    INSERT INTO committed VALUES (0);
    CREATE TABLE rows (key INTEGER PRIMARY KEY, tag INTEGER NOT NULL, bytes BLOB NOT NULL);
    CREATE INDEX by_tag ON rows (tag);";

fn file(dir: &Path) -> PathBuf {
    dir.join("db")
}

fn connect(dir: &Path) -> Result<Connection> {
    let path = file(dir);
    Connection::open(&path).with_context(|| path.display().to_string())
}

/// An open database.
pub struct Store(Connection);

impl Store {
    /// Makes the database of a job in a directory.
    pub fn create(job: &Job, dir: &Path) -> Result<Self> {
        let db = connect(dir)?;
        let [journal, synchronous] = job.mode.pragmas();
        db.pragma_update(None, "page_size", job.page)?;
        // In WAL mode alone the answer is another than the question where it fails.
        let set: String =
            db.pragma_update_and_check(None, "journal_mode", journal, |row| row.get(0))?;
        ensure!(set == journal, "journal_mode is {set}, not {journal}");
        db.pragma_update(None, "synchronous", synchronous)?;
        db.pragma_update(None, "cache_size", CACHE_PAGES)?;
        if journal == "wal" {
            let pages = CHECKPOINT_PAGES;
            db.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()))?;
        }
        db.execute_batch(SCHEMA)?;
        Ok(Self(db))
    }

    /// Carries a transaction out; it is durable afterwards.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<()> {
        let open = self.0.transaction()?;
        for change in &transaction.changes {
            match *change {
                Change::Insert(key, row) => open
                    .prepare_cached("INSERT INTO rows VALUES (?, ?, ?)")?
                    .execute(params![key, row.tag, row.bytes()])?,
                Change::Update(key, row) => open
                    .prepare_cached("UPDATE rows SET tag = ?2, bytes = ?3 WHERE key = ?1")?
                    .execute(params![key, row.tag, row.bytes()])?,
                Change::Delete(key) => open
                    .prepare_cached("DELETE FROM rows WHERE key = ?")?
                    .execute([key])?,
            };
        }
        open.prepare_cached("UPDATE committed SET number = ?")?
            .execute([transaction.number])?;
        open.commit()
            .with_context(|| format!("transaction {}", transaction.number))
    }
}

/// What there is in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What `PRAGMA integrity_check` finds.
    pub damage: Vec<String>,
    /// The last transaction.
    pub number: u64,
    /// By their keys: the bytes of a tag may be others than the tag says.
    pub rows: BTreeMap<i64, (u32, Vec<u8>)>,
}

impl Found {
    /// The row of a key, if its bytes are those of its tag.
    pub fn row(&self, key: i64) -> Option<Row> {
        let (tag, bytes) = self.rows.get(&key)?;
        let row = Row {
            tag: *tag,
            len: bytes.len(),
        };
        (row.bytes() == *bytes).then_some(row)
    }
}

/// Opens the database in a directory, which lets SQLite recover it, and reads it.
pub fn look(dir: &Path) -> Result<Found> {
    let path = file(dir);
    ensure!(path.exists(), "{}: no database", path.display());
    let db = connect(dir)?;
    let mut damage: Vec<String> = db
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()
        .context("integrity_check")?;
    if damage == ["ok"] {
        damage.clear();
    }
    let number = db.query_row("SELECT number FROM committed", [], |row| row.get(0))?;
    let rows = db
        .prepare("SELECT key, tag, bytes FROM rows")?
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect::<Result<_, _>>()?;
    Ok(Found {
        damage,
        number,
        rows,
    })
}
