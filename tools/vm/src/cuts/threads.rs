// SPDX-License-Identifier: GPL-2.0
//! What works on a filesystem until its power is cut, and the oracle's word on it
//! afterwards.

use super::Lost;
use crate::lab::{Dev, Lab};
use anyhow::{anyhow, Context, Result};
use bytelog_guest::database;
use bytelog_guest::proto::Cmd;
use bytelog_guest::stress::{Job, Verdict};

/// What a thread does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Random steps on files.
    Files(Job),
    /// Transactions in a database.
    Database(database::Job),
}

/// A thread: where it works, and how many of its steps or transactions were
/// acknowledged.
#[derive(Debug, Clone)]
pub struct Thread {
    pub dev: Dev,
    pub dir: String,
    pub work: Work,
    /// None: its directory may not even be there.
    pub acked: Option<u64>,
}

impl Thread {
    /// One that works in a directory of a device and has not been started.
    pub fn new(dev: &Dev, name: &str, work: Work) -> Self {
        Self {
            dev: dev.clone(),
            dir: format!("{}/{name}", dev.dir()),
            work,
            acked: None,
        }
    }

    /// Starts it; its request is for [`crate::vm::Vm::finish`].
    pub fn start(&self, lab: &mut Lab) -> Result<u64> {
        lab.vm()?.start(self.cmd())
    }

    /// The same in a process of its own, which ends with an error.
    pub fn start_apart(&self, lab: &mut Lab) -> Result<u64> {
        lab.vm()?.start(Cmd::Apart(Box::new(self.cmd())))
    }

    fn cmd(&self) -> Cmd {
        let dir = self.dir.clone();
        match self.work.clone() {
            Work::Files(job) => Cmd::Stress { job, dir },
            Work::Database(job) => Cmd::Database { job, dir },
        }
    }

    /// The mounted filesystem has everything that was acknowledged.
    pub fn judge(&self, lab: &mut Lab) -> Result<()> {
        let Some(acked) = self.acked else {
            return Ok(());
        };
        let dir = self.dir.clone();
        let verdict: Verdict = lab
            .call(match self.work.clone() {
                Work::Files(job) => Cmd::StressCheck { job, dir, acked },
                Work::Database(job) => Cmd::DatabaseCheck { job, dir, acked },
            })
            .with_context(|| self.dir.clone())?;
        if verdict.is_good() {
            return Ok(());
        }
        Err(anyhow!(
            "{} on {}: of {} steps acknowledged, with {} that must be there: {}; {:?}",
            self.dir,
            self.dev.label(),
            verdict.acknowledged,
            verdict.floor,
            verdict.diffs.join("; "),
            self.work
        ))
        .context(Lost)
    }
}
