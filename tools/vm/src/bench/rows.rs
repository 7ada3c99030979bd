// SPDX-License-Identifier: GPL-2.0
//! The figures of a run, as rows of one table.

use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// How a filesystem keeps its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Stock ext4 without fast commits.
    Full,
    /// Stock ext4 with fast commits.
    StockFc,
    /// The patched ext4 with the option off.
    Off,
    /// ByteLog.
    Bytelog,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Full, Self::StockFc, Self::Off, Self::Bytelog];
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub device: &'static str,
    pub workload: &'static str,
    pub mode: Mode,
    pub metric: &'static str,
    pub value: f64,
}

/// All figures of a run.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Rows(Vec<Row>);

impl Rows {
    pub fn push(
        &mut self,
        device: &'static str,
        workload: &'static str,
        mode: Mode,
        metric: &'static str,
        value: f64,
    ) {
        self.0.push(Row {
            device,
            workload,
            mode,
            metric,
            value,
        });
    }

    /// Writes all rows as a JSON list.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}
