// SPDX-License-Identifier: GPL-2.0
//! Short workloads, run and cut in the machine.

mod cut;
mod engine;
mod memory;
mod site;

use anyhow::{anyhow, Result};
use bytelog_guest::short::{Job, Report};
use engine::Engine;
use std::sync::Mutex;

static ENGINE: Mutex<Option<Engine>> = Mutex::new(None);

/// Runs the workloads of a job. What they begin with is made once for all jobs with the
/// same device and options.
pub fn run(job: &Job) -> Result<Report> {
    let mut engine = ENGINE
        .lock()
        .map_err(|_| anyhow!("an earlier job has failed"))?;
    if !engine.as_ref().is_some_and(|engine| engine.fits(job)) {
        *engine = None;
        *engine = Some(Engine::new(job)?);
    }
    let engine = engine.as_mut().ok_or_else(|| anyhow!("no engine"))?;
    engine.run(job)
}
