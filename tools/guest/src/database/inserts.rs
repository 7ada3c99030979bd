// SPDX-License-Identifier: GPL-2.0
//! Transactions of one row each, as many programs make them: SQLite as it comes, with
//! nothing set but how a transaction is made durable.

use super::Mode;
use crate::ops::fill;
use anyhow::{ensure, Context, Result};
use rusqlite::{params, Connection};
use std::path::Path;

/// Bytes of a row besides its key.
const ROW: usize = 100;

/// An open database with a table.
pub struct Inserts(Connection);

impl Inserts {
    /// Opens the database in a directory, which is made, with an empty table, if need be.
    pub fn create(mode: Mode, dir: &Path) -> Result<Self> {
        let path = dir.join("inserts.db");
        let db = Connection::open(&path).with_context(|| path.display().to_string())?;
        let [journal, synchronous] = mode.pragmas();
        let set: String =
            db.pragma_update_and_check(None, "journal_mode", journal, |row| row.get(0))?;
        ensure!(set == journal, "journal_mode is {set}, not {journal}");
        db.pragma_update(None, "synchronous", synchronous)?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS rows (key INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
        )?;
        Ok(Self(db))
    }

    /// Inserts so many rows, each in a transaction of its own, which is durable before
    /// the next one starts.
    pub fn run(&self, count: u64) -> Result<()> {
        let row = fill(1, ROW);
        let mut insert = self.0.prepare("INSERT INTO rows (bytes) VALUES (?)")?;
        for _ in 0..count {
            insert.execute(params![row])?;
        }
        Ok(())
    }

    /// Rows that are there.
    pub fn rows(&self) -> Result<u64> {
        let count = self
            .0
            .query_row("SELECT count(*) FROM rows", [], |row| row.get(0))?;
        Ok(count)
    }
}
