// SPDX-License-Identifier: GPL-2.0
//! Transactions of SQLite, one after the other in a database of its own, and the
//! oracle for what a power cut leaves of it.
//!
//! The database is whole, by `PRAGMA integrity_check`, and its rows are those after
//! the first k transactions, for one k that no acknowledged transaction is beyond.
//! [`Mode::Delete`] alone may take the last one back: see there.

mod inserts;
mod judge;
mod store;
mod transaction;

pub use inserts::Inserts;
pub use judge::judge;
pub use store::{look, Found, Store};
pub use transaction::{Change, Generator, Row, Transaction};

use serde::{Deserialize, Serialize};

/// How SQLite makes a transaction durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// `journal_mode=WAL`, `synchronous=FULL`: appended to a log, which is synced.
    Wal,
    /// `journal_mode=DELETE`, `synchronous=FULL`: the old pages are in a journal, and
    /// the transaction is done when that is unlinked. SQLite does not sync the
    /// unlinking: a cut can bring the last journal back, and what it undoes.
    Delete,
    /// The same with `synchronous=EXTRA`: the directory is synced as well.
    DeleteExtra,
    /// `journal_mode=TRUNCATE`, `synchronous=FULL`: the journal is emptied instead.
    Truncate,
    /// `journal_mode=PERSIST`, `synchronous=FULL`: its head is overwritten instead.
    Persist,
}

impl Mode {
    /// Those that cuts are judged of.
    pub const ALL: [Self; 3] = [Self::Wal, Self::Delete, Self::DeleteExtra];

    /// Values of `journal_mode` and `synchronous`.
    fn pragmas(self) -> [&'static str; 2] {
        match self {
            Self::Wal => ["wal", "full"],
            Self::Delete => ["delete", "full"],
            Self::DeleteExtra => ["delete", "extra"],
            Self::Truncate => ["truncate", "full"],
            Self::Persist => ["persist", "full"],
        }
    }

    /// The name in tables and in bench.json.
    pub fn name(self) -> String {
        format!("sqlite_{}", self.pragmas().join("_"))
    }

    /// Acknowledged transactions that a cut may undo.
    fn undone(self) -> u64 {
        match self {
            Self::Delete => 1,
            Self::Wal | Self::DeleteExtra | Self::Truncate | Self::Persist => 0,
        }
    }
}

/// A database and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub seed: u64,
    pub mode: Mode,
    /// Bytes of a page of the database: a power of two, 512 to 65536.
    pub page: u32,
}
