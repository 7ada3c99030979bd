// SPDX-License-Identifier: GPL-2.0
//! The figures of a run, as rows of one table.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// How a filesystem keeps its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Stock ext4 without fast commits.
    Full,
    /// Stock ext4 with fast commits.
    StockFc,
    /// The same with the journal in the filesystem, where the others have it on a
    /// device of its own.
    Inside,
    /// The patched ext4 with the option off.
    Off,
    /// ByteLog.
    Bytelog,
}

impl Mode {
    /// Those of a filesystem with its journal inside.
    pub const ALL: [Self; 4] = [Self::Full, Self::StockFc, Self::Off, Self::Bytelog];

    /// The name in tables and in bench.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::StockFc => "stock_fc",
            Self::Inside => "inside",
            Self::Off => "off",
            Self::Bytelog => "bytelog",
        }
    }
}

impl AsRef<str> for Mode {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub device: String,
    pub workload: String,
    /// A [`Mode`], or a way to append.
    pub mode: String,
    pub metric: String,
    pub value: f64,
}

/// All figures of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rows(Vec<Row>);

impl Rows {
    pub fn push(
        &mut self,
        device: &str,
        workload: &str,
        mode: impl AsRef<str>,
        metric: &str,
        value: f64,
    ) {
        self.0.push(Row {
            device: device.to_owned(),
            workload: workload.to_owned(),
            mode: mode.as_ref().to_owned(),
            metric: metric.to_owned(),
            value,
        });
    }

    /// A figure, if it was measured.
    pub fn get(
        &self,
        device: &str,
        workload: &str,
        mode: impl AsRef<str>,
        metric: &str,
    ) -> Option<f64> {
        let found = self.0.iter().find(|row| {
            row.device == device
                && row.workload == workload
                && row.mode == mode.as_ref()
                && row.metric == metric
        });
        found.map(|row| row.value)
    }

    /// What a mode's figure is, as a part of stock fast commit's.
    pub fn ratio(
        &self,
        device: &str,
        workload: &str,
        mode: impl AsRef<str>,
        metric: &str,
    ) -> Option<f64> {
        let stock = self.get(device, workload, Mode::StockFc, metric)?;
        let value = self.get(device, workload, mode, metric)?;
        (stock > 0.0).then(|| value / stock)
    }

    /// The workloads for which a device has a metric, in the order of measurement.
    pub fn workloads(&self, device: &str, metric: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.0 {
            if row.device == device && row.metric == metric && !names.contains(&&*row.workload) {
                names.push(&row.workload);
            }
        }
        names
    }

    /// Adds the rows of a file.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let more: Self = serde_json::from_str(&text)?;
        self.0.extend(more.0);
        Ok(())
    }

    /// Writes all rows as a JSON list.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looked_up() {
        let mut rows = Rows::default();
        rows.push("sync", "create", Mode::StockFc, "instr_median", 200.0);
        rows.push("sync", "create", Mode::Bytelog, "instr_median", 50.0);
        rows.push("sync", "append", Mode::Bytelog, "instr_median", 50.0);
        let ratio = |load| rows.ratio("sync", load, Mode::Bytelog, "instr_median");
        assert_eq!((ratio("create"), ratio("append")), (Some(0.25), None));
        assert_eq!(rows.workloads("sync", "instr_median"), ["create", "append"]);
        let text = serde_json::to_string(&rows).unwrap();
        assert!(text.starts_with(
            r#"[{"device":"sync","workload":"create","mode":"stock_fc","metric":"instr_median","value":200.0}"#
        ));
    }
}
